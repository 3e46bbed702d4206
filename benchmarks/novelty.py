"""Which distance tells best that a picture is like nothing in training? Real cells and other pictures.

    python benchmarks/novelty.py BUNDLE... --cells SOURCE --others FOLDER [-o RESULTS.json]

Each BUNDLE was trained on some people of SOURCE. References are its training cells, the limit is set on the
cells that only stopped or chose (its validation and calibration cells), and the known cells are those of the
people it never met. Where all people fitted the bundle, as with ``starter``, its references come from a part
of them, five times; the embedding has then seen all. FOLDER holds ``bccd`` (smear fields and their boxes) and
``pbc-lymphocytes`` (normal lymphocytes of another laboratory). Photographs come with scikit-learn and
matplotlib. Every picture is judged once, by one of the bundles, and an altered cell by one that never met
its person.

AUROC is that of the distance over the limit, against the known cells of all bundles, with the interval of
their subjects; ``beyond`` is the share beyond the limit. The decision is the whole one, of the bundle as it
is: quality first, then novelty, then the thresholds.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.cells.decode import decode
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.splits import split
from leukoscope.core.files import write_json
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import progress
from leukoscope.core.provenance import versions
from leukoscope.evaluation.readings import Cells, Judgement
from leukoscope.inference.backends import make_backend
from leukoscope.inference.copies import Answers
from leukoscope.inference.novelty import References
from leukoscope.inference.parts import CellInput, ManifestPart
from leukoscope.inference.prepare import Prepared, prepare
from leukoscope.inference.rows import make_rows
from strange.distances import DISTANCES
from strange.pictures import NUM_DRAWN, altered, others

QUANTILE, NUM_PARTS, BATCH = 0.995, 5, 64
KNOWN = "cells of people it never met"


class Read(NamedTuple):
    """What a bundle says of N pictures: their embeddings (N, D) and their rows."""

    embedding: np.ndarray
    rows: pl.DataFrame

    def where(self, chosen: np.ndarray) -> Read:
        return Read(self.embedding[chosen], self.rows.filter(pl.Series(chosen)))


class Round(NamedTuple):
    """One set of references: of whom, who sets its limit, whom it never met; (N,) each, over all cells."""

    fitted: np.ndarray
    limiting: np.ndarray
    unknown: np.ndarray


def read(bundle: Bundle, pictures: Sequence[CellInput], what: str) -> Read:
    """Judge pictures as ``leukoscope predict`` does, and keep the embeddings."""
    backend, info, limit = make_backend(bundle), bundle.info, bundle.info.novelty
    assert limit is not None and bundle.novelty is not None, f"{bundle.path} has no novelty limit"
    references = References(bundle.novelty, limit.k)
    embeddings, rows, batch = list[np.ndarray](), list[pl.DataFrame](), list[Prepared]()

    def judge() -> None:
        outputs = backend.run(np.stack([cell.pixels for cell in batch if cell.pixels is not None]))
        assert len(outputs.logits) == len(batch), "a picture cannot be read"
        embeddings.append(outputs.embedding)
        answers = Answers(outputs.logits, references.distance(outputs.embedding))
        rows.append(make_rows(batch, answers, bundle))

    with progress(what, len(pictures)) as bar:
        for cell in ordered_map(partial(prepare, info=info), pictures):
            batch.append(cell)
            bar.advance()
            if len(batch) == BATCH:
                judge()
                batch = []
        if batch:
            judge()
    return Read(np.concatenate(embeddings), pl.concat(rows))


def rounds(bundle: Bundle, cells: Manifest) -> Iterator[Round]:
    """One where the bundle has not met all people, else one for each part of the people."""
    fitted = cells.frame.select("sha256").join(
        bundle.subjects.select("sha256", "role").unique("sha256"),
        on="sha256",
        how="left",
        maintain_order="left",
    )
    role = fitted["role"].fill_null("unknown").to_numpy()
    if (role == "unknown").any():
        yield Round(role == "train", np.isin(role, ("validation", "calibration")), role == "unknown")
        return
    parts = split(cells, protocol="grouped-kfold", folds=NUM_PARTS).frame["fold"].to_numpy()
    for part in range(NUM_PARTS):
        limiting = parts == (part + 1) % NUM_PARTS
        yield Round((parts != part) & ~limiting, limiting, parts == part)


def off_limit(distance: np.ndarray, limiting: np.ndarray) -> np.ndarray:
    """0.5 at the limit, 0 and 1 far from it: so that rounds, and ways of measuring, can be pooled."""
    limit, spread = np.quantile(limiting, QUANTILE), np.std(limiting)
    return np.asarray(0.5 + np.arctan((distance - limit) / spread) / np.pi)


class Strange:
    """All strange pictures, to be shared out among ``num`` rounds."""

    def __init__(self, cells: Manifest, folder: Path, num: int) -> None:
        self.cells, self.images, self.num = cells, cells.images(), num
        self.others, self.altered = others(folder), altered(folder)

    def share(self, number: int, unmet: np.ndarray) -> Iterator[tuple[str, CellInput]]:
        """What falls to one round, each with its kind; ``unmet`` (N,) are the cells that may be altered."""
        for kind, pictures in self.others.items():
            for place in range(number, len(pictures), self.num):
                yield kind, _cell(f"{kind} {place}", pictures[place])
        rng = np.random.default_rng(number)
        places = np.flatnonzero(unmet)
        for kind, alter in self.altered.items():
            for place in rng.choice(places, min(len(places), -(-NUM_DRAWN // self.num)), replace=False):
                row = self.cells.frame.row(int(place), named=True)
                picture = alter(np.asarray(decode(self.images.read(row["path"]))), rng)
                yield kind, _cell(f"{kind} {place}", picture, row["subject_id"])


def _cell(name: str, picture: np.ndarray, subject_id: str | None = None) -> CellInput:
    return CellInput(name, "", partial(np.asarray, picture), subject_id or name)


def measure(bundles: Sequence[Bundle], cells: Manifest, folder: Path) -> pl.DataFrame:
    """One row for each picture: kind, subject, decision, reason, and a column of each distance."""
    found = list[pl.DataFrame]()
    known = list(ManifestPart(cells).cells(alone=True))
    labels, subjects = cells.frame["label"].to_numpy(), cells.frame["subject_id"].to_numpy()
    plan = [(bundle, each) for bundle in bundles for each in rounds(bundle, cells)]
    strange, readings = Strange(cells, folder, len(plan)), dict[str, Read]()
    for number, (bundle, each) in enumerate(plan):
        if bundle.bundle_id not in readings:
            readings = {bundle.bundle_id: read(bundle, known, f"cells, {bundle.path}")}
        here = readings[bundle.bundle_id]
        kinds, pictures = zip(*strange.share(number, each.unknown), strict=True)
        other = read(bundle, pictures, "other pictures")
        met = here.where(each.unknown)
        kind = [KNOWN] * len(met.embedding) + list(kinds)
        rows = pl.concat([met.rows, other.rows]).select("subject_id", "decision", "reason", "novelty")
        embedding = np.concatenate([met.embedding, other.embedding])
        columns = {}
        for name, fit in DISTANCES.items():
            distance = fit(here.embedding[each.fitted], labels[each.fitted], subjects[each.fitted])
            limiting = distance(here.embedding[each.limiting])
            columns[name] = off_limit(distance(embedding), limiting)
        found.append(
            rows.with_columns(pl.Series("kind", kind), **{n: pl.Series(c) for n, c in columns.items()})
        )
    return pl.concat(found)


def judge(rows: pl.DataFrame) -> dict[str, Any]:
    """kind -> how many, what is decided, and for each distance the AUROC and the share beyond the limit."""
    found = {}
    for kind in rows["kind"].unique(maintain_order=True):
        of_kind = rows.filter(pl.col("kind") == kind)
        reasons = Counter(of_kind["reason"].fill_null("").to_list())
        here: dict[str, Any] = {
            "num": of_kind.height,
            "indeterminate": {reason: count / of_kind.height for reason, count in reasons.items() if reason},
            "called_blast": float((of_kind["decision"] == "blast").mean()),
            "beyond": {name: float((of_kind[name] > 0.5).mean()) for name in DISTANCES},
        }
        if kind != KNOWN:
            both = pl.concat([rows.filter(pl.col("kind") == KNOWN), of_kind])
            here["auroc"] = {name: reading(both, name) for name in DISTANCES}
        found[kind] = here
    return found


def reading(both: pl.DataFrame, name: str) -> dict[str, float | None]:
    """The AUROC of a distance, strange against known, with its interval, subjects being drawn."""
    strange = (both["kind"] != KNOWN).to_numpy()
    cells = Cells(strange, both["subject_id"].to_numpy().astype(np.str_), 2000, 0)
    found = Judgement(cells, both[name].to_numpy(), 0.5).metrics["auroc"]
    return {key: getattr(found, key) for key in ("estimate", "ci_low", "ci_high")}


def rounded(found: Any) -> Any:
    """The same with numbers of four digits behind the point."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    return round(found, 4) if isinstance(found, float) else found


