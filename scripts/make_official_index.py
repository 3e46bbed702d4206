#!/usr/bin/env python3
"""Make src/leukoscope/cohort/cnmc2019.parquet, the official index of C-NMC 2019 that travels in the package.

usage: make_official_index.py INDEX.csv [OUT.parquet]

INDEX.csv lists every file of the complete set, with the columns
split,fold,file,uid_name,subject,label,sha256,bytes,bbox_x,bbox_y,bbox_w,bbox_h
Its boxes are last minus first pixel, so one less than the count that is kept here. The duplicate groups are
derived from the hashes, and from the cells in cnmc2019-near-copies.csv beside this script: pairs that
`leukoscope data audit` found among the training cells, photographed twice under two subjects.
"""

import argparse
from pathlib import Path

import polars as pl

from leukoscope.cohort.groups import duplicate_groups
from leukoscope.core.files import atomic

OUT = Path(__file__).parents[1] / "src/leukoscope/cohort/cnmc2019.parquet"
NEAR_COPIES = Path(__file__).with_name("cnmc2019-near-copies.csv")
PARTS = {"train": "training", "prelim": "preliminary", "final_test": "final"}


def make(index_csv: Path) -> pl.DataFrame:
    raw = pl.read_csv(index_csv, infer_schema_length=0)
    owner = pl.coalesce("subject", pl.concat_str(pl.lit("final_"), pl.col("file").str.strip_suffix(".bmp")))
    owners, contents = raw.select(owner).to_series().to_list(), raw["sha256"].to_list()
    owner_of = dict(zip(raw["uid_name"].str.strip_suffix(".bmp"), owners, strict=True))
    for one, other in pl.read_csv(NEAR_COPIES).select("one", "other").rows():
        owners += [owner_of[one], owner_of[other]]
        contents += [f"near {one} {other}"] * 2
    groups = duplicate_groups(owners, contents)[: len(raw)]
    number = pl.col("file").str.extract(r"(\d+)").cast(pl.Int32)
    return raw.select(
        pl.col("split").replace_strict(PARTS),
        pl.col("fold").str.strip_prefix("fold_").cast(pl.Int8),
        "file",
        "uid_name",
        "subject",
        pl.col("label").replace_strict({"ALL": "blast", "HEM": "normal"}, default=None),
        pl.col("sha256").str.decode("hex"),
        (pl.col("bbox_w").cast(pl.Int16) + 1).alias("cell_width"),
        (pl.col("bbox_h").cast(pl.Int16) + 1).alias("cell_height"),
        pl.Series("duplicate_group", groups, dtype=pl.String),
    ).sort(
        pl.col("split").replace_strict({name: i for i, name in enumerate(PARTS.values())}),
        "fold",
        number,
        "file",
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("index", type=Path)
    ask.add_argument("out", type=Path, nargs="?", default=OUT)
    args = ask.parse_args()
    with atomic(args.out) as temporary:
        make(args.index).write_parquet(temporary, compression="zstd", compression_level=19)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
