"""``leukoscope predict BUNDLE FOLDER -o OUT.csv``, with the time at which each batch ended.

    python prediction/ours.py BUNDLE FOLDER OUT.csv [--backend auto]

Prints a line of JSON as keras/predict.py does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

batches: list[tuple[int, float]] = []


class Watch:
    """A bar that notes when it advances, and shows nothing."""

    def advance(self, steps: int = 1) -> None:
        batches.append((steps, time.perf_counter()))

    def note(self, text: str) -> None:
        """Nothing is shown."""


@contextmanager
def watching(description: str, total: int | None = None) -> Iterator[Watch]:
    yield Watch()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    module = import_module("leukoscope.inference.predict")
    with patch.object(module, "progress", watching):
        module.predict(options.bundle, options.folder, out=options.out, backend=options.backend)
    written = time.perf_counter()
    versions = {"onnxruntime": version("onnxruntime")}
    print(json.dumps({"batches": batches, "written": written, "versions": versions}))


if __name__ == "__main__":
    main()
