"""Images inside Parquet files, columns ``path`` and ``bytes``: read as a stream, however large the file."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from threading import Lock
from typing import Any

from leukoscope.core.addresses import file_system, is_address, reason
from leukoscope.core.files import printable
from leukoscope.errors import ImageFormatError, MissingExtraError, UsageError
from leukoscope.inference.identity import Identity, identify
from leukoscope.inference.parts import CellInput

NEEDED = frozenset({"path", "bytes"})
_TOLD = ("cell_id", "subject_id", "label", "split", "fold")
"""Further columns that are understood where they are there."""

WINDOW = 32
"""Images decoded from Parquet at a time."""
HELD = 256
"""Images held, for threads that read a little apart."""
NAMES_AT_ONCE = 4_096


class ByteTablePart:
    """The rows of one Parquet file of images; ``cell_id``, ``subject_id``, ``label``, ``split`` and ``fold``
    are taken where there are such columns.

    Args:
        place: a path or an address.

    Raises:
        MissingExtraError: without the extra ``scale``.
        UsageError: when it cannot be opened, or lacks a column.
    """

    def __init__(self, place: str) -> None:
        self._table = ByteTable(place)
        self._place = place
        self.metadata = {"root": place}

    def cells(self, *, alone: bool) -> Iterator[CellInput]:
        """The rows in their order; their images are read when they are asked for."""
        row, before = 0, "" if alone else f"{self._place}/"
        for batch in self._table.known():
            for told in batch:
                name = printable(told.pop("path") or f"row_{row}")
                who = identify(name, dict) or Identity(before + name)
                given = {key: value for key, value in told.items() if value is not None}
                read = partial(self._table.read, row)
                yield CellInput(path=before + name, read=read, **(who._asdict() | given))
                row += 1

    def count(self) -> int:
        """How many rows there are."""
        return self._table.num_rows


class ByteTable:
    """The images of a Parquet file by their row.

    Rows asked for more or less in order, by whatever threads, are read once; others cost reading from the
    start of their row group. It can be sent to another process, which opens the file anew.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._lock, self._held = Lock(), deque[tuple[int, Any]]()
        self._stream: Iterator[Any] | None = None
        self._next = 0
        self._broken: dict[int, tuple[int, str]] = {}
        try:
            self._file = _open(place)
        except MissingExtraError:
            raise
        except Exception as error:  # of Parquet, or of one of many file systems
            raise UsageError(f"{place}: cannot be read as Parquet: {reason(error)}") from None
        columns = self._file.schema_arrow.names
        if not set(columns) >= NEEDED:
            raise UsageError(
                f"{place}: expected images in Parquet, columns path, bytes. Received: {', '.join(columns)}",
                hint="a manifest or split must lie on a path, not at an address" if is_address(place) else "",
            )
        groups = self._file.metadata
        sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        self._starts: list[int] = [0, *accumulate(sizes)]

    def __reduce__(self) -> tuple[type[ByteTable], tuple[str]]:
        return ByteTable, (self._place,)

    @property
    def num_rows(self) -> int:
        """Of the file."""
        return self._starts[-1]

    def known(self) -> Iterator[list[dict[str, Any]]]:
        """All columns but the images, some thousand rows at a time."""
        told = [name for name in _TOLD if name in self._file.schema_arrow.names]
        for batch in _open(self._place).iter_batches(NAMES_AT_ONCE, columns=["path", *told]):
            yield batch.to_pylist()

    def read(self, row: int) -> bytes:
        """The bytes of one image; empty where the table has none.

        Raises:
            ImageFormatError: where the file is damaged.
        """
        with self._lock:
            while (found := self._look(row)) is None:
                self._advance(row)
        return found

    def _look(self, row: int) -> bytes | None:
        for first, images in self._held:
            if first <= row < first + len(images):
                return images[row - first].as_py() or b""
        return None

    def _advance(self, row: int) -> None:
        """Read the next window, or begin anew at the row group of ``row`` where it lies elsewhere."""
        group = self._group(row)
        damaged_from, why = self._broken.get(group, (self.num_rows, ""))
        if row >= damaged_from:
            raise ImageFormatError(self._place, why)
        try:
            if self._stream is None or not self._is_ahead(row, group):
                self._held.clear()
                self._next, self._stream = self._starts[group], self._windows(group)
            images = next(self._stream)
        except Exception as error:  # of Parquet, or of one of many file systems
            why = f"cannot be read from the table: {reason(error)}"
            self._stream, self._broken[self._group(self._next)] = None, (self._next, why)
            return
        self._held.append((self._next, images))
        self._next += len(images)
        while self._next - self._held[0][0] > HELD:
            self._held.popleft()

    def _windows(self, group: int) -> Iterator[Any]:
        """The images from this row group on; none of the windows reaches into the next one."""
        for number in range(group, len(self._starts) - 1):
            for batch in self._file.iter_batches(WINDOW, row_groups=[number], columns=["bytes"]):
                yield batch.column(0)

    def _group(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _is_ahead(self, row: int, group: int) -> bool:
        near = row - self._next < HELD
        return self._next <= row and (near or self._starts[group] <= self._next)


def _open(place: str) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingExtraError("images in Parquet", "scale") from None
    source: Any = place
    if is_address(place):
        system, path = file_system(place)
        source = system.open(path, "rb")
    return ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)
