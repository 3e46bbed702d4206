"""From a bundle and images to rows: decoding on threads beside the model, memory flat however many."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import aclosing, closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.core.inner_threads import no_inner_threads
from leukoscope.core.parallel import beside_loop, num_cpus, on_thread, ordered_map
from leukoscope.errors import BundleError, UsageError
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.backends import Backend, Outputs, make_backend, what_ran
from leukoscope.inference.copies import Answers, Asked, Copies, answer
from leukoscope.inference.inputs import InputLike, Inputs, resolve
from leukoscope.inference.novelty import References
from leukoscope.inference.parts import CellInput
from leukoscope.inference.prepare import Prepared, prepare
from leukoscope.inference.results import CellResult, results
from leukoscope.inference.rows import make_rows
from leukoscope.inference.views import run_views

MOST_CELLS = 65_536
MOST_THREADS = 1_024


def suggested_batch(num_cpus: int) -> int:
    """Cells that keep so many processors busy, and few enough to be ready soon.

    >>> suggested_batch(2), suggested_batch(16)
    (64, 256)
    """
    return min(max(64, 16 * num_cpus), 256)


def check_settings(*, views: int | None, batch_size: int, workers: int, threads: int) -> None:
    """Raise :class:`UsageError` for numbers that no :class:`Predictor` takes."""
    if views not in (None, 1, 8):
        raise UsageError(f"expected views 1 or 8. Received: {views}")
    given = {"batch_size": (batch_size, MOST_CELLS), "workers": (workers, MOST_THREADS)}
    for name, (number, most) in (given | {"threads": (threads, MOST_THREADS)}).items():
        if not 0 <= number <= most:
            raise UsageError(
                f"expected {name} from 1 to {most:,}, or 0 for what suits this machine. Received: {number}"
            )


class Judged(NamedTuple):
    """What a bundle says of a batch: a row for every cell, and the outputs of those that have pixels.

    ``outputs`` is ``None`` where none has.
    """

    rows: pl.DataFrame
    outputs: Outputs | None


class Predictor:
    """A bundle, loaded and ready.

    Any number of threads may use one at once, and get the rows that one alone would. It may be used as a
    context manager, ``with`` or ``async with``; after :meth:`close` it answers no more.

    The methods that begin with ``a`` are for programs with an event loop of asyncio. They do the same work on
    threads, so the loop never waits. Cancelled, they return at once; the batch under way is finished and
    thrown away, no further one is begun, and its threads end.

    Args:
        bundle: a folder or zip, the word ``"starter"``, or a bundle that is open already.
        backend: ``"auto"`` (ONNX Runtime), ``"onnxruntime"``, ``"openvino"`` or ``"torch"``.
        views: 1 or 8; what the bundle says where not given.
        batch_size: cells that the model sees at once, and rows of a chunk; 0 means as the processor suggests.
        workers: threads that read and decode; 0 means one for each processor.
        threads: of the model; 0 means one for each processor.

    Raises:
        BundleError: for a bundle that cannot be used.
        UsageError: for another backend, number of views or batch size.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        *,
        backend: str = "auto",
        views: int | None = None,
        batch_size: int = 0,
        workers: int = 0,
        threads: int = 0,
    ) -> None:
        check_settings(views=views, batch_size=batch_size, workers=workers, threads=threads)
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self.backend: Backend = make_backend(self.bundle, backend, threads=threads)
        self.views = views or self.bundle.info.views
        self.batch_size, self._workers = batch_size or suggested_batch(num_cpus()), workers or num_cpus()
        self._references = _references(self.bundle)

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the model; what is still asked for, also by a reader half way, is a UsageError."""
        self.backend = _Closed()

    def predict(
        self, inputs: InputLike | Iterable[InputLike] | Inputs, *, subject_id: str | None = None
    ) -> PredictionTable:
        """The prediction table: one row for every input, in order.

        Args:
            inputs: as :func:`~leukoscope.inference.inputs.resolve` takes them, or resolved already.
            subject_id: whose cells they all are.

        Raises:
            UsageError: when there is nothing there, or no image in it.
        """
        cells = self._cells(inputs, subject_id)
        return self._table(list(self._rows_of(cells)), cells)

    def predict_one(self, image: InputLike, *, subject_id: str | None = None) -> CellResult:
        """What the bundle says of one image; one that cannot be read has an ``error``, and raises none.

        Args:
            image: a path, pixels as uint8 (H, W, 3), a picture in Pillow, or the bytes of an image file.
            subject_id: whose cell it is.

        Raises:
            UsageError: when it is more than one cell, or no image.
        """
        cells = list(islice(self._cells(image, subject_id), 2))
        if len(cells) != 1:
            raise UsageError(
                "expected one image. Received: more than one", hint="predict and predict_each take many"
            )
        (rows,) = self.rows(cells)
        return next(results(rows, self.bundle.info.classes))

    def predict_each(
        self, inputs: InputLike | Iterable[InputLike] | Inputs, *, subject_id: str | None = None
    ) -> Generator[CellResult, None, None]:
        """The same rows one by one, as they are ready, in order; holds a few batches at a time.

        An iterator of inputs is read as it goes, two batches ahead of the model. Who leaves early lets the
        threads go by dropping the generator, or by its ``close()``.

        Args:
            inputs: as of :meth:`predict`.
            subject_id: whose cells they all are.

        Raises:
            UsageError: when there is nothing there, or no image in it; before the first result.
        """
        return self._each(self._cells(inputs, subject_id))

    async def apredict(
        self, inputs: InputLike | Iterable[InputLike] | Inputs, *, subject_id: str | None = None
    ) -> PredictionTable:
        """:meth:`predict` beside an event loop. An iterator of inputs is read on a thread."""
        cells = await on_thread(self._cells, inputs, subject_id)
        chunks = [rows async for rows in beside_loop(self._rows_of(cells))]
        return await on_thread(self._table, chunks, cells)

    async def apredict_one(self, image: InputLike, *, subject_id: str | None = None) -> CellResult:
        """:meth:`predict_one` beside an event loop; as many at once as the loop's threads."""
        return await on_thread(self.predict_one, image, subject_id=subject_id)

    async def apredict_each(
        self, inputs: InputLike | Iterable[InputLike] | Inputs, *, subject_id: str | None = None
    ) -> AsyncGenerator[CellResult, None]:
        """:meth:`predict_each` beside an event loop, for ``async for``. An iterator of inputs is read on a
        thread, no faster than results are taken."""
        cells = await on_thread(self._cells, inputs, subject_id)
        async with aclosing(beside_loop(self._rows_of(cells))) as chunks:
            async for rows in chunks:
                for result in results(rows, self.bundle.info.classes):
                    yield result

    def rows(
        self, inputs: Iterable[CellInput], *, of_photographs: bool = False
    ) -> Generator[pl.DataFrame, None, None]:
        """The same rows in chunks, at least one, as they are ready; holds a few batches at a time.

        Args:
            inputs: the cells.
            of_photographs: with the columns of :class:`~leukoscope.cohort.smears.Origin`.
        """
        copies = Copies()
        with closing(self.batches(inputs)) as batches:
            # the model has the next batch while these rows are made and written
            for done in ordered_map(self._answer, map(copies.ask, batches), workers=1, ahead=2):
                self._check_open()  # the model need not have been asked: all may be copies
                yield make_rows(done.batch, done.answers(), self.bundle, of_photographs=of_photographs)

    def batches(self, inputs: Iterable[CellInput]) -> Generator[list[Prepared], None, None]:
        """The cells, read and preprocessed on threads, in batches; at least one, which may be empty.

        Until the last one is taken, or the generator closed, OpenCV and OpenBLAS start no threads.
        """
        work = partial(prepare, info=self.bundle.info)
        ahead = -(-2 * self.batch_size // self._workers)  # two batches
        with (
            no_inner_threads(),
            closing(ordered_map(work, inputs, workers=self._workers, ahead=ahead)) as cells,
        ):
            yield list(islice(cells, self.batch_size))
            while batch := list(islice(cells, self.batch_size)):
                yield batch

    def judge(self, batch: list[Prepared]) -> Judged:
        """What the bundle says of these cells, all of the model's outputs with it."""
        pixels = [cell.pixels for cell in batch if cell.pixels is not None]
        if not pixels:
            return Judged(make_rows(batch, Answers.none(), self.bundle), None)
        outputs = run_views(self.backend, np.stack(pixels), self.views)
        answers = Answers(outputs.logits, self.novelty(outputs.embedding))
        return Judged(make_rows(batch, answers, self.bundle), outputs)

    def novelty(self, embedding: np.ndarray) -> np.ndarray:
        """How far embeddings (N, D) are from anything in training, float32 (N,); NaN without references."""
        if self._references is None:
            return np.full(len(embedding), np.nan, np.float32)
        return self._references.distance(embedding)

    def _answer(self, asked: Asked) -> Asked:
        return answer(asked, lambda pixels: run_views(self.backend, pixels, self.views), self.novelty)

    def _cells(self, inputs: InputLike | Iterable[InputLike] | Inputs, subject_id: str | None) -> Inputs:
        self._check_open()
        return inputs if isinstance(inputs, Inputs) else resolve(inputs, subject_id=subject_id)

    def _check_open(self) -> None:
        if isinstance(self.backend, _Closed):
            raise _closed()

    def _table(self, chunks: Sequence[pl.DataFrame], cells: Inputs) -> PredictionTable:
        return PredictionTable(pl.concat(chunks), self.metadata(cells))

    def _rows_of(self, cells: Inputs) -> Generator[pl.DataFrame, None, None]:
        return self.rows(cells, of_photographs=cells.of_photographs)

    def _each(self, cells: Inputs) -> Generator[CellResult, None, None]:
        for rows in self._rows_of(cells):
            yield from results(rows, self.bundle.info.classes)

    def metadata(self, inputs: Inputs) -> dict[str, str]:
        """Facts about all rows of these inputs, as the prediction table keeps them."""
        info, data = self.bundle.info, self.bundle.info.training_data
        stamps = {"leaky": data.leaky, "synthetic": data.synthetic}
        return {
            "bundle_id": self.bundle.bundle_id,
            "root": inputs.metadata.get("root", ""),
            **what_ran(self.backend),
            "classes": json.dumps(info.classes),
            "positive_classes": json.dumps(info.positive_classes),
            **{
                name: str(said or inputs.metadata.get(name) == "true").lower()
                for name, said in stamps.items()
            },
        }


def load(path: Bundle | Path | str, *, backend: str = "auto", views: int | None = None) -> Predictor:
    """Load a bundle for prediction; ``load("starter")`` is the one inside the package.

    It reads and checks every file, so a program with an event loop calls it on a thread.

    Raises:
        BundleError: for a bundle that cannot be used.
    """
    return Predictor(path, backend=backend, views=views)


class _Closed:
    """What is left of a model that was closed."""

    name = version = device = "closed"

    def run(self, batch: np.ndarray) -> Outputs:
        raise _closed()


def _closed() -> UsageError:
    return UsageError("this model was closed", hint="load it again, or use it inside its 'with' block")


def _references(bundle: Bundle) -> References | None:
    limit, embeddings = bundle.info.novelty, bundle.novelty
    if limit is None or embeddings is None:
        return None
    if len(embeddings) < limit.k:
        raise BundleError(
            f"{bundle.path}: keeps {len(embeddings)} novelty references, fewer than k = {limit.k}"
        )
    return References(embeddings, limit.k)
