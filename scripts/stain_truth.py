#!/usr/bin/env python3
"""Write tests/cells/stain_truth.npz: what torchstain and scikit-image make of drawn pixels.

usage: stain_truth.py [OUT.npz]

In an environment of its own, for neither is needed by the package:

    python -m venv there && there/bin/pip install torchstain==1.4.1 scikit-image==0.26.0
    there/bin/python scripts/stain_truth.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from skimage.color import lab2rgb, rgb2lab
from torchstain.numpy.normalizers.macenko import NumpyMacenkoNormalizer

OUT = Path(__file__).parents[1] / "tests/cells/stain_truth.npz"
IO = 241  # light, as cells/normalisation.py has it: LEVEL + 1, over values + 1
BETA = 0.15 * np.log(10)  # torchstain takes natural logarithms


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("out", type=Path, nargs="?", default=OUT)
    out = ask.parse_args().out
    rng = np.random.default_rng(0)
    source = drawn(rng, ((0.66, 0.62, 0.42), (0.35, 0.80, 0.49)), (0.8, 0.6))
    target = drawn(rng, ((0.55, 0.70, 0.46), (0.42, 0.77, 0.48)), (1.0, 0.7))
    colours = rng.integers(1, 256, (300, 3), dtype=np.uint8)
    lab_mean, lab_deviation = statistics(target)
    dyes, strengths, macenko = by_torchstain(source, target)
    np.savez_compressed(
        out, colours=colours, lab=rgb2lab(colours), source=source, macenko=macenko, dyes=dyes,
        strengths=strengths, reinhard=reinhard(source, lab_mean, lab_deviation), lab_mean=lab_mean,
        lab_deviation=lab_deviation,
    )  # fmt: skip
    print(f"{out}: {out.stat().st_size:,} bytes")


Rows = tuple[tuple[float, float, float], tuple[float, float, float]]


def drawn(rng: np.random.Generator, dyes: Rows, most: tuple[float, float]) -> np.ndarray:
    """A picture of two dyes in every share, dark enough in every channel that no pixel is taken for empty."""
    unit = np.array(dyes) / np.linalg.norm(dyes, axis=1, keepdims=True)
    amounts = rng.uniform(0.25, 1, (40, 50, 2)) * most
    return np.asarray(np.rint(IO * 10 ** -(amounts @ unit) - 1), np.uint8)


def by_torchstain(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dyes ``(2, 3)`` and strengths ``(2,)`` of the target, in density to base ten, and the source in
    them."""
    normaliser = NumpyMacenkoNormalizer()
    normaliser.fit(target, Io=IO, beta=BETA)
    result = normaliser.normalize(source, Io=IO, beta=BETA, stains=False)[0]
    return normaliser.HERef.T, normaliser.maxCRef / np.log(10), result


def statistics(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lab = rgb2lab(image).reshape(-1, 3)
    return lab.mean(axis=0), lab.std(axis=0)


def reinhard(source: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """By the two lines of the method, with scikit-image's colours."""
    own_mean, own_deviation = statistics(source)
    lab = (rgb2lab(source) - own_mean) / own_deviation * deviation + mean
    return np.asarray(np.rint(lab2rgb(lab) * 255), np.uint8)


if __name__ == "__main__":
    main()
