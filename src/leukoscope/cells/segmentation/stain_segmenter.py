"""White cells by their stain: nuclei by the blue dye, cytoplasm grown around them, touching cells cut apart.

All is done on the photograph brought to one scale, so that sizes are micrometres and a photograph of finer
pixels takes hardly longer. No weights, no chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from leukoscope.cells.light import Surface, density_of
from leukoscope.cells.segmentation.edges import Edge
from leukoscope.cells.segmentation.found import FLAGS, FoundCell
from leukoscope.cells.segmentation.judge import Body, judge
from leukoscope.cells.segmentation.settings import StainSettings
from leukoscope.cells.segmentation.shapes import Bits, closed, filled, magnified, opened, parts, solidity
from leukoscope.cells.segmentation.stain import Stains, separate
from leukoscope.errors import UsageError


class _Piece(NamedTuple):
    """A part of the working image: where it begins, what of it is the body, and whether it was cut off."""

    x: int
    y: int
    mask: Bits
    cut: bool = False

    def moved(self, x: int, y: int) -> _Piece:
        """``x`` columns to the right, ``y`` rows down."""
        return self._replace(x=self.x + x, y=self.y + y)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns in the working image."""
        height, width = self.mask.shape
        return np.s_[self.y : self.y + height, self.x : self.x + width]


class StainSegmenter:
    """See the head of the file.

    Args:
        settings: of every step.
    """

    def __init__(self, settings: StainSettings = StainSettings()) -> None:  # noqa: B008
        self.settings = settings

    def segment(self, image: np.ndarray, micrometres_per_pixel: float) -> list[FoundCell]:
        """As :meth:`~leukoscope.cells.segmentation.segmenters.Segmenter.segment` says."""
        check_photograph(image, micrometres_per_pixel)
        small = _resized(image, micrometres_per_pixel / self.settings.working_scale)
        stains = separate(small, blur=self._pixels(self.settings.blur))
        seeds = self._seeds(stains)
        bodies = self._bodies(stains, seeds) if seeds.any() else ()
        edge = Edge(self.settings.edge, micrometres_per_pixel)
        cells = [self._cell(body, seeds, stains, image, edge) for body in bodies]
        return sorted((cell for cell in cells if cell), key=lambda cell: (cell.y, cell.x))

    def _pixels(self, micrometres: float) -> float:
        return micrometres / self.settings.working_scale

    def _area(self, mask: Bits) -> float:
        """Square micrometres."""
        return cv2.countNonZero(mask) * self.settings.working_scale**2

    def _seeds(self, stains: Stains) -> Bits:
        """Pieces of nuclei."""
        stained = (stains.blue > self.settings.stained * stains.strength).astype(np.uint8)
        seeds = np.zeros_like(stained)
        for piece in _pieces(opened(stained, self._pixels(self.settings.seed_radius))):
            if self._area(piece.mask) < self.settings.seed_area:
                continue
            blue = stains.blue[piece.window][piece.mask > 0]
            if np.quantile(blue, 0.9) >= self.settings.peak * stains.strength:
                seeds[piece.window] |= piece.mask
        return seeds

    def _bodies(self, stains: Stains, seeds: Bits) -> Iterator[_Piece]:
        """Cytoplasm grown around the seeds, and what touches cut apart."""
        limits, smooth = self.settings, self._pixels(self.settings.smooth)
        near = cv2.distanceTransform(1 - seeds, cv2.DIST_L2, 5) < self._pixels(limits.reach)
        grown = ((self._of_white_cells(stains) & near) | (seeds > 0)).astype(np.uint8)
        whole = filled(opened(closed(filled(grown), smooth / 3), smooth))
        for piece in _pieces(whole):
            if (piece.mask & seeds[piece.window]).any():
                for sharp in _pieces(self._sharpened(piece, stains)):
                    part = sharp.moved(piece.x, piece.y)
                    if (part.mask & seeds[part.window]).any():
                        yield from self._apart(part, seeds)

    def _sharpened(self, piece: _Piece, stains: Stains) -> Bits:
        """A body ends where the density has fallen to half of what it is inside: blur has carried it on."""
        green = stains.density[piece.window][:, :, 1]
        mask = self._without_red_cells(piece, stains)
        ring = self._ring(mask)
        if not ring.any():
            return piece.mask
        level = self.settings.fall * float(np.quantile(green[ring], 0.25))
        solid = ((green > level) & (mask > 0)).astype(np.uint8)
        smooth = self._pixels(self.settings.smooth) / 2
        return filled(opened(filled(closed(solid, smooth)), smooth)) & mask

    def _without_red_cells(self, piece: _Piece, stains: Stains) -> Bits:
        """Pale places of red cells that lie against a body: far paler than that is, and red."""
        green = stains.density[piece.window][:, :, 1]
        ring = self._ring(piece.mask)
        if not ring.any():
            return piece.mask
        pale = green < self.settings.paler * float(np.median(green[ring]))
        red = stains.red[piece.window] > stains.blue[piece.window]
        return (piece.mask & ~(pale & red)).astype(np.uint8)

    def _ring(self, mask: Bits) -> np.ndarray:
        """What lies just inside of a body's outline."""
        framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
        return np.asarray((depth > 2) & (depth <= self._pixels(0.75) + 2))

    def _of_white_cells(self, stains: Stains) -> np.ndarray:
        """Where neither empty background nor a red cell is."""
        limits, strength = self.settings, stains.strength
        red = (stains.red > limits.red * strength) & (stains.red > limits.red_share * stains.blue)
        pale = stains.density[:, :, 1] > limits.pale * strength
        return np.asarray((pale | (stains.blue > limits.bluish * strength)) & ~red)

    def _apart(self, piece: _Piece, seeds: Bits) -> Iterator[_Piece]:
        """A body cut at its necks; parts without a nucleus have run out into something else and are left."""
        masks = [piece.mask]
        if solidity(piece.mask) < self.settings.convex:
            least = self._pixels(self.settings.part_radius)
            num, labels = parts(piece.mask, neck=self.settings.neck, min_radius=least)
            masks = [(labels == label).astype(np.uint8) for label in range(1, num + 1)]
        inside = seeds[piece.window]
        nucleated = [mask for mask in masks if self._area(mask & inside) >= self.settings.nucleus_area]
        for mask in nucleated or [piece.mask]:
            yield piece._replace(mask=mask, cut=len(nucleated) > 1)

    def _cell(
        self, piece: _Piece, seeds: Bits, stains: Stains, image: np.ndarray, edge: Edge
    ) -> FoundCell | None:
        """One body with its flags, at the size of the photograph; None where not a pixel of it is left."""
        shape, window, corner = image.shape, piece.window, (piece.x, piece.y)
        body = Body(
            piece.mask,
            seeds[window] & piece.mask,
            stains.blue[window],
            stains.red[window],
            stains.density[window],
        )
        nucleus, flags = judge(body, self.settings)
        cell = magnified(piece.mask, corner, stains.blue.shape, shape)
        if cell is None:
            return None
        x, y, mask = _to_edge(cell, image, stains.light, edge)
        if piece.cut:
            flags.add("touching")
        if reaches_edge(
            (x, y, mask.shape[1], mask.shape[0]), shape, within=1.5 * shape[1] / stains.blue.shape[1]
        ):
            flags.add("edge")
        inner = magnified(nucleus, corner, stains.blue.shape, shape)
        return FoundCell(x, y, mask, _placed(inner, (x, y), mask), tuple(f for f in FLAGS if f in flags))


