"""Variation of cells in batches, on whichever device they are.

Black stays black: what lies outside the cell is made black again whatever was done to the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from leukoscope.recipes.schema import Augmentation
from leukoscope.training.chance import beta, half, share
from leukoscope.training.colour import relight, restain
from leukoscope.training.degrade import add_noise, refocus, uncut
from leukoscope.training.geometry import move
from leukoscope.training.jpeg import through_jpeg

BLACK_BELOW = 5.0


def augment(cells: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Varied cells, (N, 3, S, S) float32 in 0..255, from cells (N, S, S, 3) uint8.

    In whole precision, also where the network runs in half. All but ``mixup``, which needs the labels, too:
    see :func:`mix`.

    Args:
        cells: RGB on black.
        settings: how much of what.
        generator: the only source of randomness; lives on the device of ``cells``.
    """
    if not settings.varies_cells:
        return cells.permute(0, 3, 1, 2).float()
    with torch.autocast(cells.device.type, enabled=False):
        return _varied(cells.permute(0, 3, 1, 2), settings, generator)


def _varied(cells: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    moved = move(cells, settings, generator)
    inside = (moved.amax(1, keepdim=True) > BLACK_BELOW).float()
    pixels = moved.float()
    if settings.stain or settings.density or settings.hue:
        pixels = restain(pixels, settings, generator)
    if settings.brightness or settings.contrast:
        pixels = relight(pixels, inside, settings, generator)
    if settings.blur or settings.sharpen:
        pixels = refocus(pixels, settings, generator)
    if settings.noise:
        pixels = add_noise(pixels, settings.noise, generator)
    if settings.jpeg:
        pixels = _compress(pixels, settings.jpeg, generator)
    if settings.cutout:
        inside = inside * uncut(len(pixels), pixels.shape[-1], settings.cutout, generator)
    return pixels.mul_(inside)


def _compress(pixels: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Half of the cells through JPEG of a quality of 100 - ``largest`` to 100."""
    used = half((len(pixels), 1, 1, 1), generator)
    quality = (100 - share((len(pixels),), generator) * largest).round_()
    return torch.where(used, through_jpeg(pixels, quality), pixels)


def mix(pixels: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): each cell mixed with another of the batch, its target in the same shares.

    The larger share is the cell's own. Partners are drawn at random, so the law of the mixtures is the same
    as if it could be either's, and no cell of the batch goes unseen.

    Args:
        pixels: (N, 3, S, S) float.
        targets: (N, K) float shares of the classes.
        alpha: of Beta(alpha, alpha), which the shares come from.
        generator: the only source of randomness; lives on the device of ``pixels``.

    Returns:
        Mixed pixels and targets, of the same shapes.
    """
    either = beta(len(pixels), alpha, generator)
    own = torch.maximum(either, 1 - either)
    other = torch.randperm(len(pixels), generator=generator, device=pixels.device)
    return (
        torch.lerp(pixels[other], pixels, own[:, None, None, None]),
        torch.lerp(targets[other], targets, own[:, None].to(targets.dtype)),
    )
