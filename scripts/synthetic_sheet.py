#!/usr/bin/env python3
"""Draw docs/images/synthetic-cells.png: a row of synthetic cells a person.

usage: synthetic_sheet.py [OUT.png] [--seed 0]

Every cell in the picture is drawn by a program; none is real. They are shown twice as bright as they are, for
paper and screens, and without the names that would make them look like somebody's.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from leukoscope.cohort.cell_drawing import draw_cell
from leukoscope.cohort.synthetic_people import draw_look, draw_people, spread

OUT = Path(__file__).parents[1] / "docs/images/synthetic-cells.png"
PEOPLE, CELLS, FIELD, TILE = 3, 8, 384, 144


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("out", type=Path, nargs="?", default=OUT)
    ask.add_argument("--seed", type=int, default=0)
    args = ask.parse_args()
    rng = np.random.default_rng(args.seed)
    rows = []
    for blast, title in ((True, "synthetic blasts, a person a row"), (False, "synthetic normal cells")):
        label = np.zeros((28, CELLS * TILE, 3), np.uint8)
        cv2.putText(label, title, (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
        rows.append(label)
        for person in draw_people(PEOPLE, blast=blast, first=1, rng=rng):
            looks = [draw_look(person, rng, size=size) for size in spread(CELLS, rng)]
            tiles = [
                cv2.resize(
                    draw_cell(look, rng, side=FIELD + 66)[33:-33, 33:-33],
                    (TILE, TILE),
                    interpolation=cv2.INTER_AREA,
                )
                for look in looks
            ]
            rows.append(np.hstack(tiles))
    sheet = cv2.convertScaleAbs(np.vstack(rows), alpha=2)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
