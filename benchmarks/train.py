"""How fast training is, as ratios of two things measured in turn in one run; never beside other work.

    python benchmarks/train.py ratio [RECIPE...] [--pairs 6] [--seconds 8]
    python benchmarks/train.py peers [RECIPE...] [--cells 2000] [--epochs 3]
    python benchmarks/train.py variants [RECIPE...] [--rounds 5] [--steps 20]
    python benchmarks/train.py memory [RECIPE...] [--cells 10661]
    python benchmarks/train.py parameters

``ratio`` sets the fit beside a plain torch loop, ``peers`` beside Keras on TensorFlow; ``variants`` tries
torch.compile, channels-last, bf16 and fused optimisers; ``memory`` is the peak beyond the cache. Each writes
files below benchmarks/results, from which page.py makes benchmarks/RESULTS.md. ``parameters`` asks Keras for
the numbers that a test compares with ours. ``peers`` and ``parameters`` need benchmarks/keras/.venv, which
``make bench`` makes.

Without RECIPE, ``ratio`` takes all networks below 100 M parameters, the others a few. ``--data FOLDER``
takes BMP files named as those of C-NMC instead of drawn cells; ``LEUKOSCOPE_BENCHMARKS`` names a folder for
the files (0.2 GB, and the cache).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from leukoscope.core.files import write_json
from leukoscope.recipes import list_recipes, load_recipe
from page import in_words
from record import keep
from training import memory, peers, ratio, variants
from training.counts import PARAMETERS, TWINS, keras_counts, our_count

SMALL = ("cnn-45px", "cnn-recall", "cnn-32x4", "cnn-baseline", "leukoscope-s")
VARIED = ("cnn-45px", "cnn-recall", "resnet50-finetuned")
LARGE = 100_000_000


def measure_ratio(options: argparse.Namespace) -> Iterable[Path]:
    names = options.recipes or [name for name in list_recipes() if our_count(load_recipe(name)) < LARGE]
    for name in names:
        rows = ratio.measure(name, pairs=options.pairs, seconds=options.seconds, steps=options.steps)
        for row in rows:
            yield keep("ratio", f"{name}-{row['phase']}", row)


def measure_peers(options: argparse.Namespace) -> Iterable[Path]:
    for name in options.recipes or peers.LIMITS:
        found = peers.measure(name, cells=options.cells, epochs=options.epochs, drawn=options.data)
        yield keep("peers", name, found)


def measure_variants(options: argparse.Namespace) -> Iterable[Path]:
    for name in options.recipes or VARIED:
        yield keep("variants", name, variants.measure(name, rounds=options.rounds, steps=options.steps or 20))


def measure_memory(options: argparse.Namespace) -> Iterable[Path]:
    for name in options.recipes or SMALL:
        found = memory.measure(name, cells=options.cells, epochs=options.epochs, drawn=options.data)
        yield keep("memory", name, found)


def count_parameters(options: argparse.Namespace) -> Iterable[Path]:
    write_json(PARAMETERS, {name: keras_counts(name) for name in options.recipes or TWINS})
    yield PARAMETERS


COMMANDS = {
    "ratio": measure_ratio,
    "peers": measure_peers,
    "variants": measure_variants,
    "memory": measure_memory,
    "parameters": count_parameters,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--pairs", type=int, default=6, help="epochs of either side that count (ratio)")
    parser.add_argument("--seconds", type=float, default=8, help="of an epoch (ratio)")
    parser.add_argument("--steps", type=int, default=0, help="of an epoch (ratio: in place of --seconds)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (variants)")
    parser.add_argument("--cells", type=int, help="files (peers: 2000; memory: 10661)")
    parser.add_argument("--epochs", type=int, help="measured (peers: 3; memory: 2)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="take these BMP files")
    options = parser.parse_args()
    many = options.command == "memory"
    options.cells = options.cells or (10_661 if many else 2_000)
    options.epochs = options.epochs or (2 if many else 3)
    for path in COMMANDS[options.command](options):
        print(path)
        if path.suffix == ".json":
            print(in_words(json.loads(path.read_text())), flush=True)


if __name__ == "__main__":
    main()
