"""Predictions in shards: each is judged and written by itself, anywhere, and written once.

A shard holds the rows of so many inputs that follow each other. Its file says which inputs and which run they
are of; a shard that is there already is recognised by that and kept.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from leukoscope.core.addresses import Place, below, names_in, read_bytes, write_bytes
from leukoscope.core.files import sha256_bytes
from leukoscope.errors import UsageError
from leukoscope.evaluation.shards import MANIFEST, Shard, ShardManifest, read_manifest
from leukoscope.inference.parts import CellInput
from leukoscope.inference.predictor import Predictor

LEAST_ROWS, MOST_ROWS, UNKNOWN_ROWS = 256, 16_384, 1_024
"""Of a shard. Few, so that all workers are busy until the end and a lost shard is soon made again; many, so
that a billion cells are not a million files."""


@dataclass(frozen=True)
class Job:
    """One shard to be made.

    Attributes:
        number: from 0 on, in the order of the inputs.
        cells: whose rows it holds.
        folder: where it goes.
        run: what makes the rows what they are.
        metadata: of the prediction table.
        of_photographs: whether the rows say where in a photograph the cells lie.
    """

    number: int
    cells: list[CellInput]
    folder: Place
    run: Mapping[str, str]
    metadata: Mapping[str, str]
    of_photographs: bool


def judge_shard(predictor: Predictor, job: Job) -> Shard:
    """Judge the cells and write their shard, unless it is there already.

    Raises:
        UsageError: when the shard that is there is of other inputs or of another run.
    """
    name, inputs = shard_name(job.number), _digest(job.cells)
    marks = {"run": json.dumps(dict(job.run), sort_keys=True), "inputs": inputs}
    place = below(job.folder, name)
    data = _whole(place)
    if data is None:
        stream = io.BytesIO()
        rows = predictor.rows(job.cells, of_photographs=job.of_photographs)
        pl.concat(rows).write_parquet(stream, metadata={**job.metadata, **marks})
        data = stream.getvalue()
        write_bytes(place, data)
    else:
        _check_marks(place, data, marks)
    errors = pl.read_parquet(io.BytesIO(data), columns=["error"])["error"]
    unreadable = len(errors) - errors.null_count()
    return Shard(name=name, rows=len(errors), unreadable=unreadable, sha256=sha256_bytes(data), inputs=inputs)


def shard_name(number: int) -> str:
    """Names sort in the order of the inputs.

    >>> shard_name(12)
    'part-000012.parquet'
    """
    return f"part-{number:06}.parquet"


def _whole(place: Place) -> bytes | None:
    """The bytes of a shard; ``None`` where there is none, or half of one."""
    try:
        data = read_bytes(place)
        pl.read_parquet_metadata(io.BytesIO(data))
    except (FileNotFoundError, pl.exceptions.PolarsError):
        return None
    return data


def _check_marks(place: Place, data: bytes, marks: Mapping[str, str]) -> None:
    found = pl.read_parquet_metadata(io.BytesIO(data))
    for mark, what in (("run", "another run"), ("inputs", "other inputs")):
        if found.get(mark) != marks[mark]:
            raise UsageError(
                f"{place} holds the rows of {what}",
                hint="repeat what was asked for then, or name another folder",
            )


def _digest(cells: Iterable[CellInput]) -> str:
    digest = hashlib.sha256()
    for cell in cells:
        digest.update(f"{cell.cell_id}\0{cell.path}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


class ShardFolder:
    """A folder of shards while it is made.

    Args:
        folder: a path or an address; its name ends in ``.parquet``.
        run: what makes the rows what they are; a run that goes on must say the same.
        metadata: of the prediction table.
        columns: name -> type of the rows.
        num_cells: how many there will be, where that is known.
        resume: go on where there is something to go on with.

    Raises:
        UsageError: when something else lies there, or rows of another run, or ``resume`` is not given and
            rows are there.
    """

    def __init__(
        self,
        folder: Place,
        *,
        run: Mapping[str, str],
        metadata: Mapping[str, str],
        columns: Mapping[str, type[pl.DataType]],
        num_cells: int | None,
        resume: bool,
    ) -> None:
        self.folder = folder
        found = _begun(folder, resume)
        if found is not None and found.run != dict(run):
            other = next(key for key in {**found.run, **run} if found.run.get(key) != run.get(key))
            raise UsageError(
                f"{folder} is of another run: its {other} is {found.run.get(other)}, not {run.get(other)}",
                hint="repeat what was asked for then, or name another folder",
            )
        self.manifest = found or ShardManifest(
            run=dict(run),
            metadata=dict(metadata),
            columns={name: str(kind) for name, kind in columns.items()},
            rows_per_shard=rows_per_shard(num_cells),
        )
        if found is None:
            self._write()

    def jobs(self, cells: Iterable[CellInput]) -> Iterator[Job]:
        """All shards, at least one, which may be empty; the cells of one are held at a time."""
        iterator, manifest = iter(cells), self.manifest
        number = 0
        while (some := list(islice(iterator, manifest.rows_per_shard))) or number == 0:
            of_photographs = "photograph" in manifest.columns
            yield Job(number, some, self.folder, manifest.run, manifest.metadata, of_photographs)
            number += 1

    def close(self, shards: Mapping[int, Shard]) -> ShardManifest:
        """All shards are there: say so.

        Raises:
            UsageError: when more are there, of inputs that were not named this time.
        """
        ordered = tuple(shards[number] for number in range(len(shards)))
        more = names_in(self.folder) - {MANIFEST, *(shard.name for shard in ordered)}
        if extra := sorted(name for name in more if name.startswith("part-")):
            raise UsageError(
                f"{below(self.folder, extra[0])} holds the rows of other inputs",
                hint="repeat what was asked for then, or name another folder",
            )
        self._tidy(more)
        inputs = hashlib.sha256("".join(shard.inputs for shard in ordered).encode()).hexdigest()
        self.manifest = self.manifest.model_copy(
            update={"complete": True, "shards": ordered, "inputs": inputs}
        )
        self._write()
        return self.manifest

    def _tidy(self, names: set[str]) -> None:
        """Remove what workers that were killed had begun to write."""
        if isinstance(self.folder, Path):
            for name in names:
                if name.startswith(".part-"):
                    (self.folder / name).unlink(missing_ok=True)

    def _write(self) -> None:
        text = json.dumps(self.manifest.model_dump(), indent=1, ensure_ascii=False)
        write_bytes(below(self.folder, MANIFEST), f"{text}\n".encode())


def rows_per_shard(num_cells: int | None) -> int:
    """How many rows a shard has: some 256 shards in all, within limits.

    >>> rows_per_shard(20_000), rows_per_shard(1_000_000), rows_per_shard(1_000_000_000), rows_per_shard(None)
    (256, 3840, 16384, 1024)
    """
    if num_cells is None:
        return UNKNOWN_ROWS
    return min(MOST_ROWS, LEAST_ROWS * max(1, num_cells // (256 * LEAST_ROWS)))


def check_shard_target(folder: Place | None) -> None:
    """Raise :class:`UsageError` for a name that no folder of shards can be written to."""
    if folder is None:
        raise UsageError("--engine ray writes a folder of Parquet files", hint="name it: -o cells.parquet")
    if not str(folder).rstrip("/").endswith(".parquet"):
        raise UsageError(
            f"{folder}: --engine ray writes a folder of Parquet files",
            hint="let its name end in .parquet, for example cells.parquet",
        )


def _begun(folder: Place, resume: bool) -> ShardManifest | None:
    """What an interrupted run left, ``None`` where nothing is there yet."""
    try:
        names, found = names_in(folder), read_manifest(folder)
    except NotADirectoryError:
        raise UsageError(f"{folder}: is a file", hint="remove it, or name another folder") from None
    if found is not None and found.complete:
        raise UsageError(
            f"{folder} holds {found.num_rows:,} predictions already", hint="remove it, or name another folder"
        )
    if found is not None and not resume:
        raise UsageError(
            f"{folder} holds rows of an interrupted run",
            hint="add --resume to go on with it, or remove it to begin anew",
        )
    if found is None and names:
        raise UsageError(f"{folder}: is a folder of other things", hint="name one that is not there yet")
    return found
