"""What JPEG does to a picture, in batches on the device, without the coding that loses nothing.

The steps are those of libjpeg with its usual settings: YCbCr (JFIF 1.02), chroma halved in both directions,
the cosine transform of blocks of 8 x 8, the example tables of the standard (ITU-T T.81, annex K) scaled by
quality, and chroma interpolated on the way back.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)


def through_jpeg(pixels: Tensor, quality: Tensor) -> Tensor:
    """Pictures as they come back from JPEG files.

    Args:
        pixels: (N, 3, H, W) float32 in 0..255, RGB.
        quality: (N,) whole numbers 1..100, as libjpeg means them.

    Returns:
        (N, 3, H, W) float32, whole numbers 0..255.
    """
    height, width = pixels.shape[-2:]
    padded = functional.pad(pixels, (0, -width % 16, 0, -height % 16), mode="replicate").round_()
    ycbcr = _recolour(padded, TO_YCBCR)
    ycbcr[:, 1:] += 128
    ycbcr.round_()
    luma = _quantised(ycbcr[:, :1], _table(LUMINANCE, quality))
    chroma = _quantised(_halved(ycbcr[:, 1:]), _table(CHROMINANCE, quality))
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    decoded = torch.cat([luma, chroma.round_().sub_(128)], 1)
    return _recolour(decoded, TO_RGB).round_().clamp_(0, 255)[..., :height, :width]


def _recolour(pixels: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    weights = torch.tensor(matrix, device=pixels.device).expand(len(pixels), 3, 3)
    return torch.bmm(weights, pixels.flatten(2)).view(pixels.shape)


def _halved(chroma: Tensor) -> Tensor:
    """The mean of 2 x 2, in whole numbers; what is halfway goes down and up in turn."""
    means = functional.avg_pool2d(chroma, 2)
    bias = torch.arange(means.shape[-1], device=chroma.device) % 2 * 0.25 + 0.25
    return means.add_(bias).floor_()


def _table(base: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """(N, 1, 1, 8, 1, 8) steps of quantisation at each quality."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = torch.tensor(base, device=quality.device) * percent[:, None, None]
    return ((steps + 50) / 100).floor().clamp(1, 255)[:, None, None, :, None, :]


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (N, C, H, W), sides multiples of 8, after rounding the cosine transform of their blocks."""
    count, channels, height, width = planes.shape
    cosines = _cosines(planes.device)
    levels = (planes - 128).view(count, channels, height // 8, 8, width)
    columns = torch.matmul(cosines, levels).view(count, channels, height // 8, 8, width // 8, 8)
    steps = torch.matmul(columns, cosines.T).div_(table).round_().mul_(table)
    rows = torch.matmul(steps, cosines).view(count, channels, height // 8, 8, width)
    return torch.matmul(cosines.T, rows).view(planes.shape).add_(128).round_().clamp_(0, 255)


def _cosines(device: torch.device) -> Tensor:
    """The 8 x 8 matrix of the orthonormal cosine transform (DCT-II)."""
    place = torch.arange(8, device=device, dtype=torch.float64)
    matrix = torch.cos((2 * place + 1) * place[:, None] * torch.pi / 16) / 2
    matrix[0] /= 2**0.5
    return matrix.float()
