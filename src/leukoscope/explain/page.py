"""``explain.html``: one page that opens offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from leukoscope.core.files import write_text
from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.evaluation.gallery import STAMP_TEXTS, probability
from leukoscope.evaluation.pictures import Picture
from leukoscope.evaluation.report import fill

if TYPE_CHECKING:
    from leukoscope.explain.explain import Explained

NUM_ERRORS = 100
"""Images without a map that are listed, at most."""


class Shown(NamedTuple):
    """A cell on the page: its place among the inputs, the picture of its map, those of its neighbours."""

    place: int
    uri: str
    neighbours: tuple[Picture, ...]


def write_page(done: Explained, shown: list[Shown], *, signed: bool, no_cause: str) -> None:
    """Write the page.

    Args:
        done: what was found.
        shown: the cells on the page.
        signed: whether the maps have values below zero.
        no_cause: what a map is not.
    """
    page = fill(
        "explain.html.j2",
        room="explain",
        done=done,
        cells=[
            (
                done.cells[one.place],
                one.uri,
                list(zip(done.cells[one.place].neighbours, one.neighbours, strict=True)),
            )
            for one in shown
        ],
        num_maps=done.num_cells - done.num_unreadable,
        errors=[cell for cell in done.cells if cell.error is not None][:NUM_ERRORS],
        signed=signed,
        no_cause=no_cause,
        probability=probability,
        stamp_texts=STAMP_TEXTS,
        research_use_only=RESEARCH_USE_ONLY,
    )
    write_text(done.page, page)
