"""From a bundle and images to rows: decoding on threads beside the model, memory flat however many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.core.parallel import num_cpus, ordered_map
from leukoscope.errors import BundleError, UsageError
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.backends import Outputs, make_backend
from leukoscope.inference.inputs import InputLike, Inputs, resolve
from leukoscope.inference.novelty import References
from leukoscope.inference.parts import CellInput
from leukoscope.inference.prepare import Prepared, prepare
from leukoscope.inference.rows import make_rows
from leukoscope.inference.views import run_views


class Judged(NamedTuple):
    """What a bundle says of a batch: a row for every cell, and the outputs of those that have pixels.

    ``outputs`` is ``None`` where none has.
    """

    rows: pl.DataFrame
    outputs: Outputs | None


class Predictor:
    """A bundle, loaded and ready.

    Args:
        bundle: a folder or zip, the word ``"starter"``, or a bundle that is open already.
        backend: ``"auto"`` (ONNX Runtime), ``"onnxruntime"`` or ``"torch"``.
        views: 1 or 8; what the bundle says where not given.
        batch_size: cells that the model sees at once, and rows of a chunk.
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
        batch_size: int = 64,
        workers: int = 0,
        threads: int = 0,
    ) -> None:
        if views not in (None, 1, 8) or batch_size < 1 or workers < 0:
            given = f"views={views}, batch_size={batch_size}, workers={workers}"
            raise UsageError(f"expected views 1 or 8, batch_size from 1, workers from 0. Received: {given}")
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self.backend = make_backend(self.bundle, backend, threads=threads)
        self.views = views or self.bundle.info.views
        self._batch_size, self._workers = batch_size, workers or num_cpus()
        self._references = _references(self.bundle)

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
        inputs = inputs if isinstance(inputs, Inputs) else resolve(inputs, subject_id=subject_id)
        return PredictionTable(pl.concat(self.rows(inputs)), self.metadata(inputs))

    def rows(self, inputs: Iterable[CellInput]) -> Iterator[pl.DataFrame]:
        """The same rows in chunks, at least one, as they are ready; holds a few batches at a time."""
        for batch in self.batches(inputs):
            yield self.judge(batch).rows

    def batches(self, inputs: Iterable[CellInput]) -> Iterator[list[Prepared]]:
        """The cells, read and preprocessed on threads, in batches; at least one, which may be empty."""
        work = partial(prepare, info=self.bundle.info)
        ahead = -(
            -2 * self._batch_size // self._workers
        )  # decode the next batch while the model has this one
        prepared = ordered_map(work, inputs, workers=self._workers, ahead=ahead)
        yield list(islice(prepared, self._batch_size))
        while batch := list(islice(prepared, self._batch_size)):
            yield batch

    def judge(self, batch: list[Prepared]) -> Judged:
        """What the bundle says of these cells."""
        pixels = [cell.pixels for cell in batch if cell.pixels is not None]
        outputs = run_views(self.backend, np.stack(pixels), self.views) if pixels else None
        return Judged(make_rows(batch, outputs, self.bundle, self._references), outputs)

    def metadata(self, inputs: Inputs) -> dict[str, str]:
        """Facts about all rows of these inputs, as the prediction table keeps them."""
        info, data = self.bundle.info, self.bundle.info.training_data
        stamps = {"leaky": data.leaky, "synthetic": data.synthetic}
        return {
            "bundle_id": self.bundle.bundle_id,
            "root": inputs.metadata.get("root", ""),
            "classes": json.dumps(info.classes),
            "positive_classes": json.dumps(info.positive_classes),
            **{
                name: str(said or inputs.metadata.get(name) == "true").lower()
                for name, said in stamps.items()
            },
        }


def load(path: Bundle | Path | str, *, backend: str = "auto", views: int | None = None) -> Predictor:
    """Load a bundle for prediction; ``load("starter")`` is the one inside the package.

    Raises:
        BundleError: for a bundle that cannot be used.
    """
    return Predictor(path, backend=backend, views=views)


def _references(bundle: Bundle) -> References | None:
    limit, embeddings = bundle.info.novelty, bundle.novelty
    if limit is None or embeddings is None:
        return None
    if len(embeddings) < limit.k:
        raise BundleError(
            f"{bundle.path}: keeps {len(embeddings)} novelty references, fewer than k = {limit.k}"
        )
    return References(embeddings, limit.k)
