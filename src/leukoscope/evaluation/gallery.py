"""A page of the cells that a model holds for the most and the least suspicious: to be looked at, not
believed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from leukoscope.core.config import Config
from leukoscope.core.files import write_text
from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.errors import UsageError
from leukoscope.evaluation.table import COLUMNS, stamps

if TYPE_CHECKING:
    from leukoscope.evaluation.pictures import Picture

NUM_SHOWN = 20
WITHOUT_A_CELL = ("blank", "none")
"""Quality flags that say that there is no cell to look at."""

STAMP_TEXTS = {
    "LEAKY": "The cells that fitted or judged this model were not kept apart by subject.",
    "SYNTHETIC": "The cells of this page, or those that the model was trained on, were drawn by a program.",
}


class GalleryCell(Config):
    """A cell of a gallery; what is not known is ``None``."""

    cell_id: str
    blast_probability: float
    decision: str | None = None
    reason: str | None = None
    quality: str | None = None
    path: str | None = None
    sha256: str | None = None


class Extremes:
    """The rows of highest and of lowest blast probability among all that pass, and how many passed.

    Memory does not grow with the number of rows.

    Args:
        num: cells to keep at either end.

    >>> extremes = Extremes(num=1)
    >>> extremes.add(pl.DataFrame({"cell_id": ["a", "b", "c"], "blast_probability": [0.2, 0.9, None]}))
    >>> [cell.cell_id for cell in extremes.most], [cell.cell_id for cell in extremes.least]
    (['b'], ['a'])
    >>> extremes.num_rows, extremes.num_unreadable
    (3, 1)
    """

    def __init__(self, num: int = NUM_SHOWN) -> None:
        self.num = num
        self.num_rows = self.num_unreadable = self.num_empty = 0
        self._kept: pl.DataFrame | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Take these rows of a prediction table into account.

        Rows without a probability count as unreadable, rows of images without a cell as empty; neither is
        shown.
        """
        known = _known(rows).with_row_index("place", self.num_rows)
        unreadable = pl.col("error").is_not_null() | ~pl.col("blast_probability").is_finite().fill_null(False)
        readable = known.filter(~unreadable)
        flags = pl.col("quality").fill_null("").str.split(",")
        cells = readable.filter(flags.list.set_intersection(list(WITHOUT_A_CELL)).list.len() == 0)
        self.num_rows += known.height
        self.num_unreadable += known.height - readable.height
        self.num_empty += readable.height - cells.height
        if cells.height:
            self._kept = self._ends(cells if self._kept is None else pl.concat([self._kept, cells]))

    def _ends(self, rows: pl.DataFrame) -> pl.DataFrame:
        ordered = rows.sort("blast_probability", "place", descending=[True, False])
        if rows.height <= 2 * self.num:
            return ordered
        return pl.concat([ordered.head(self.num), ordered.tail(self.num)])

    @property
    def num_cells(self) -> int:
        """Rows that show a cell and have a probability."""
        return self.num_rows - self.num_unreadable - self.num_empty

    @property
    def most(self) -> list[GalleryCell]:
        """The highest probabilities, highest first; half of the cells where they are few."""
        return self._cells()[: -(-self._num_shown // 2)]

    @property
    def least(self) -> list[GalleryCell]:
        """The lowest probabilities, lowest first; no cell of :attr:`most`."""
        return self._cells()[-(-self._num_shown // 2) :][::-1]

    @property
    def _num_shown(self) -> int:
        return 0 if self._kept is None else self._kept.height

    def _cells(self) -> list[GalleryCell]:
        if self._kept is None:
            return []
        named = self._kept.select(list(GalleryCell.model_fields))
        return [GalleryCell(**row) for row in named.iter_rows(named=True)]


def _known(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns that a gallery needs, null where a table of another program does not have them."""
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None).alias(name)).cast(COLUMNS[name])
        for name in (*GalleryCell.model_fields, "error")
    )


def check_gallery(path: Path) -> None:
    """Raise :class:`UsageError` for a name that no gallery can be written to."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path}: expected a name ending in .html", hint="for example gallery.html")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder", hint="name a file")


def write_gallery(
    extremes: Extremes, path: Path | str, metadata: Mapping[str, str], *, bundle_name: str = ""
) -> Path:
    """Write the page: one file that opens offline, pictures inside.

    Args:
        extremes: which cells, and of how many.
        path: ends in ``.html``.
        metadata: of the prediction table: ``root``, ``bundle_id``, ``leaky``, ``synthetic``.
        bundle_name: of the bundle that made it.

    Returns:
        ``path``.
    """
    from leukoscope.evaluation.report import fill  # a page is rare, and predicting should start at once

    check_gallery(Path(path))
    root = Path(metadata["root"]) if metadata.get("root") else None
    most, least = _with_pictures(root, extremes.most), _with_pictures(root, extremes.least)
    page = fill(
        "gallery.html.j2",
        probability=probability,
        has_pictures=any(picture.uri for _, picture in (*most, *least)),
        stamp_texts=STAMP_TEXTS,
        extremes=extremes,
        ends=[
            ("most", "highest", most),
            ("least", "lowest", least),
        ],
        stamps=[name for name in stamps(metadata).split(",") if name],
        bundle_name=bundle_name,
        bundle_id=metadata.get("bundle_id", ""),
        research_use_only=RESEARCH_USE_ONLY,
    )
    write_text(path, page)
    return Path(path)


def probability(value: float) -> str:
    """A probability for people: what is nearly sure is not shown as sure.

    >>> probability(0.81234), probability(0.999999), probability(0.00001)
    ('0.8123', '> 0.9999', '< 0.0001')
    """
    if value > 0.9999:
        return "> 0.9999"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _with_pictures(root: Path | None, cells: list[GalleryCell]) -> list[tuple[GalleryCell, Picture]]:
    from leukoscope.evaluation.pictures import read_pictures

    return list(zip(cells, read_pictures(root, cells), strict=True))
