"""``leukoscope export --int8``: a bundle whose graph runs in 8 bits, and what that costs on people unseen."""

from __future__ import annotations

import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from leukoscope.bundle.format import MODEL_DATA
from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.bundle.write import check_free, write_bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.core.progress import say
from leukoscope.core.runtimes import import_nncf
from leukoscope.errors import UsageError
from leukoscope.evaluation.quantisation import Budget, Quantisation, stand_in
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.int8_draft import Draft, make_draft, pixels_of, range_cells
from leukoscope.inference.int8_people import People, known_roles, share_out
from leukoscope.inference.predictor import Predictor
from leukoscope.inference.quantise import WAYS, Way, quantise


class Int8Export(NamedTuple):
    """What came of it; ``path`` is ``None`` where the budget did not hold and nothing was written."""

    path: Path | None
    quantisation: Quantisation


class Choice(NamedTuple):
    """What was taken.

    Attributes:
        way, draft: how it was quantised, and the bundle.
        same: the bundle of 32 bits made anew on the same people.
        given_up: names of the ways that missed the budget on them.
    """

    way: Way
    draft: Draft
    same: Bundle
    given_up: tuple[str, ...]


def export_int8(
    source: Bundle | Path | str,
    calibration_data: Manifest | Path | str,
    out: Path | str,
    *,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    private: bool = False,
) -> Int8Export:
    """Write a bundle whose graph has weights and activations of 8 bits, where that stays within the budget.

    Ways of quantising are tried from fast to slow. Temperature, operating points and novelty limit are
    fitted anew to each on people of ``calibration_data``, and the first that keeps the budget on them is
    taken. What it costs is then measured once, on other people who fitted nothing.

    Args:
        source: a bundle of 32 bits: a folder or zip, the word ``"starter"``, or one that is open already.
        calibration_data: any SOURCE, or a manifest; see :func:`~leukoscope.inference.int8_people.share_out`.
        out: the folder ``NAME.leuko``; one zip of it when the name ends in ``.zip``.
        budget: what it may cost.
        private: keep salted hashes of subjects and cells only; a bundle that has hashes keeps them.

    Returns:
        What was measured; nothing is written where it is beyond the budget.

    Raises:
        UsageError: when there are no two sets of people, or too few cells to tell.
        BundleError: for a source that cannot be quantised, or an ``out`` that is something else.
        MissingExtraError: without the extra ``int8``.
    """
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    check_free(Path(out))
    _check_bundle(bundle)
    import_nncf()
    cells = calibration_data if isinstance(calibration_data, Manifest) else open_cohort(calibration_data)
    _check_labels(bundle, cells)
    people = share_out(cells, known_roles(bundle, cells.frame))
    _check_number(people, budget)
    with tempfile.TemporaryDirectory(prefix="leukoscope-") as scratch:
        choice = _choose(bundle, people, cells, budget, Path(scratch))
        say(f"judging '{choice.way.name}' on {len(people.judging):,} cells of people who fitted nothing")
        found = _described(bundle, choice, people, budget)
        if not found.holds:
            return Int8Export(None, found)
        made = choice.draft.bundle
        return Int8Export(_write(made, found, Path(out), private=private), found)


def _choose(bundle: Bundle, people: People, cells: Manifest, budget: Budget, scratch: Path) -> Choice:
    """The first way that keeps the budget on the people fitted on, else the one that changes fewest decisions
    there."""
    ranges = range_cells(people.ranges)
    pixels = pixels_of(bundle, ranges)
    make = partial(make_draft, bundle, fitting=people.fitting, ranges=ranges, source=cells)
    same = make(bundle.onnx, scratch / "same").bundle
    (before,) = _tables(people.fitting, same)
    tried: list[tuple[Way, Draft, float]] = []
    for way in WAYS:
        say(f"quantising on {len(pixels)} cells, the way '{way.name}': {way.words}")
        draft = make(quantise(bundle.onnx, pixels, way), scratch / way.name)
        (after,) = _tables(people.fitting, draft.bundle)
        found = stand_in(before, before, after, draws=0)
        tried.append((way, draft, found.decisions_changed.estimate or 0.0))
        if found.within(budget):
            break
    way, draft, _ = tried[-1] if found.within(budget) else min(tried, key=lambda one: one[2])
    return Choice(way, draft, same, tuple(other.name for other, _, _ in tried if other is not way))


def _tables(cells: Manifest, *bundles: Bundle) -> list[PredictionTable]:
    return [Predictor(bundle).predict(cells) for bundle in bundles]


def _described(bundle: Bundle, choice: Choice, people: People, budget: Budget) -> Quantisation:
    ranges = range_cells(people.ranges)
    return Quantisation(
        of_bundle=bundle.bundle_id,
        way=choice.way.name,
        way_words=choice.way.words,
        given_up=choice.given_up,
        versions={name: version(name) for name in ("nncf", "onnx", "onnxruntime")},
        num_range_cells=len(ranges),
        num_range_subjects=ranges.frame["subject_id"].n_unique(),
        num_fitting_cells=len(people.fitting),
        num_fitting_subjects=people.fitting.frame["subject_id"].n_unique(),
        num_left_out=people.num_left_out,
        references=choice.draft.references,
        budget=budget,
        measured=stand_in(*_tables(people.judging, bundle, choice.same, choice.draft.bundle)),
    )


def _write(made: Bundle, found: Quantisation, out: Path, *, private: bool) -> Path:
    return write_bundle(
        out,
        made.info.model_copy(update={"quantisation": found}),
        onnx=made.onnx,
        subjects=made.subjects,
        novelty=made.novelty,
        references=made.references,
        private=private,
        salt=made.info.privacy.salt,
    )


def _check_bundle(bundle: Bundle) -> None:
    if bundle.info.quantisation is not None:
        raise UsageError(
            f"{bundle.path}: is int8 already, made of bundle {bundle.info.quantisation.of_bundle}",
            hint="give the bundle of 32 bits",
        )
    if MODEL_DATA in bundle.info.files:
        raise UsageError(
            f"{bundle.path}: keeps its tensors in {MODEL_DATA}; a graph of more than 2 GB is not quantised",
            hint="take a smaller network",
        )


def _check_labels(bundle: Bundle, cells: Manifest) -> None:
    known = bundle.info.classes
    if strange := sorted(set(cells.frame["label"].drop_nulls()) - set(known)):
        raise UsageError(
            f"the calibration data have the label '{strange[0]}', the bundle knows {', '.join(known)}",
            hint="index them with --rename OLD=NEW",
        )


def _check_number(people: People, budget: Budget) -> None:
    if budget.decisions and len(people.judging) * budget.decisions < 1:
        raise UsageError(
            f"{len(people.judging)} cells to judge are too few: one is more than {budget.decisions:.1%}",
            hint="give more cells of people who fitted nothing, or a larger --budget-decisions",
        )
