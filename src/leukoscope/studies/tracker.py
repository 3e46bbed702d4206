"""Runs of a study in MLflow, beside the plain files, for those who look at runs there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leukoscope.errors import MissingExtraError
from leukoscope.evaluation.partitions import read_partitions
from leukoscope.evaluation.table import PredictionTable
from leukoscope.recipes.schema import load_recipe
from leukoscope.studies.gap import histories

if TYPE_CHECKING:
    from leukoscope.studies.study_rows import Finished

TrackerName = Literal["none", "mlflow"]
DATABASE, EXPERIMENT, TAG = "mlflow.db", "leukoscope", "leukoscope.run"
ADDRESS = "MLFLOW_TRACKING_URI"
LONGEST, MOST = 500, 100
"""Characters of a parameter, and entries of one request, that MLflow takes."""


@contextmanager
def open_tracker(name: TrackerName, out: Path) -> Iterator[Callable[[Finished], None]]:
    """A function that keeps a run; it does nothing for ``none``.

    MLflow keeps them where ``MLFLOW_TRACKING_URI`` says, else in the SQLite file ``out/mlflow.db``, which
    ``mlflow ui --backend-store-uri sqlite:///OUT/mlflow.db`` shows. A run that is there already is not kept
    twice.

    Raises:
        MissingExtraError: when MLflow is not installed.
    """
    if name == "none":
        yield lambda run: None
        return
    client = _client(out)
    found = client.get_experiment_by_name(EXPERIMENT)
    where = (out / "mlflow").resolve().as_uri()
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, where)
    yield lambda run: _keep(client, experiment, run, out)


def _client(out: Path) -> Any:
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        import sqlalchemy  # type: ignore[import-not-found, unused-ignore]  # noqa: F401 - for its database
        from mlflow.tracking import MlflowClient  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        raise MissingExtraError("--tracker mlflow", "mlflow") from None
    out.mkdir(parents=True, exist_ok=True)
    return MlflowClient(os.environ.get(ADDRESS) or f"sqlite:///{(out / DATABASE).resolve().as_posix()}")


def _keep(client: Any, experiment: str, run: Finished, out: Path) -> None:
    """Write a finished run: its recipe, every epoch, what its test cells read, what it took."""
    from mlflow.entities import Metric, Param  # type: ignore[import-not-found, unused-ignore]

    if run.outcome.status != "done":
        return
    key = f"{run.job.folder.relative_to(out).as_posix()} {run.outcome.recipe[:12]}"
    if client.search_runs([experiment], f"tags.`{TAG}` = '{key}'", max_results=1):
        return
    made = client.create_run(experiment, run_name=run.job.words, tags={TAG: key, **_tags(run)}).info.run_id
    now = time.time_ns() // 1_000_000
    for some in batched([Param(name, text[:LONGEST]) for name, text in _parameters(run).items()]):
        client.log_batch(made, params=some)
    for readings in batched([Metric(name, value, now, step) for name, value, step in _metrics(run)]):
        client.log_batch(made, metrics=readings)
    client.set_terminated(made)


def batched(items: list[Any]) -> list[list[Any]]:
    """As many at once as MLflow takes."""
    return [items[start : start + MOST] for start in range(0, len(items), MOST)]


def _tags(run: Finished) -> dict[str, str]:
    return {
        "folder": str(run.job.folder.resolve()),
        "predictions": str((run.job.folder / "predictions.parquet").resolve()),
        "leaky": str(run.job.reading == "image").lower(),
    }


def _parameters(run: Finished) -> dict[str, str]:
    job = run.job
    recipe = load_recipe(job.source, job.settings).model_dump(mode="json", include=_DECIDES)
    known = {
        "recipe": job.name,
        "reading": job.reading,
        "weights": run.outcome.weights,
        "seed": job.seed,
        "protocol": job.parting.protocol,
        "unit": job.parting.unit,
    }
    return {name: str(value) for name, value in (known | _flat(recipe)).items()}


_DECIDES = {"model", "preprocess", "augmentation", "training", "views"}


def _flat(nested: dict[str, Any], head: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{head}{key}.") if isinstance(value, dict) else {f"{head}{key}": value}
    return flat


def _metrics(run: Finished) -> Iterator[tuple[str, float, int]]:
    """(name, value, step): each epoch of each fold, then the test's figures and the cost."""
    folds = histories(run.job.folder)
    for fold, history in enumerate(folds):
        head = f"fold_{fold}." if len(folds) > 1 else ""
        for row in history:
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    yield f"{head}{name}", float(value), int(row["epoch"])
    table = PredictionTable.read(run.job.folder / "predictions.parquet")
    tested = PredictionTable(table.frame.filter(table.frame["split"] == "test"), table.metadata)
    for name, metric in read_partitions([tested], None, draws=0)[0].items():
        if metric.estimate is not None:
            yield f"test.{name}", metric.estimate, 0
    if run.outcome.cost is not None:
        for name, value in run.outcome.cost.model_dump(
            include={"seconds", "cells_per_second", "memory_bytes"}
        ).items():
            if value is not None:
                yield f"cost.{name}", float(value), 0
