"""Salted hashes of subjects and cells: a leak can still be found, names cannot be read off.

A short subject id can be guessed and tried, salt or not: this hides names from readers, not from a search.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from leukoscope.bundle.format import Privacy
from leukoscope.core.files import sha256_bytes
from leukoscope.evaluation.partitions import Evidence


def salted(values: Iterable[str], privacy: Privacy) -> list[str]:
    """Each value as it stands in ``subjects.parquet``: itself, or the SHA-256 of salt and value.

    >>> salted(["H10"], Privacy())
    ['H10']
    >>> len(salted(["H10"], Privacy(hashed=True, salt="00"))[0])
    64
    """
    if not privacy.hashed:
        return list(values)
    return [sha256_bytes(f"{privacy.salt}:{value}".encode()) for value in values]


def hashed(column: str, privacy: Privacy) -> pl.Expr:
    """The column with every value salted and hashed; unknown stays unknown."""
    return pl.col(column).map_batches(lambda values: _series(values, privacy), return_dtype=pl.Utf8)


def unnamed(evidence: Evidence, privacy: Privacy) -> Evidence:
    """The same with salted subjects, where the bundle is private."""
    if not privacy.hashed:
        return evidence

    def salt(name: str) -> str:
        return salted([name], privacy)[0]

    means, worst = evidence.subject_means, evidence.subject_means.worst_subject_id
    return evidence.model_copy(
        update={
            "without": {salt(name): readings for name, readings in evidence.without.items()},
            "subjects": [
                row.model_copy(update={"subject_id": salt(row.subject_id)}) for row in evidence.subjects
            ],
            "subject_means": means.model_copy(update={"worst_subject_id": salt(worst) if worst else None}),
        }
    )


def _series(values: pl.Series, privacy: Privacy) -> pl.Series:
    unique = values.unique().drop_nulls()
    return values.replace_strict(unique, pl.Series(salted(unique, privacy), dtype=pl.Utf8), default=None)
