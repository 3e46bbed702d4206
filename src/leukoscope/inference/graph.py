"""The contract of a bundle's graph, whatever runs it: uint8 cells in; logits, embedding and maybe cam out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from leukoscope.bundle.format import MODEL, MODEL_DATA
from leukoscope.bundle.read import Bundle
from leukoscope.errors import BundleError

INPUT = "cells"
OUTPUTS = ("logits", "embedding", "cam")
NEEDED = OUTPUTS[:2]


class Port(NamedTuple):
    """One input or output of a graph: ``dtype`` as numpy names it; ``None`` in ``shape`` is any size."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def check_contract(bundle: Bundle, inputs: Sequence[Port], outputs: Sequence[Port]) -> list[str]:
    """The outputs to ask for, in the order of :class:`~leukoscope.inference.backends.Outputs`.

    Raises:
        BundleError: for a graph with other inputs or outputs than ``bundle.json`` asks for.
    """
    _check_input(bundle, inputs)
    names = [port.name for port in outputs]
    if missing := [name for name in NEEDED if name not in names]:
        raise BundleError(
            f"{bundle.path}: {MODEL} has no output {' and '.join(missing)}. Received: {', '.join(names)}"
        )
    wide = outputs[names.index("logits")].shape[-1]
    if wide not in (None, len(bundle.info.classes)):
        raise BundleError(
            f"{bundle.path}: {MODEL} tells {wide} classes apart, bundle.json names {len(bundle.info.classes)}"
        )
    return [name for name in OUTPUTS if name in names]


def _check_input(bundle: Bundle, inputs: Sequence[Port]) -> None:
    side = bundle.info.preprocess.size
    if [(port.name, port.dtype) for port in inputs] != [(INPUT, "uint8")]:
        found = ", ".join(f"{port.name}: {port.dtype}" for port in inputs)
        raise BundleError(f"{bundle.path}: {MODEL} must take one input, 'cells' of uint8. Received: {found}")
    _, *cell = shape = inputs[0].shape or (None,)
    if len(cell) != 3 or any(
        have not in (None, want) for have, want in zip(cell, (side, side, 3), strict=True)
    ):
        received = ", ".join("any" if size is None else str(size) for size in shape)
        raise BundleError(f"{bundle.path}: {MODEL} must take (N, {side}, {side}, 3). Received: ({received})")


@contextmanager
def graph_file(bundle: Bundle) -> Iterator[Path]:
    """The graph as a file with its tensors beside it, as a runtime needs it that has to find them."""
    with tempfile.TemporaryDirectory(prefix="leukoscope-") as name:
        folder = Path(name)
        (folder / MODEL).write_bytes(bundle.onnx)
        bundle.copy(MODEL_DATA, folder / MODEL_DATA)
        yield folder / MODEL


def cannot_load(bundle: Bundle, runtime: str, error: Exception, *, package: str) -> BundleError:
    """What to say of a graph that a runtime refuses."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    message = f"{bundle.path}: {runtime} cannot load {MODEL}: {reason}"
    return BundleError(message, hint=f"update {package}, or export the bundle again")
