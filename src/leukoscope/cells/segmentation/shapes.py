"""Shapes of masks: discs, holes, and where two round bodies touch."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]
"""A mask as OpenCV takes it: 0 and 1."""


def disc(radius: float) -> Bits:
    """A disc that no turn by 90 degrees and no flip changes; OpenCV's ellipse is not.

    >>> disc(1.0).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    reach = max(int(np.ceil(radius)), 1)
    line = np.arange(-reach, reach + 1)
    inside = line[:, None] ** 2 + line[None, :] ** 2 <= radius * radius + 0.3
    return np.ascontiguousarray(inside, dtype=np.uint8)


def opened(mask: Bits, radius: float) -> Bits:
    """Without what is narrower than a disc of that radius; what lies beyond the edge counts as like."""
    return np.asarray(_framed(mask, radius, cv2.MORPH_OPEN))


def closed(mask: Bits, radius: float) -> Bits:
    """With gaps narrower than a disc of that radius filled."""
    return np.asarray(_framed(mask, radius, cv2.MORPH_CLOSE))


def _framed(mask: Bits, radius: float, operation: int) -> NDArray[np.uint8]:
    reach = int(np.ceil(radius)) + 1
    framed = cv2.copyMakeBorder(mask, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    done = cv2.morphologyEx(framed, operation, disc(radius))
    return np.ascontiguousarray(done[reach:-reach, reach:-reach])


def filled(mask: Bits) -> Bits:
    """With all holes filled."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), contours, -1, 1, cv2.FILLED))


def solidity(mask: Bits) -> float:
    """Area over the area of the convex hull, about 1 for a disc; 0 for an empty mask."""
    points = cv2.findNonZero(mask)
    if points is None:
        return 0.0
    hull = cv2.convexHull(points)
    # the hull runs through the middles of pixels: half a pixel is missing all around
    area = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return float(min(len(points) / area, 1.0))


def parts(mask: Bits, *, neck: float, min_radius: float) -> tuple[int, NDArray[np.int32]]:
    """Cut a body where it has a neck.

    A part is a peak of the distance to the outside. Two peaks are two parts if the way from one to the other
    goes through a place narrower than ``neck`` times the lower of them.

    Args:
        mask: one connected body.
        neck: 0 to 1; lower cuts less.
        min_radius: of a part, pixels.

    Returns:
        The number of parts and their labels from 1 on, int32 of the shape of ``mask``; 0 outside.
    """
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.GaussianBlur(depths(framed), (0, 0), 1.0) * framed
    lowered = distance * np.float32(neck)
    peaks = ((_flooded(lowered, distance) <= lowered + 1e-4) & (distance >= min_radius)).astype(np.uint8)
    num, seeds = cv2.connectedComponents(cv2.dilate(peaks, disc(2)) & framed, connectivity=8)
    if num <= 2:
        return 1, mask.astype(np.int32)
    return num - 1, _shared_out(seeds, distance)[1:-1, 1:-1] * mask


def depths(mask: Bits) -> NDArray[np.float32]:
    """How far each pixel of a mask is from the nearest one outside, in pixels.

    OpenCV's last bit hangs on how many threads it has, and with it which of two equal peaks is the higher:
    roots of whole numbers are told apart by far more than the thousandth that is kept.
    """
    exact = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.round(exact, 3), np.float32)


def _flooded(start: NDArray[np.float32], limit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reconstruction by dilation: ``start`` spreads as far as ``limit`` allows."""
    kernel = np.ones((3, 3), np.uint8)
    while True:
        spread = np.minimum(cv2.dilate(start, kernel), limit)
        if np.array_equal(spread, start):
            return start
        start = spread


def _shared_out(seeds: NDArray[np.int32], distance: NDArray[np.float32]) -> NDArray[np.int32]:
    """Each pixel to the seed whose largest inscribed circle is nearest: two discs part at their neck."""
    aways = []
    for label in range(1, int(seeds.max()) + 1):
        seed = seeds == label
        aways.append(depths((~seed).astype(np.uint8)) - distance[seed].max())
    return np.asarray(np.argmin(aways, axis=0) + 1, np.int32)


def magnified(
    mask: Bits, corner: tuple[int, int], size: tuple[int, ...], wanted: tuple[int, ...]
) -> tuple[int, int, NDArray[np.bool_]] | None:
    """A part of a small image's mask at the size of the large one, with a smooth outline.

    Parts of one mask that share no pixel share none afterwards. What reaches a side of the small image
    reaches that of the large one.

    Args:
        mask: the part.
        corner: ``x, y`` of its first pixel in the small image.
        size: ``H, W`` of the small image.
        wanted: ``H, W`` of the large image.

    Returns:
        ``x, y`` of the box in the large image, and the mask in it; None where nothing is left.
    """
    (x, y), pad = corner, 4
    left, top = max(x - pad, 0), max(y - pad, 0)
    right, bottom = min(x + mask.shape[1] + pad, size[1]), min(y + mask.shape[0] + pad, size[0])
    soft = np.zeros((bottom - top, right - left), np.float32)
    soft[y - top : y - top + mask.shape[0], x - left : x - left + mask.shape[1]] = mask
    soft = cv2.GaussianBlur(soft, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
    across, down = size[1] / wanted[1], size[0] / wanted[0]
    x0, y0 = int(left / across), int(top / down)
    width = min(int(np.ceil(right / across)), wanted[1]) - x0
    height = min(int(np.ceil(bottom / down)), wanted[0]) - y0
    back = np.array([[across, 0, (x0 + 0.5) * across - 0.5 - left], [0, down, (y0 + 0.5) * down - 0.5 - top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(soft, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = large > 0.501  # not both of two that touch
    column, row, wide, high = cv2.boundingRect(inside.view(np.uint8))
    if not wide:
        return None
    return x0 + column, y0 + row, np.ascontiguousarray(inside[row : row + high, column : column + wide])
