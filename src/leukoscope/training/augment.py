"""Variation of cells in batches, on whichever device they are.

Stain is varied in optical density, where dyes add (Beer-Lambert; Ruifrok & Johnston 2001), and black stays
black: what lies outside the cell has no density to vary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from leukoscope.recipes.schema import Augmentation

BLACK_BELOW = 5.0


def augment(cells: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Varied cells, (N, 3, S, S) float32 in 0..255, from cells (N, S, S, 3) uint8.

    Args:
        cells: RGB on black.
        settings: how much of what.
        generator: the only source of randomness; lives on the device of ``cells``.
    """
    pixels = cells.permute(0, 3, 1, 2).float()
    pixels = _move(pixels, settings, generator)
    inside = pixels.amax(1, keepdim=True) > BLACK_BELOW
    if settings.stain or settings.density:
        pixels = _restain(pixels, settings, generator)
    if settings.brightness or settings.contrast:
        pixels = _relight(pixels, inside, settings, generator)
    if settings.blur or settings.sharpen:
        pixels = _refocus(pixels, settings, generator)
    return torch.where(inside, pixels, torch.zeros_like(pixels))


def _spread(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    """Uniform in -limit..limit."""
    return (torch.rand(shape, generator=generator, device=generator.device) * 2 - 1) * limit


def _move(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """The first cells of the batch resampled, the last ``exact`` share only turned: batches are in random
    order."""
    resampled = len(pixels) - round(settings.exact * len(pixels))
    moves = (settings.rotation, settings.scale, settings.stretch, settings.shear, settings.shift)
    if not any(moves):
        resampled = 0
    parts = []
    if resampled:
        parts.append(_resample(pixels[:resampled], settings, generator))
    if resampled < len(pixels):
        parts.append(_turn(pixels[resampled:], settings, generator))
    return torch.cat(parts)


def _turn(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Quarter turns where any rotation is allowed, mirrored where flips are."""
    turns, mirrors = 4 if settings.rotation == 180 else 1, 2 if settings.flip else 1
    view = torch.randint(0, turns * mirrors, (len(pixels),), generator=generator, device=pixels.device)
    turned = torch.empty_like(pixels)
    for which in range(turns * mirrors):
        chosen = view == which
        picture = torch.rot90(pixels[chosen], which % turns, (2, 3))
        turned[chosen] = picture.flip(3) if which >= turns else picture
    return turned


def _resample(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count = len(pixels)
    angle = _spread((count,), math.radians(settings.rotation), generator)
    zoom = torch.exp(_spread((count,), settings.scale, generator))
    stretch = torch.exp(_spread((count,), settings.stretch, generator))
    shear = _spread((count,), settings.shear, generator)
    mirror = torch.sign(_spread((count,), 1.0, generator)) if settings.flip else torch.ones_like(angle)
    offset = _spread((count, 2), 2 * settings.shift, generator)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    # output to input coordinates, as affine_grid wants them: mirror and stretch, then shear, rotation, zoom
    matrix = torch.zeros(count, 2, 3, device=pixels.device)
    matrix[:, 0, 0] = cosine * mirror * stretch / zoom
    matrix[:, 0, 1] = (shear * cosine - sine) / zoom
    matrix[:, 1, 0] = sine * mirror * stretch / zoom
    matrix[:, 1, 1] = (shear * sine + cosine) / zoom
    matrix[:, :, 2] = offset
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)


def _restain(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count = len(pixels)
    density = -torch.log((pixels / 255).clamp(1 / 255, 1))
    gain = 1 + _spread((count, 3, 1, 1), settings.stain, generator)
    gain = gain * (1 + _spread((count, 1, 1, 1), settings.density, generator))
    shift = _spread((count, 3, 1, 1), 0.3 * settings.stain, generator)
    shift = shift + _spread((count, 1, 1, 1), 0.3 * settings.density, generator)
    return 255 * torch.exp(-(density * gain + shift).clamp(min=0))


def _relight(pixels: Tensor, inside: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count = len(pixels)
    gain = 1 + _spread((count, 1, 1, 1), settings.brightness, generator)
    contrast = 1 + _spread((count, 1, 1, 1), settings.contrast, generator)
    area = inside.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (pixels * inside).sum((2, 3), keepdim=True) / area
    return ((pixels - mean) * contrast + mean * gain).clamp(0, 255)


def _refocus(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count = len(pixels)
    used = _spread((count, 1, 1, 1), 1.0, generator) > 0
    width = settings.blur + settings.sharpen
    amount = torch.rand((count, 1, 1, 1), generator=generator, device=pixels.device) * width - settings.blur
    binomial = torch.tensor([0.25, 0.5, 0.25], device=pixels.device)
    kernel = (binomial[:, None] * binomial).expand(3, 1, 3, 3)
    smooth = functional.conv2d(pixels, kernel, padding=1, groups=3)
    return (pixels + (pixels - smooth) * amount * used).clamp(0, 255)
