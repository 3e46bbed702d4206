"""Does a judged picture show a cell that fitted the model, though its file is another?"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from leukoscope.cohort.inspection import Inspected, inspect_pictures
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.near import near_copies
from leukoscope.evaluation.leak import FITTING, MOST_NAMED, Leak, NearPair, salted

FOLDS = "grouped-kfold"


def with_near_copies(
    leak: Leak, judged: pl.DataFrame, data: Manifest, train: Manifest | pl.DataFrame, *, salt: str | None
) -> Leak:
    """The same finding, with what the pictures say; see :mod:`leukoscope.cohort.near`.

    Args:
        leak: what subjects and files say.
        judged: the judged rows, with ``cell_id`` and, for a split in folds, ``fold``.
        data: where their pictures are.
        train: cells that fitted the model, as of :func:`~leukoscope.evaluation.leak.check_leak`. Of those
            that a bundle names, the pictures that ``data`` holds, too, are compared.
        salt: of a private bundle.
    """
    cells = data.with_frame(data.frame.filter(pl.col("cell_id").is_in(judged["cell_id"].to_list())))
    fitted = _fitted(train, data, salt)
    if not len(cells) or not len(fitted):
        which = "judged" if not len(cells) else "training"
        return leak.model_copy(
            update={"near_note": f"near copies not looked for: no {which} picture is at hand"}
        )
    sides = [*_sides(cells, train, judged=True), *_sides(fitted, train, judged=False)]
    seen = _inspect(cells, fitted)
    pairs: dict[str, NearPair] = {}
    names = pl.concat([one.frame.select("cell_id", "subject_id", "sha256") for one in (cells, fitted)]).rows()
    for pair in near_copies([one.print for one in seen], sides):
        if (pair.first < len(cells)) == (pair.second < len(cells)):
            continue
        (cell, subject, file), (other, owner, other_file) = names[pair.first], names[pair.second]
        if file != other_file and (subject is None or subject != owner):
            found = NearPair(
                cell_id=cell,
                fitted_cell_id=other,
                subject_id=subject,
                fitted_subject_id=owner,
                similarity=round(pair.similarity, 3),
            )
            pairs[cell] = max(found, pairs.get(cell, found), key=lambda one: one.similarity)
    return _with_pairs(leak, list(pairs.values()), _note(cells, fitted, seen))


def _fitted(train: Manifest | pl.DataFrame, data: Manifest, salt: str | None) -> Manifest:
    if isinstance(train, Manifest):
        roles = pl.col("split").is_in(FITTING)
        in_folds = train.metadata.get("protocol") == FOLDS
        return train if in_folds or not train.is_split else train.with_frame(train.frame.filter(roles))
    known = train["sha256"].drop_nulls().unique().to_list()
    return data.with_frame(data.frame.filter(salted(data.frame["sha256"], salt).is_in(known)))


def _sides(cells: Manifest, train: Manifest | pl.DataFrame, *, judged: bool) -> Sequence[int]:
    """Cells of one side are not compared: in folds the cells of a fold, else those that fitted."""
    if isinstance(train, Manifest) and train.metadata.get("protocol") == FOLDS:
        return cells.frame["fold"].fill_null(-1).to_list()
    return [int(judged)] * len(cells)


def _inspect(cells: Manifest, fitted: Manifest) -> list[Inspected]:
    """Of the judged cells, then of those that fitted; out of fold they are the same, and read once."""
    trained = inspect_pictures(fitted)
    known = dict(zip(fitted.frame["path"], trained, strict=True)) if fitted.root == cells.root else {}
    others = cells.with_frame(cells.frame.filter(~pl.col("path").is_in(list(known))))
    known |= zip(others.frame["path"], inspect_pictures(others), strict=True)
    return [*(known[path] for path in cells.frame["path"]), *trained]


def _note(cells: Manifest, fitted: Manifest, seen: Sequence[Inspected]) -> str:
    blind = sum(one.print is None for one in seen)
    text = (
        f"pictures of {len(cells):,} judged cells were compared with those of {len(fitted):,} that fitted it"
    )
    return f"{text}; {blind:,} of them could not be read or have no inside to compare" if blind else text


def _with_pairs(leak: Leak, pairs: Sequence[NearPair], note: str) -> Leak:
    facts = {
        "num_near_copies": len(pairs),
        "near_copies": tuple(sorted(pairs, key=lambda pair: -pair.similarity)[:MOST_NAMED]),
        "near_note": note,
    }
    if pairs:
        said = f"{len(pairs):,} judged cells of other subjects show a cell that fitted it"
        facts |= {"found": True, "summary": f"{leak.summary}; {said}" if leak.found else said}
    return leak.model_copy(update=facts)
