"""The parts of a tab: cells that are counted apart, and the others."""

from __future__ import annotations

from leukoscope.review.store.tables import APART

OPEN = "indeterminate"
"""The tab that has parts."""
OTHERS = "others"
PARTS = (OTHERS, *APART)
"""What a tab of indeterminate cells can be narrowed to."""


def stored_apart(part: str) -> str:
    """How the cells of a part say that they are of it.

    >>> stored_apart("others"), stored_apart("not lymphoid")
    ('', 'not lymphoid')
    """
    return "" if part == OTHERS else part