def check_photograph(image: np.ndarray, micrometres_per_pixel: float) -> None:
    """Raise :class:`UsageError` for anything but uint8 ``(H, W, 3)`` and a scale above 0."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(
            f"expected a photograph as uint8 (H, W, 3). Received: {found}", hint="decode() gives such images"
        )
    if not image.size:
        raise UsageError(f"expected a photograph with pixels. Received: shape {image.shape}")
    if not 0 < micrometres_per_pixel < float("inf"):
        raise UsageError(f"expected micrometres per pixel above 0. Received: {micrometres_per_pixel}")


def reaches_edge(box: tuple[int, int, int, int], shape: tuple[int, ...], *, within: float = 0.0) -> bool:
    """Whether a box comes as near as ``within`` pixels to a side of an image ``(H, W, ...)``."""
    x, y, width, height = box
    return min(x, y, shape[1] - x - width, shape[0] - y - height) <= within


def _resized(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = (max(round(side * factor), 1) for side in image.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how))


def _pieces(mask: Bits) -> Iterator[_Piece]:
    """The connected parts of a mask, each in its own box."""
    num, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    for label in range(1, num):
        x, y, width, height = (int(value) for value in boxes[label, :4])
        part = labels[y : y + height, x : x + width] == label
        yield _Piece(x, y, part.astype(np.uint8))


def _to_edge(
    cell: tuple[int, int, np.ndarray], image: np.ndarray, light: Surface, edge: Edge
) -> tuple[int, int, np.ndarray]:
    """A mask in its box, drawn in to where the cell ends."""
    x, y, mask = cell
    height, width = mask.shape
    lamp = light._replace(shape=image.shape[:2]).density(x, y, (height, width))
    green = (density_of(image[y : y + height, x : x + width]) - lamp)[:, :, 1]
    drawn = edge.drawn_in(mask, np.ascontiguousarray(green))
    column, row, wide, high = cv2.boundingRect(drawn.view(np.uint8))
    return x + column, y + row, np.ascontiguousarray(drawn[row : row + high, column : column + wide])


def _placed(
    inner: tuple[int, int, np.ndarray] | None, corner: tuple[int, int], mask: np.ndarray
) -> np.ndarray:
    """A mask inside the box of another, and within it."""
    nucleus = np.zeros_like(mask)
    if inner is not None:
        x, y = inner[0] - corner[0], inner[1] - corner[1]
        left, top = max(x, 0), max(y, 0)
        part = inner[2][top - y :, left - x :][: mask.shape[0] - top, : mask.shape[1] - left]
        nucleus[top : top + part.shape[0], left : left + part.shape[1]] = part
    return np.asarray(nucleus & mask)
