"""A sheet of augmented cells: what a recipe shows its network, to be looked at before training."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import numpy as np
import polars as pl
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from leukoscope.cells.decode import decode
from leukoscope.cohort.manifest import UNREADABLE, Manifest
from leukoscope.core.files import atomic
from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.errors import TrainingError
from leukoscope.evaluation.table import stamps
from leukoscope.recipes.schema import Augmentation, Recipe
from leukoscope.training.augment import augment, mix

PREVIEW = "preview.png"
"""Its name in the folder of a run; training there afterwards is allowed."""

NUM_VERSIONS = 7
TILE, GAP, MARGIN = 144, 4, 16
LINE, SMALL, LARGE = 20, 13, 18
GROUND, INK, QUIET = (24, 26, 32), (235, 236, 240), (160, 166, 178)


def write_preview(recipe: Recipe, split: Manifest, out: Path, num: int) -> Path:
    """Write ``out/preview.png``: ``num`` training cells, a row each, as they are and varied seven times.

    Cells are as the network gets them, after preprocessing; what is varied is seeded by the recipe's seed.

    Args:
        recipe: preprocessing, augmentation, seed.
        split: a split with roles; its readable, labelled training cells are drawn from, classes in turn.
        out: a folder, made where it is not there.
        num: cells; fewer where there are not so many.

    Returns:
        The path of the picture.

    Raises:
        TrainingError: when there is no training cell. ImageError: when one cannot be read.
    """
    rows = _drawn(split, num, recipe.training.seed)
    if not len(rows):
        raise TrainingError("there is no training cell to show", hint="look at 'leukoscope data audit'")
    shown = [
        recipe.preprocess.apply(decode(split.read_bytes(path), name=path)) for path in rows["path"].to_list()
    ]
    cells = torch.from_numpy(np.stack(shown))
    labels = torch.tensor([split.classes.index(label) for label in rows["label"].to_list()])
    varied = _versions(cells, labels, len(split.classes), recipe)
    sheet = _sheet(torch.cat([cells[:, None], varied], 1).numpy(), rows["label"].to_list())
    with atomic(out / PREVIEW) as temporary:
        _with_heading(sheet, recipe, stamps(split.metadata)).save(temporary, "PNG", optimize=True)
    return out / PREVIEW


def _drawn(split: Manifest, num: int, seed: int) -> pl.DataFrame:
    """Rows of ``num`` training cells, in an order of chance but for the classes, which take turns."""
    usable = split.frame.filter(
        (pl.col("split") == "train")
        & pl.col("label").is_not_null()
        & ~pl.col("quality").str.starts_with(UNREADABLE)
    )
    shuffled = usable.sample(fraction=1.0, shuffle=True, seed=seed)
    turn = pl.int_range(pl.len()).over("label")
    return shuffled.sort(turn, "label", maintain_order=True).head(num)


def _versions(cells: Tensor, labels: Tensor, num_classes: int, recipe: Recipe) -> Tensor:
    """(N, 7, S, S, 3) uint8: every cell seven times in one batch in random order, as batches are."""
    generator = torch.Generator().manual_seed(recipe.training.seed)
    order = torch.randperm(len(cells) * NUM_VERSIONS, generator=generator)
    which = torch.arange(len(cells)).repeat_interleave(NUM_VERSIONS)[order]
    pixels = augment(cells[which], recipe.augmentation, generator)
    if recipe.augmentation.mixup:
        targets = functional.one_hot(labels[which], num_classes).float()
        pixels, _ = mix(pixels, targets, recipe.augmentation.mixup, generator)
    varied = torch.empty_like(pixels)
    varied[order] = pixels
    return varied.round().byte().permute(0, 2, 3, 1).reshape(len(cells), NUM_VERSIONS, *cells.shape[1:])


def _sheet(tiles: np.ndarray, labels: list[str]) -> Image.Image:
    """Tiles (N, 8, S, S, 3) in a grid, pixels enlarged whole so that they can be seen."""
    num_rows, num_columns, size = tiles.shape[:3]
    side = max(1, round(TILE / size)) * size if size < 2 * TILE else 2 * TILE
    how = Image.Resampling.NEAREST if side >= size else Image.Resampling.BOX
    step = side + GAP
    sheet = Image.new("RGB", (num_columns * step + GAP, LINE + num_rows * step), GROUND)
    pen = ImageDraw.Draw(sheet)
    titles = ["as it is", *(f"varied {number}" for number in range(1, num_columns))]
    for column, title in enumerate(titles):
        x = column * step + (GAP if column else 0)  # the cell itself stands a little apart
        pen.text((x + 2, 1), title, QUIET, ImageFont.load_default(SMALL))
        for row in range(num_rows):
            tile = Image.fromarray(tiles[row, column]).resize((side, side), how)
            sheet.paste(tile, (x, LINE + row * step))
    for row, label in enumerate(labels):
        pen.text((5, LINE + row * step + 3), label, QUIET, ImageFont.load_default(SMALL))
    return sheet


def _with_heading(sheet: Image.Image, recipe: Recipe, stamp: str) -> Image.Image:
    """The sheet below the recipe's name and settings."""
    width = sheet.width + 2 * MARGIN
    preprocess = recipe.preprocess
    lines = [
        line
        for text in (recipe.title, _settings(recipe.augmentation))
        for line in wrap(text, max(40, sheet.width // 7))
    ]
    lines.append(f"{preprocess.size} px of a field of {preprocess.field}, seed {recipe.training.seed}")
    lines.append(f"[{stamp}] {RESEARCH_USE_ONLY}" if stamp else RESEARCH_USE_ONLY)
    top = MARGIN + LARGE + 10 + LINE * len(lines) + 6
    page = Image.new("RGB", (width, top + sheet.height + MARGIN), GROUND)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 4), f"Recipe {recipe.name}", INK, ImageFont.load_default(LARGE))
    for number, line in enumerate(lines):
        place = (MARGIN, MARGIN + LARGE + 8 + LINE * number)
        pen.text(place, line, QUIET, ImageFont.load_default(SMALL))
    page.paste(sheet, (MARGIN, top))
    return page


def _settings(augmentation: Augmentation) -> str:
    """What is switched on, in words.

    >>> _settings(Augmentation(rotation=30, flip=True))
    'Augmentation: rotation 30, flip'
    """
    chosen = augmentation.model_dump(exclude_defaults=True)
    words = [
        name.replace("_", " ") + ("" if value is True else f" {value:g}" if name != "fill" else f" {value}")
        for name, value in chosen.items()
    ]
    return f"Augmentation: {', '.join(words)}" if not augmentation.is_off else "Augmentation: none"
