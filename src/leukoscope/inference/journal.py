"""What is finished of an output, so that a run which was killed can go on.

Beside ``OUT.partial``, where the rows lie until the output is whole, ``OUT.partial.json`` says how many of
them are whole, up to which byte or part, by which bundle, and for which inputs. Rows are written first and
noted then: what is written beyond the note is written again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from leukoscope.core.config import Config
from leukoscope.errors import UsageError
from leukoscope.inference.parts import CellInput

SECONDS = 1.0
"""Between two notes, at least."""


def partial_path(path: Path | str) -> Path:
    """Where rows lie until the table is whole.

    >>> partial_path("cells.csv").name
    'cells.csv.partial'
    """
    target = Path(path)
    return target.with_name(f"{target.name}.partial")


class Finished(Config):
    """The note.

    Attributes:
        run: what makes the rows what they are; a run that goes on must say the same.
        num_rows: that are whole.
        num_unreadable: those of them with an error.
        place: where they end: bytes of a file, parts of a folder.
        inputs: SHA-256 over id and path of these rows, in order.
    """

    run: dict[str, str]
    num_rows: int = 0
    num_unreadable: int = 0
    place: int = 0
    inputs: str = hashlib.sha256().hexdigest()


def interrupted(path: Path | str) -> Mapping[str, str]:
    """What the interrupted run of this output was; empty where there is none to go on with."""
    found = _finished(path)
    return found.run if found is not None and found.num_rows else {}


def _note_path(path: Path | str) -> Path:
    rows = partial_path(path)
    return rows.with_name(f"{rows.name}.json")


def _finished(path: Path | str) -> Finished | None:
    if not partial_path(path).exists() or not _note_path(path).is_file():
        return None
    try:
        return Finished.model_validate_json(_note_path(path).read_bytes())
    except ValidationError:
        return None


class Journal:
    """The note of one output, kept while it is written.

    Args:
        path: of the output.
        run: bundle, inputs' root and whatever else decides what the rows are.
        resume: go on where there is something to go on with.

    Raises:
        UsageError: when rows of an interrupted run lie there and ``resume`` is not given, or they are of
            another run.
    """

    def __init__(self, path: Path | str, run: Mapping[str, str], *, resume: bool) -> None:
        self._rows = partial_path(path)
        self._note = _note_path(path)
        found = _finished(path)
        if found is not None and found.num_rows and not resume:
            raise UsageError(
                f"{self._rows} holds {found.num_rows:,} finished rows of an interrupted run",
                hint=f"add --resume to go on with it, or remove {self._note.name} to begin anew",
            )
        if found is not None and found.num_rows and found.run != dict(run):
            other = next(key for key in {**found.run, **run} if found.run.get(key) != run.get(key))
            raise UsageError(
                f"{self._rows} is of another run: its {other} is {found.run.get(other)}, "
                f"not {run.get(other)}",
                hint=f"repeat what was asked for then, or remove {self._note.name} to begin anew",
            )
        self.finished = found or Finished(run=dict(run))
        self._digest = hashlib.sha256()
        self._noted = time.monotonic()

    def rest_of(self, cells: Iterable[CellInput]) -> Iterator[CellInput]:
        """The inputs whose rows are not there yet.

        Raises:
            UsageError: when those before them are not the ones whose rows are there.
        """
        iterator = iter(cells)
        for cell in islice(iterator, self.finished.num_rows):
            self._digest.update(_line(cell.cell_id, cell.path))
        if self._digest.hexdigest() != self.finished.inputs:
            raise UsageError(
                f"the first {self.finished.num_rows:,} inputs are not those of the rows in {self._rows}",
                hint=f"name the same inputs, or remove {self._note.name} to begin anew",
            )
        return iterator

    def add(self, rows: pl.DataFrame, place: int) -> None:
        """These rows are written now; they end at that byte or part."""
        for name, path in rows.select("cell_id", "path").iter_rows():
            self._digest.update(_line(name, path or ""))
        self.finished = self.finished.model_copy(
            update={
                "num_rows": self.finished.num_rows + rows.height,
                "num_unreadable": self.finished.num_unreadable + rows["error"].count(),
                "place": place,
                "inputs": self._digest.hexdigest(),
            }
        )
        if time.monotonic() - self._noted >= SECONDS:
            self.save()

    def save(self) -> None:
        """Note what is finished; a note is whole or the one before."""
        fresh = self._note.with_name(f"{self._note.name}.new")
        fresh.write_text(json.dumps(self.finished.model_dump()), encoding="utf-8")
        fresh.replace(self._note)
        self._noted = time.monotonic()

    def close(self) -> None:
        """The output is whole: no note is needed."""
        self._note.with_name(f"{self._note.name}.new").unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _line(cell_id: str, path: str) -> bytes:
    return f"{cell_id}\0{path}\n".encode("utf-8", "surrogateescape")
