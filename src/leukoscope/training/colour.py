"""Other stains and other light.

Stain and hue are varied in optical density, where dyes add (Beer-Lambert; Ruifrok & Johnston 2001). All
functions take cells (N, 3, S, S) float32 in 0..255, may change them in place, and give them back varied.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from leukoscope.recipes.schema import Augmentation
from leukoscope.training.chance import spread


def restain(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """More or less of each dye, and colours turned about grey."""
    count = len(pixels)
    density = pixels.div_(255).clamp_(1 / 255, 1).log_().neg_()
    gain = 1 + spread((count, 3, 1, 1), settings.stain, generator)
    gain = gain * (1 + spread((count, 1, 1, 1), settings.density, generator))
    shift = spread((count, 3, 1, 1), 0.3 * settings.stain, generator)
    shift = shift + spread((count, 1, 1, 1), 0.3 * settings.density, generator)
    density = density.mul_(gain).add_(shift)
    if settings.hue:
        angle = spread((count,), math.radians(settings.hue), generator)
        density = torch.bmm(turn_about_grey(angle), density.flatten(2)).view(pixels.shape)
    return density.clamp_(min=0).neg_().exp_().mul_(255)


def turn_about_grey(angle: Tensor) -> Tensor:
    """(N, 3, 3) rotations of colours by angles (N,) in radians about the axis on which red, green and blue
    are alike (Rodrigues' formula)."""
    cosine, along = torch.cos(angle), (1 - torch.cos(angle)) / 3
    across = torch.sin(angle) / math.sqrt(3)
    first, second, third = cosine + along, along - across, along + across
    rows = [first, second, third, third, first, second, second, third, first]
    return torch.stack(rows, 1).view(-1, 3, 3)


def relight(pixels: Tensor, inside: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Brighter or darker, flatter or harder, about each cell's mean colour.

    Args:
        inside: (N, 1, S, S) 1.0 where the cell is, else 0.
    """
    count = len(pixels)
    gain = 1 + spread((count, 1, 1, 1), settings.brightness, generator)
    contrast = 1 + spread((count, 1, 1, 1), settings.contrast, generator)
    area = inside.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (pixels * inside).sum((2, 3), keepdim=True) / area
    return pixels.sub_(mean).mul_(contrast).add_(mean * gain).clamp_(0, 255)
