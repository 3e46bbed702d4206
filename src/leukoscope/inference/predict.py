"""``leukoscope predict`` as one function."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.cohort.smears import Photograph, SmearSettings
from leukoscope.core.addresses import Place, place_of
from leukoscope.core.progress import Bar, progress
from leukoscope.errors import UsageError
from leukoscope.evaluation.by_subject import by_subject as rows_by_subject
from leukoscope.evaluation.gallery import Extremes, check_gallery, write_gallery
from leukoscope.evaluation.shards import ShardManifest, read_manifest, shard_rows
from leukoscope.evaluation.table import PredictionTable
from leukoscope.inference.backends import named_backend
from leukoscope.inference.fastest import choose
from leukoscope.inference.inputs import InputLike, Inputs, resolve
from leukoscope.inference.journal import Journal, interrupted
from leukoscope.inference.predictor import Predictor, check_settings
from leukoscope.inference.rows import schema
from leukoscope.inference.shards import ShardFolder, check_shard_target
from leukoscope.inference.sinks import check_target, kept_rows, write_predictions
from leukoscope.inference.smears import ScaleMoves, SmearPart, moved_by_scale, resolve_smears
from leukoscope.inference.submission import check_numbered
from leukoscope.inference.submission import submission as write_submission


class Predicted(NamedTuple):
    """What a run of ``predict`` did.

    Attributes:
        num_cells: rows, one for every input.
        num_unreadable: those with an ``error``.
        table: all rows, ``None`` where they went to a file.
        subjects: one row a subject, where that was asked for.
        photographs: what became of each, where the inputs were photographs.
        scale_moves: what 10 % of their scale does to the answers; ``None`` where no cell was judged.
    """

    num_cells: int
    num_unreadable: int
    table: PredictionTable | None
    subjects: pl.DataFrame | None
    photographs: tuple[Photograph, ...] = ()
    scale_moves: ScaleMoves | None = None


def predict(
    bundle: Bundle | Path | str,
    inputs: InputLike | Iterable[InputLike],
    *,
    out: Path | str | None = None,
    by_subject: Path | str | None = None,
    submission: Path | str | None = None,
    gallery: Path | str | None = None,
    subject_id: str | None = None,
    backend: str = "auto",
    views: int | None = None,
    batch_size: int = 0,
    workers: int = 0,
    threads: int = 0,
    resume: bool = False,
    engine: str = "local",
    actors: int = 0,
    smear: SmearSettings | None = None,
) -> Predicted:
    """Judge every input, in order, showing progress.

    Args:
        bundle: a folder or zip, the word ``"starter"``, or a bundle that is open already.
        inputs: as :func:`~leukoscope.inference.inputs.resolve` takes them.
        out: ``.csv``, ``.parquet`` or ``.jsonl``; rows are written as they come and not kept in memory. With
            the engine ``"ray"`` a folder of Parquet shards, which may be an address such as
            ``s3://bucket/cells.parquet``.
        by_subject: CSV, Parquet or JSON lines of one row a subject.
        submission: the challenge's zip, 1 from a blast probability of 0.5 on.
        gallery: an HTML page of the 20 cells of highest and the 20 of lowest blast probability.
        subject_id: whose cells they all are.
        backend: ``"auto"`` (see :func:`~leukoscope.inference.fastest.choose`), ``"onnxruntime"``,
            ``"openvino"`` or ``"torch"``.
        views: 1 or 8; what the bundle says where not given.
        batch_size: cells that the model sees at once; 0 means as the processor suggests.
        workers: threads that read and decode; 0 means one for each processor.
        threads: of the model; 0 means one for each processor.
        resume: go on with ``out`` where an interrupted run left off; the rows are those of an unbroken run.
        engine: ``"local"``, or ``"ray"`` for the cores of a machine or a cluster
            (:mod:`leukoscope.inference.ray`); the rows are the same.
        actors: predictors of the engine ``"ray"``; 0 means one for each processor. ``workers`` is not used
            then.
        smear: the inputs are photographs of smears, and this is how their cells are found and cut; rows say
            where each lies. Cells are cut at the scale that the bundle names, if it does.

    Raises:
        LeukoscopeError: for a bundle, an input or an output that cannot be used, before any cell is judged.
    """
    _check_engine(engine, actors, out)
    _check_smear(smear, engine, submission, gallery)
    _check_targets(out if engine == "local" else None, by_subject, gallery)
    check_settings(views=views, batch_size=batch_size, workers=workers, threads=threads)
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    cells = _cells(opened, inputs, smear, subject_id)
    num_cells = cells.count()
    if submission is not None and num_cells is not None:
        check_numbered(cell.path for cell in cells)
    if backend == "auto" and resume and out is not None:
        backend = named_backend(_begun(engine, out))
    chosen = choose(backend, opened, cells, num_cells, threads=threads)
    predictor = Predictor(
        opened,
        backend=chosen,
        views=views,
        batch_size=batch_size,
        workers=workers,
        threads=threads,
    )
    metadata = predictor.metadata(cells)
    rows_of = partial(predictor.rows, of_photographs=cells.of_photographs)
    extremes = None if gallery is None else Extremes()
    tally = _Tally(None if out is None else _needed(by_subject, submission, cells), extremes)
    with progress("predicting", num_cells) as bar:
        if out is None:
            deque(tally.watch(rows_of(cells), bar.advance), maxlen=0)
        elif engine == "ray":
            tally.take(*_on_ray(predictor, cells, out, chosen, actors=actors, resume=resume, bar=bar))
        else:
            run = metadata | {"views": str(predictor.views), "batch_size": str(predictor.batch_size)}
            journal = Journal(out, run, resume=resume)
            bar.skip(journal.finished.num_rows)
            if tally.keeps:
                kept = kept_rows(
                    Path(out), journal, schema(predictor.bundle.info, of_photographs=cells.of_photographs)
                )
                deque(tally.watch(kept, _show_nothing), maxlen=0)
            else:
                tally.count(journal.finished.num_rows, journal.finished.num_unreadable)
            chunks = tally.watch(rows_of(journal.rest_of(cells)), bar.advance)
            write_predictions(chunks, out, metadata, journal)
    subjects = None
    if by_subject is not None:
        subjects = rows_by_subject(tally.frame())
        write_predictions([subjects], by_subject, metadata)
    if submission is not None:
        write_submission(tally.frame(), submission)
    if gallery is not None and extremes is not None:
        write_gallery(extremes, gallery, metadata, bundle_name=predictor.bundle.info.name)
    table = PredictionTable(tally.frame(), metadata) if out is None else None
    done = Predicted(tally.num_cells, tally.num_unreadable, table, subjects)
    return done if smear is None else _with_photographs(done, predictor, cells)


def _cells(
    bundle: Bundle,
    inputs: InputLike | Iterable[InputLike],
    smear: SmearSettings | None,
    subject_id: str | None,
) -> Inputs:
    if smear is None:
        return resolve(inputs, subject_id=subject_id)
    target = bundle.info.micrometres_per_pixel
    settings = smear if target is None else smear.model_copy(update={"target_pixel_size": target})
    return resolve_smears(inputs, settings, subject_id=subject_id)


def _with_photographs(done: Predicted, predictor: Predictor, cells: Inputs) -> Predicted:
    """With what became of each photograph, and what another scale would do to the answers."""
    (part,) = cells.parts
    assert isinstance(part, SmearPart)
    moves = moved_by_scale(predictor, part.sample.values())
    return done._replace(photographs=tuple(part.photographs.values()), scale_moves=moves)


def _show_nothing(_steps: int) -> None:
    """Rows of an earlier run are shown all at once."""


def _check_engine(engine: str, actors: int, out: Path | str | None) -> None:
    if engine not in ("local", "ray") or actors < 0:
        raise UsageError(
            f"expected the engine local or ray, actors from 0. Received: {engine}, actors={actors}"
        )
    if engine == "local" and actors:
        raise UsageError("actors are of the engine ray", hint="add --engine ray, or leave --actors out")
    if engine == "ray":
        check_shard_target(out)


def _check_smear(smear: SmearSettings | None, engine: str, submission: object, gallery: object) -> None:
    """What needs each cell as a file of its own cannot be done with cells that lie in photographs."""
    if smear is None:
        return
    asked = {"the engine ray": engine == "ray", "a submission": submission, "a gallery": gallery}
    for what, is_asked in asked.items():
        if is_asked:
            raise UsageError(
                f"{what} needs each cell as a file of its own",
                hint="cells extract writes them; then predict on its manifest",
            )


def _check_targets(out: Path | str | None, by_subject: Path | str | None, gallery: Path | str | None) -> None:
    for target in (out, by_subject):
        if target is not None:
            check_target(Path(target))
    if gallery is not None:
        check_gallery(Path(gallery))


def _begun(engine: str, out: Path | str) -> Mapping[str, str]:
    """What an interrupted run said of itself; nothing where there is none."""
    if engine == "local":
        return interrupted(out)
    manifest = read_manifest(place_of(out))
    return manifest.run if manifest is not None else {}


def _on_ray(
    predictor: Predictor,
    cells: Inputs,
    out: Path | str,
    backend: str,
    *,
    actors: int,
    resume: bool,
    bar: Bar,
) -> tuple[Place, ShardManifest]:
    from leukoscope.inference.ray import judge_on_ray

    metadata = predictor.metadata(cells)
    folder = ShardFolder(
        place_of(out),
        run=metadata | {"views": str(predictor.views), "batch_size": str(predictor.batch_size)},
        metadata=metadata,
        columns=schema(predictor.bundle.info, of_photographs=cells.of_photographs),
        num_cells=cells.count(),
        resume=resume,
    )
    options = {"backend": backend, "views": predictor.views, "batch_size": predictor.batch_size}
    shards = {}
    for number, shard in judge_on_ray(folder.jobs(cells), predictor.bundle, options, actors=actors):
        shards[number] = shard
        bar.advance(shard.rows)
    return folder.folder, folder.close(shards)


def _needed(by_subject: object, submission: object, cells: Inputs) -> tuple[str, ...]:
    """The columns wanted again when the rows have gone to a file: few, so that a million cells fit."""
    names: tuple[str, ...] = ()
    if by_subject is not None:
        names += ("subject_id", "decision", "blast_probability", "error")
        names += ("reason", "photograph") if cells.of_photographs else ()
    return tuple(dict.fromkeys((*names, *(("path", "blast_probability") if submission is not None else ()))))


class _Tally:
    """Counts rows as they pass, keeps some columns of them (all where ``columns`` is ``None``), and shows
    them to ``extremes``."""

    def __init__(self, columns: tuple[str, ...] | None, extremes: Extremes | None) -> None:
        self._columns, self._kept = columns, list[pl.DataFrame]()
        self._extremes = extremes
        self.num_cells = self.num_unreadable = 0

    @property
    def keeps(self) -> bool:
        """Whether it needs to see rows, not their number alone."""
        return self._columns != () or self._extremes is not None

    def count(self, num_cells: int, num_unreadable: int) -> None:
        self.num_cells += num_cells
        self.num_unreadable += num_unreadable

    def watch(self, chunks: Iterable[pl.DataFrame], show: Callable[[int], None]) -> Iterator[pl.DataFrame]:
        for chunk in chunks:
            self.count(chunk.height, chunk["error"].count())
            if self._extremes is not None:
                self._extremes.add(chunk)
            if self._columns != ():
                self._kept.append(chunk if self._columns is None else chunk.select(self._columns))
            yield chunk
            show(chunk.height)

    def take(self, folder: Place, manifest: ShardManifest) -> None:
        """Count the rows of shards, and read them where more than their number is wanted."""
        if not self.keeps:
            self.count(manifest.num_rows, manifest.num_unreadable)
            return
        wanted = None if self._extremes is not None else [*{*(self._columns or ()), "error"}]
        deque(self.watch(shard_rows(folder, manifest, wanted), _show_nothing), maxlen=0)

    def frame(self) -> pl.DataFrame:
        return pl.concat(self._kept, rechunk=True)
