"""What class names mean: which exist, which count as blast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from leukoscope.cohort.source import natural_key
from leukoscope.core.config import nearest
from leukoscope.errors import UnknownClassError

KNOWN = {"all": "blast", "hem": "normal", "blast": "blast", "normal": "normal"}
"""Class names understood without being told, in lower case, with what they become."""

UNLABELLED = frozenset({"unlabelled", "unlabeled"})
"""Folder names (lower case) for cells whose class is not known."""


class Classes:
    """The classes of a cohort, as the user's words and the names found make them.

    Args:
        found: class names as they are in the source.
        positive: those (after renaming) that count as blast; needed unless all names are known ones.
        rename: new name by old.

    Raises:
        UnknownClassError: for names of unknown meaning, for two that differ only in case, and for
            ``positive`` or ``rename`` that name none of those found.

    >>> kinds = Classes(["ALL", "hem"])
    >>> kinds.names, kinds.positive, kinds.label("ALL")
    (('normal', 'blast'), ('blast',), 'blast')
    >>> Classes(["benign", "pre-B"], positive=["pre-B"]).names
    ('benign', 'pre-B')
    """

    def __init__(
        self, found: Iterable[str], *, positive: Sequence[str] = (), rename: Mapping[str, str] | None = None
    ) -> None:
        names = sorted(set(found), key=natural_key)
        _refuse_case_twins(names)
        _refuse_missing("--rename", rename or {}, names)
        renamed = {name: (rename or {}).get(name, name) for name in names}
        self._labels = {name: KNOWN.get(new.lower(), new) for name, new in renamed.items()}
        wanted = {KNOWN.get(name.lower(), name) for name in positive}
        labels = set(self._labels.values())
        if not wanted and labels <= set(KNOWN.values()):
            self.names: tuple[str, ...] = ("normal", "blast")
            self.positive: tuple[str, ...] = ("blast",)
            return
        if not wanted:
            raise UnknownClassError(
                f"expected the classes blast and normal (or all and hem), found: {', '.join(names)}",
                hint=f"say which count as blast, for example --positive {names[-1]}",
            )
        _refuse_missing("--positive", wanted, labels)
        self.positive = tuple(sorted(wanted, key=natural_key))
        self.names = (*sorted(labels - wanted, key=natural_key), *self.positive)

    def label(self, found: str) -> str:
        """The label for a class name as found in the source."""
        return self._labels[found]


def _refuse_case_twins(names: Sequence[str]) -> None:
    by_lower: dict[str, str] = {}
    for name in names:
        other = by_lower.setdefault(name.lower(), name)
        if other != name:
            raise UnknownClassError(
                f"two classes differ only in case: '{other}' and '{name}'",
                hint=f"if they are one, say --rename {name}={other}; check that no cell is there twice",
            )


def _refuse_missing(option: str, wanted: Iterable[str], found: Iterable[str]) -> None:
    known = sorted(found, key=natural_key)
    missing = sorted(set(wanted) - set(known), key=natural_key)
    if missing:
        guess = nearest(missing[0], known)
        hint = f"did you mean '{guess}'?" if guess else "name a class that is there"
        raise UnknownClassError(f"{option} {missing[0]}: no such class; found: {', '.join(known)}", hint=hint)
