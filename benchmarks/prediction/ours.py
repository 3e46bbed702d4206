"""``leukoscope predict BUNDLE FOLDER -o OUT.csv``, with the time at which each batch ended.

    python prediction/ours.py BUNDLE FOLDER OUT.csv [--backend auto]

Prints a line of JSON as keras/predict.py does, and the backend that ran.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

batches: list[tuple[int, float]] = []
ran: dict[str, str] = {}
"""What the rows' metadata say; the backend that was chosen is among them."""


class Watch:
    """A bar that notes when it advances, and shows nothing."""

    def advance(self, steps: int = 1) -> None:
        batches.append((steps, time.perf_counter()))

    def skip(self, steps: int) -> None:
        """What an earlier run left is no work of this one."""

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
    write = module.write_predictions

    def writing(chunks: Iterable[object], out: Path, metadata: dict[str, str], *rest: object) -> object:
        ran.update(metadata)
        return write(chunks, out, metadata, *rest)

    with patch.multiple(module, progress=watching, write_predictions=writing):
        module.predict(options.bundle, options.folder, out=options.out, backend=options.backend)
    written = time.perf_counter()
    backend = ran.get("backend", options.backend)
    print(json.dumps({"batches": batches, "written": written, "versions": {}, "backend": backend}))


if __name__ == "__main__":
    main()
