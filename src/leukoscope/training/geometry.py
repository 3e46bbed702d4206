"""Where the pixels of a varied cell come from: turned, mirrored, moved, zoomed, sheared."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from leukoscope.recipes.schema import Augmentation
from leukoscope.training.chance import half, spread

PADDING = {"black": "zeros", "edge": "border", "mirror": "reflection"}


def move(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Cells (N, 3, S, S) uint8 with their parts in other places; contiguous, float32 if any was resampled.

    The first cells of the batch are resampled, the last ``exact`` share only turned: batches are in random
    order.
    """
    resampled = len(pixels) - round(settings.exact * len(pixels))
    moves = (settings.rotation, settings.scale, settings.stretch, settings.shear, settings.shift)
    if not any(moves):
        resampled = 0
    parts = []
    if resampled:
        parts.append(_resample(pixels[:resampled], settings, generator))
    if resampled < len(pixels):
        parts.append(_turn(pixels[resampled:], settings, generator))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _turn(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Quarter turns where any rotation is allowed, mirrored where flips are."""
    turns, mirrors = 4 if settings.rotation == 180 else 1, 2 if settings.flip else 1
    count, size = len(pixels), pixels.shape[-1]
    view = torch.randint(0, turns * mirrors, (count,), generator=generator, device=pixels.device)
    if settings.vertical_flip:
        view = view + turns * mirrors * half((count,), generator)
    sources = _views(size, turns, mirrors, 2 if settings.vertical_flip else 1, pixels.device)
    if len(sources) == 1:
        return pixels.contiguous()
    chosen = sources.index_select(0, view)[:, None].expand(-1, 3, -1)
    return pixels.flatten(2).gather(2, chosen).view(pixels.shape)


@lru_cache(maxsize=4)
def _views(size: int, turns: int, mirrors: int, upends: int, device: torch.device) -> Tensor:
    """(views, size * size) for each pixel of a view its place in the picture: turned by quarters, then
    mirrored, then upside down."""
    picture = torch.arange(size * size, device=device).view(size, size)
    turned = [torch.rot90(picture, quarter) for quarter in range(turns)]
    mirrored = [side for mirror in range(mirrors) for side in (t.flip(1) if mirror else t for t in turned)]
    upended = [side for upend in range(upends) for side in (m.flip(0) if upend else m for m in mirrored)]
    return torch.stack(upended).flatten(1)


def _resample(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    pixels = pixels.float()
    count = len(pixels)
    angle = spread((count,), math.radians(settings.rotation), generator)
    zoom = torch.exp(spread((count,), settings.scale, generator))
    stretch = torch.exp(spread((count,), settings.stretch, generator))
    shear = spread((count,), settings.shear, generator)
    mirror = torch.sign(spread((count,), 1.0, generator)) if settings.flip else torch.ones_like(angle)
    offset = spread((count, 2), 2 * settings.shift, generator)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    # output to input coordinates, as affine_grid wants them: mirror and stretch, then shear, rotation, zoom
    matrix = torch.zeros(count, 2, 3, device=pixels.device)
    matrix[:, 0, 0] = cosine * mirror * stretch / zoom
    matrix[:, 0, 1] = (shear * cosine - sine) / zoom
    matrix[:, 1, 0] = sine * mirror * stretch / zoom
    matrix[:, 1, 1] = (shear * sine + cosine) / zoom
    matrix[:, :, 2] = offset
    if settings.vertical_flip:
        matrix[:, :, 1] *= 1 - 2 * half((count, 1), generator).float()
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode=PADDING[settings.fill], align_corners=False)
