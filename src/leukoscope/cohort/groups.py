"""Duplicate groups: subjects (or cells without a subject) that share a picture and must stay on one side."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import polars as pl

from leukoscope.cohort.source import natural_key

K = TypeVar("K", bound=Hashable)

_NAMED_MEMBERS = 6


def joined(links: Iterable[tuple[K, K]]) -> dict[K, K]:
    """Join what is linked, however long the chain: each thing with the representative of its set.

    >>> sets = joined([("a", "b"), ("c", "d"), ("b", "e")])
    >>> sets["a"] == sets["e"], sets["a"] == sets["c"]
    (True, False)
    """
    parent: dict[K, K] = {}

    def root(thing: K) -> K:
        parent.setdefault(thing, thing)
        while parent[thing] != thing:
            parent[thing] = parent[parent[thing]]
            thing = parent[thing]
        return thing

    for one, other in links:
        parent[root(one)] = root(other)
    return {thing: root(thing) for thing in list(parent)}


def duplicate_groups(
    owners: Sequence[str], contents: Sequence[str | None], *, known: Mapping[str, str] | None = None
) -> list[str | None]:
    """The duplicate group of each cell: owners that share a content, directly or through others.

    Args:
        owners: whose each cell is: its subject, or its own id where no subject is known.
        contents: a fingerprint of each cell's pixels; None where there is none (never a duplicate).
        known: owners already known to belong together, with the name of their group.

    Returns:
        For each cell the name of its group, None for an owner that shares with nobody. A group's name is the
        known one, else its owners joined by ``+``.

    >>> duplicate_groups(["20", "21", "H5"], ["x", "x", "y"])
    ['20+21', '20+21', None]
    """
    known = known or {}
    links: list[tuple[tuple[str, str], tuple[str, str]]] = []
    for owner, content in zip(owners, contents, strict=True):
        links.append((("owner", owner), ("content", content) if content is not None else ("owner", owner)))
        if owner in known:
            links.append((("owner", owner), ("known", known[owner])))
    sets = joined(links)
    members: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for thing, representative in sets.items():
        members.setdefault(representative, []).append(thing)
    names = {representative: _group_name(things) for representative, things in members.items()}
    return [names[sets["owner", owner]] for owner in owners]


def split_units(frame: pl.DataFrame) -> list[str]:
    """What must stay together, by row of a manifest: rows with equal text are one unit.

    A unit is a subject (a cell, where its subject is unknown) with all that it is linked to by a duplicate
    group or by a file of the same bytes. The text does not depend on the order of the rows.
    """
    subject = pl.concat_str(pl.lit("subject "), "subject_id")
    cells = frame.with_columns(pl.coalesce(subject, pl.concat_str(pl.lit("cell "), "cell_id")).alias("owner"))
    copies = cells.filter(pl.col("sha256").is_duplicated() & (pl.col("sha256") != ""))
    links: list[tuple[str, str]] = [
        *((owner, owner) for owner in cells["owner"].unique()),
        *cells.drop_nulls("duplicate_group")
        .select("owner", pl.lit("group ") + pl.col("duplicate_group"))
        .rows(),
        *copies.select("owner", pl.lit("bytes ") + pl.col("sha256")).rows(),
    ]
    sets = joined(dict.fromkeys(links))
    least: dict[str, str] = {}
    for owner in sorted(cells["owner"].unique()):
        least.setdefault(sets[owner], owner)
    return [least[sets[owner]] for owner in cells["owner"]]


def _group_name(things: list[tuple[str, str]]) -> str | None:
    groups = sorted((name for kind, name in things if kind == "known"), key=natural_key)
    owners = sorted((name for kind, name in things if kind == "owner"), key=natural_key)
    owners = [owner for owner in owners if not any(owner in group.split("+") for group in groups)]
    names = [*groups, *owners]
    if len(names) == 1:
        return groups[0] if groups else None
    if len(names) > _NAMED_MEMBERS:
        return f"{names[0]}+{len(names) - 1} more"
    return "+".join(names)
