"""Small cohorts for the tests of this room: discs on black, in any layout and format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest

from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.cohort.official import official_index

SIDE = 48


@pytest.fixture(scope="session")
def draw() -> Callable[..., np.ndarray]:
    """``draw(seed)`` is a picture (48, 48, 3) of a disc on black, another one for each seed."""

    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        colour = [int(value) for value in rng.integers(80, 200, 3)]
        cv2.circle(image, (24, 24), int(rng.integers(9, 18)), colour, -1)
        inside = image.any(axis=2)
        image[inside] = np.clip(image[inside].astype(int) + rng.integers(-20, 20, (inside.sum(), 3)), 1, 255)
        return image

    return draw


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """``encode(image, ".png")`` is the file of an RGB picture."""

    def encode(image: np.ndarray, suffix: str) -> bytes:
        options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
        done, data = cv2.imencode(suffix, image[..., ::-1], options)
        assert done
        return data.tobytes()

    return encode


@pytest.fixture(scope="session")
def write_cells(draw: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> Callable[..., Path]:
    """``write_cells(root, {path: seed})`` writes one picture for each path, in the format of its ending."""

    def write(root: Path, cells: Mapping[str, int]) -> Path:
        for path, seed in cells.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(encode(draw(seed), target.suffix.lower()))
        return root

    return write


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    """``make_manifest(rows, **metadata)`` is a manifest of rows in which most columns may be missing."""

    def make(rows: Sequence[Mapping[str, Any]], **metadata: str) -> Manifest:
        usual = {"path": "", "source": "training", "quality": ""}
        full = [
            {**dict.fromkeys(COLUMNS), **usual, "sha256": f"{place:064x}", **row}
            for place, row in enumerate(rows)
        ]
        return Manifest(pl.DataFrame(full, schema=COLUMNS), Path("nowhere"), metadata)

    return make


@pytest.fixture(scope="session")
def official_manifest() -> Manifest:
    """The complete C-NMC 2019 as its manifest would be, without the pixels: 15,114 rows."""
    name = pl.col("uid_name").str.strip_suffix(".bmp")
    number = pl.concat_str(pl.lit("final_"), pl.col("file").str.strip_suffix(".bmp"))
    frame = official_index().select(
        pl.coalesce(name, number).alias("cell_id"),
        pl.concat_str("split", "file", separator="/").alias("path"),
        pl.col("subject").alias("subject_id"),
        pl.col("split").alias("source"),
        pl.lit("").alias("quality"),
        "label",
        "sha256",
        "fold",
        "cell_width",
        "cell_height",
        "duplicate_group",
    )
    missing = [
        pl.lit(None, kind).alias(column) for column, kind in COLUMNS.items() if column not in frame.columns
    ]
    metadata = {"layout": "cnmc2019", "preliminary_listed": "1867"}
    return Manifest(frame.with_columns(missing).select(*COLUMNS), Path("nowhere"), metadata)
