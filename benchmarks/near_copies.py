#!/usr/bin/env python3
"""How many planted copies does the audit find, and whom does it take for somebody else?

usage: near_copies.py SOURCE [--sample 500] [--seed 0]

SOURCE is a cohort (folder, zip, manifest). All its cells are on one side. Copies of a sample are altered and
put on the other side; for each alteration the share is printed that is found as a copy of its original. Then
the cells of every person are compared with those of all others; what is found is printed by pairs of people.
Exits with 1 where one of the required alterations is found less than 99 times in 100.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from leukoscope.cells.decode import decode
from leukoscope.cohort.near import Print, near_copies, take_print
from leukoscope.cohort.open import open_cohort
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.errors import ImageError

Image = NDArray[np.uint8]
Alter = Callable[[Image, np.random.Generator], Image]


def jpeg(image: Image, quality: int) -> Image:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))


def brighter(image: Image, factor: float) -> Image:
    return np.uint8(np.clip(np.rint(image * factor), 0, 255))


def warped(image: Image, matrix: NDArray[np.float64]) -> Image:
    """Change a picture around its middle, on a larger black square so that nothing is lost."""
    image = cv2.copyMakeBorder(image, 100, 100, 100, 100, cv2.BORDER_CONSTANT)
    middle = np.array(image.shape[1::-1]) / 2
    shift = middle - matrix @ middle
    return np.asarray(cv2.warpAffine(image, np.column_stack([matrix, shift]), image.shape[1::-1]))


def turned(image: Image, degrees: float) -> Image:
    turn = np.deg2rad(degrees)
    return warped(image, np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]))


def moved(image: Image, by: NDArray[np.int64]) -> Image:
    matrix = np.array([[1.0, 0, by[0]], [0, 1, by[1]]])
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]))


def view(image: Image, number: int) -> Image:
    image = np.rot90(image, number % 4)
    return np.ascontiguousarray(image[:, ::-1] if number >= 4 else image)


def shift_of(rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.choice(np.array([-4, 4]), 2)


REQUIRED: dict[str, Alter] = {
    **{f"view {number} of 8": lambda image, _, number=number: view(image, number) for number in range(8)},
    "JPEG 80": lambda image, _: jpeg(image, 80),
    "brightness +10 %": lambda image, _: brighter(image, 1.1),
    "brightness -10 %": lambda image, _: brighter(image, 0.9),
    "shift 4 pixels": lambda image, rng: moved(image, shift_of(rng)),
    "all of these": lambda image, rng: jpeg(
        brighter(view(moved(image, shift_of(rng)), int(rng.integers(8))), rng.uniform(0.9, 1.1)), 80
    ),
}
MEASURED: dict[str, Alter] = {
    "any rotation": lambda image, rng: turned(image, rng.uniform(0, 360)),
    "zoom 0.8 to 1.25": lambda image, rng: warped(image, np.eye(2) * np.exp(rng.uniform(-0.22, 0.22))),
    "shear up to 5 degrees": lambda image, rng: warped(image, sheared(rng, 5)),
    "shear up to 10 degrees": lambda image, rng: warped(image, sheared(rng, 10)),
    "JPEG 50": lambda image, _: jpeg(image, 50),
    "rotation, zoom, JPEG 80": lambda image, rng: jpeg(
        turned(warped(image, np.eye(2) * np.exp(rng.uniform(-0.22, 0.22))), rng.uniform(0, 360)), 80
    ),
}


def sheared(rng: np.random.Generator, degrees: float) -> NDArray[np.float64]:
    return np.array([[1, np.tan(np.deg2rad(rng.uniform(-degrees, degrees)))], [0, 1]])


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("source", type=Path)
    ask.add_argument("--sample", type=int, default=500)
    ask.add_argument("--seed", type=int, default=0)
    args = ask.parse_args()
    cohort = open_cohort(args.source)
    frame = cohort.frame

    def read(path: str) -> Image | None:
        try:
            return np.asarray(decode(cohort.read_bytes(path), name=path))
        except ImageError:
            return None

    def printed(path: str) -> Print | None:
        image = read(path)
        return None if image is None else take_print(image)

    work = ordered_map(printed, frame["path"])
    prints = list(track(work, "looking at cells", frame.height))
    rng = np.random.default_rng(args.seed)
    usable = [place for place, one in enumerate(prints) if one is not None]
    sample = rng.choice(usable, min(args.sample, len(usable)), replace=False)
    images = [read(frame["path"][int(place)]) for place in sample]
    print(f"{len(usable):,} cells, {len(sample):,} copies of each kind")
    missed = False
    for required, alterations in ((True, REQUIRED), (False, MEASURED)):
        for name, alter in alterations.items():
            copies = [take_print(alter(image, rng)) for image in images]
            found = near_copies([*prints, *copies], [0] * len(prints) + [1] * len(copies))
            pairs = {(pair.first, pair.second - len(prints)) for pair in found}
            hits = sum((int(place), number) in pairs for number, place in enumerate(sample))
            recall = hits / len(sample)
            missed |= required and recall < 0.99
            print(
                f"{name:<26} recall {recall:.3f}   {'required 0.99' if required else 'measured'}", flush=True
            )
    people = frame["subject_id"].to_list()
    known = sorted({person for person in people if person})
    sides = [known.index(person) if person else -1 for person in people]
    between = Counter(
        tuple(sorted((str(people[pair.first]), str(people[pair.second]))))
        for pair in near_copies(prints, sides)
    )
    num_pairs = len(usable) * (len(usable) - 1) // 2
    print(f"near copies between people, of {num_pairs:,} pairs of cells: {sum(between.values())}")
    for (one, other), count in between.most_common():
        print(f"  {one} and {other}: {count}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
