"""Pictures that a model of segmented cells has never seen the like of, and two that are as good as seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.decode import decode

Image = NDArray[np.uint8]
Alter = Callable[[Image, np.random.Generator], Image]

SIDE = 450
NUM_DRAWN = 200
LEAST_CELL, MOST_CELL = 6_000, 90_000  # pixels of a cell cut out here


def others(folder: Path) -> dict[str, list[Image]]:
    """Pictures of the world by kind: ``folder`` holds ``bccd`` and ``pbc-lymphocytes``."""
    rng = np.random.default_rng(0)
    fields = [(path, _read(path)) for path in sorted((folder / "bccd" / "JPEGImages").glob("*.jpg"))]
    lymphocytes = [_read(path) for path in sorted((folder / "pbc-lymphocytes").glob("*.jpg"))]
    boxed = [cell for path, field in fields for cell in _white_cells(field, _annotation(path))]
    photographs = list(_crops(rng))
    return {
        "smear field": [field for _, field in fields],
        "lymphocyte of another laboratory, whole picture": lymphocytes,
        "white cell cut from a smear by its box": boxed,
        "photograph": photographs,
        "noise, uniform": [_noise(rng) for _ in range(NUM_DRAWN)],
        "noise, normal": [_normal(rng) for _ in range(NUM_DRAWN)],
        "black": [np.zeros((SIDE, SIDE, 3), np.uint8)] * 8,
        "lymphocyte of another laboratory, cut out on black": _kept(map(cut_out, lymphocytes)),
        "white cell of a smear, cut out on black": _kept(map(cut_out, boxed)),
    }


def altered(folder: Path) -> dict[str, Alter]:
    """Ways to make a segmented cell strange, by kind; the last two leave it as good as it was."""
    fields = sorted((folder / "bccd" / "JPEGImages").glob("*.jpg"))
    photographs = list(_crops(np.random.default_rng(1)))

    def onto_smear(cell: Image, rng: np.random.Generator) -> Image:
        return _inside(cell, _ground(fields[rng.integers(len(fields))], rng), keep=True)

    def photograph(cell: Image, rng: np.random.Generator) -> Image:
        return _inside(cell, _stretched(photographs[rng.integers(len(photographs))], cell))

    return {
        "cell pasted on a smear": onto_smear,
        "colours inverted, all of the picture": lambda cell, _: np.asarray(255 - cell),
        "colours inverted inside the cell": lambda cell, _: _inside(cell, np.asarray(255 - cell)),
        "red and green exchanged": lambda cell, _: np.ascontiguousarray(cell[..., [1, 0, 2]]),
        "photograph in the outline of a cell": photograph,
        "noise in the outline of a cell": lambda cell, rng: _inside(cell, _noise(rng, cell.shape)),
        "outline filled with the mean colour": lambda cell, _: _inside(cell, _plain(cell)),
        "blurred by 8 pixels": lambda cell, _: _inside(cell, cv2.GaussianBlur(cell, (0, 0), 8)),
        "half the size": lambda cell, _: _zoomed(cell, 0.5),
        "twice the size": lambda cell, _: _zoomed(cell, 2.0),
        "upside down": lambda cell, _: np.ascontiguousarray(cell[::-1, ::-1]),
        "mirrored": lambda cell, _: np.ascontiguousarray(cell[:, ::-1]),
    }


def cut_out(picture: Image) -> Image | None:
    """The stained body in the middle of a picture, on black; ``None`` where none of a cell's size is there.

    The threshold is Otsu's, of green less red: basic dyes absorb red and green, eosin little red.
    """
    smooth = cv2.GaussianBlur(picture, (0, 0), 2)
    stained = 255 - smooth[..., 1]
    _, mask = cv2.threshold(stained, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    _, bodies, facts, middles = cv2.connectedComponentsWithStats(mask)
    centre = np.array(mask.shape[::-1]) / 2
    large = [place for place in range(1, len(facts)) if LEAST_CELL <= facts[place, 4] <= MOST_CELL]
    if not large:
        return None
    body = min(large, key=lambda place: float(np.linalg.norm(middles[place] - centre)))
    outlines, _ = cv2.findContours(np.uint8(bodies == body), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    return np.where(filled[..., None] > 0, np.maximum(picture, 1), 0).astype(np.uint8)


def _read(path: Path) -> Image:
    return np.asarray(decode(path))


def _annotation(path: Path) -> Path:
    return path.parents[1] / "Annotations" / f"{path.stem}.xml"


def _white_cells(field: Image, annotation: Path) -> Iterator[Image]:
    for thing in ElementTree.parse(annotation).iter("object"):
        if thing.findtext("name") == "WBC" and (box := thing.find("bndbox")) is not None:
            left, top, right, bottom = (int(box.findtext(n) or 0) for n in ("xmin", "ymin", "xmax", "ymax"))
            if right > left and bottom > top:
                yield np.ascontiguousarray(field[max(top, 0) : bottom, max(left, 0) : right])


def _crops(rng: np.random.Generator) -> Iterator[Image]:
    """Squares of 300 pixels of photographs that are no cells."""
    from matplotlib import cbook
    from sklearn.datasets import load_sample_images

    with cbook.get_sample_data("grace_hopper.jpg") as stream:
        photographs = [*load_sample_images().images, decode(stream.read())]
    for number in range(NUM_DRAWN):
        photograph = photographs[number % len(photographs)]
        top, left = (rng.integers(length - 300) for length in photograph.shape[:2])
        yield np.ascontiguousarray(photograph[top : top + 300, left : left + 300])


def _noise(rng: np.random.Generator, shape: tuple[int, ...] = (SIDE, SIDE, 3)) -> Image:
    return rng.integers(0, 256, shape, dtype=np.uint8)


def _normal(rng: np.random.Generator) -> Image:
    return np.clip(rng.normal(128, 40, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def _kept(pictures: Iterator[Image | None]) -> list[Image]:
    return [picture for picture in pictures if picture is not None]


def _inside(cell: Image, other: Image, *, keep: bool = False) -> Image:
    """``other`` where the cell is, black around it; with ``keep`` the cell, and ``other`` around it."""
    is_cell = cell.any(axis=2, keepdims=True)
    if keep:
        return np.where(is_cell, cell, other)
    return np.where(is_cell, np.maximum(other, 1), 0).astype(np.uint8)


def _ground(path: Path, rng: np.random.Generator) -> Image:
    field = _read(path)
    top, left = (rng.integers(max(1, length - SIDE + 1)) for length in field.shape[:2])
    return field[top : top + SIDE, left : left + SIDE]


def _stretched(picture: Image, cell: Image) -> Image:
    return np.asarray(cv2.resize(picture, cell.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _plain(cell: Image) -> Image:
    mean = cell[cell.any(axis=2)].mean(axis=0)
    return np.broadcast_to(np.rint(mean), cell.shape).astype(np.uint8)


def _zoomed(cell: Image, factor: float) -> Image:
    """Of another size on as much black as there was, or more where the cell needs it."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    zoomed = cv2.resize(cell, None, fx=factor, fy=factor, interpolation=how)
    grown = cv2.resize(np.uint8(cell.any(axis=2)), zoomed.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(zoomed * grown[..., None])
