"""What cameras and files do to a picture: another focus, noise, and a part that is missing.

All functions take cells (N, 3, S, S) float32 in 0..255.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from leukoscope.recipes.schema import Augmentation
from leukoscope.training.chance import half, share


def refocus(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Half of the cells mixed with a 3x3 blur of themselves, or sharpened by taking it out."""
    count = len(pixels)
    used = half((count, 1, 1, 1), generator)
    amount = share((count, 1, 1, 1), generator) * (settings.blur + settings.sharpen) - settings.blur
    binomial = torch.tensor([0.25, 0.5, 0.25], device=pixels.device)
    kernel = (binomial[:, None] * binomial).expand(3, 1, 3, 3)
    # torch is slow at convolving each channel by itself in the other order of memory
    interleaved = pixels.contiguous(memory_format=torch.channels_last)
    smooth = functional.conv2d(interleaved, kernel, padding=1, groups=3)
    change = torch.sub(interleaved, smooth, out=smooth).mul_(amount * used)
    return change.add_(interleaved).clamp_(0, 255).contiguous()


def add_noise(pixels: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Normal noise in each channel of each pixel, of a standard deviation uniform in 0..``largest`` grey
    levels; in place."""
    deviation = share((len(pixels), 1, 1, 1), generator) * largest
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return pixels.add_(noise.mul_(deviation)).clamp_(0, 255)


def uncut(count: int, size: int, largest: float, generator: torch.Generator) -> Tensor:
    """(count, 1, size, size) 0.0 in a square of half of the pictures, else 1.

    The side is uniform in 1..``largest`` * size pixels, the square anywhere in the picture (DeVries & Taylor
    2017).
    """
    used = half((count, 1), generator)
    side = 1 + (share((count, 1), generator) * max(int(largest * size), 1)).floor()
    place = torch.arange(size, device=generator.device)
    inside = []
    for _ in range(2):
        start = (share((count, 1), generator) * (size - side + 1)).floor()
        inside.append((place >= start) & (place < start + side) & used)
    return 1 - (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float()