def table(found: dict[str, Any]) -> Iterator[str]:
    """The page of the results."""
    yield f"{'':52s}{'':5s}" + "".join(f"{name:>26s}" for name in DISTANCES)
    for kind, here in found.items():
        cells = []
        for name in DISTANCES:
            metric = here.get("auroc", {}).get(name)
            text = f"{metric['estimate']:.3f}" if metric else ""
            if metric and metric["ci_low"] is not None:
                text += f" ({metric['ci_low']:.2f}-{metric['ci_high']:.2f})"
            cells.append(f"{text} {here['beyond'][name]:4.0%}")
        why = ", ".join(f"{share:.0%} {reason}" for reason, share in here["indeterminate"].items())
        yield f"{kind:52s}{here['num']:5d}" + "".join(f"{cell:>26s}" for cell in cells)
        yield f"{'':10s}indeterminate: {why or 'none'}; called blast {here['called_blast']:.0%}"


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("bundles", nargs="+", help="bundles trained on people of SOURCE, or starter")
    ask.add_argument("--cells", type=Path, required=True, help="C-NMC cells: folder, manifest")
    ask.add_argument("--others", type=Path, required=True, help="holds bccd and pbc-lymphocytes")
    ask.add_argument("-o", "--out", type=Path, help="JSON")
    given = ask.parse_args()
    bundles = [open_bundle(name) for name in given.bundles]
    cohort = open_cohort(given.cells)
    cells = cohort.with_frame(
        cohort.frame.filter(pl.col("label").is_not_null() & (pl.col("source") == "training"))
    )
    rows = measure(bundles, cells, given.others)
    found = judge(rows)
    for line in table(found):
        print(line)
    if given.out is not None:
        named = [{"name": bundle.info.name, "bundle_id": bundle.bundle_id} for bundle in bundles]
        write_json(
            given.out,
            {"kind": "novelty", "bundles": named, "versions": versions(), "pictures": rounded(found)},
        )


if __name__ == "__main__":
    main()
