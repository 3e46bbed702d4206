"""``leukoscope calibrate``: probabilities and thresholds of a table, fitted on people who are not judged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leukoscope.cli.failures import keeping
from leukoscope.cli.output import Json, Positive, names_in, print_json, print_table

if TYPE_CHECKING:
    from leukoscope.evaluation.recalibrate import Limits

MethodName = Literal["auto", "temperature", "platt", "beta", "isotonic"]
"""Of ``evaluation.calibrators.CalibrationChoice``, which would load numpy for ``--help``."""


def calibrate(
    table: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="A prediction table (.csv, .parquet, .jsonl).")
    ],
    *,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="The calibrated table; .parquet keeps all.")
    ],
    on: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE", help="The same model's predictions for labelled cells of other people."
        ),
    ] = None,
    method: Annotated[
        MethodName, typer.Option(help="auto: what subjects left out bear out; temperature unless proved.")
    ] = "auto",
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINT",
            help="Operating point; may be repeated, the first decides: sensitivity-0.95, specificity-0.9, "
            "youden, cost-10 (a missed blast costs ten false alarms), cost-10@0.02 (at that share of "
            "blasts), covering-0.9.",
        ),
    ] = None,
    positive: Positive = "",
    as_json: Json = False,
) -> int:
    """Calibrate predictions, and fix thresholds, on people who are not judged.

    Without --on, on the table's own rows of the role calibration, or each fold on all other folds. Refused
    where a test subject would fit anything.
    """
    from leukoscope.core.progress import say
    from leukoscope.evaluation.criteria import CRITERIA
    from leukoscope.evaluation.recalibrate import Wanted
    from leukoscope.evaluation.recalibrate import calibrate as fit
    from leukoscope.evaluation.table import PredictionTable

    with keeping("nothing was written"):
        names = names_in(positive)
        other = None if on is None else PredictionTable.read(on, positive=names)
        wanted = Wanted(method, tuple(point or CRITERIA))
        calibrated, limits = fit(PredictionTable.read(table, positive=names), other, wanted)
        calibrated.write(out)
    if out.suffix != ".parquet":
        say(f"{out.suffix} keeps no operating points: 'evaluate' sees those of a .parquet")
    if as_json:
        print_json({"out": str(out), "limits": {fold: _document(one) for fold, one in limits.items()}})
        return 0
    by_fold = "" not in limits
    rows = [
        (
            *([fold] if by_fold else []),
            one.calibration.method,
            point.name,
            point.normal_below,
            point.blast_from,
        )
        for fold, one in limits.items()
        for point in one.points
    ]
    print_table((*(["fold"] if by_fold else []), "method", "point", "normal below", "blast from"), rows)
    for fold, one in limits.items():
        losses = ", ".join(f"{name} {loss:.4f}" for name, loss in one.calibration.cross_validated.items())
        if losses:
            print(f"{f'fold {fold}: ' if by_fold else ''}log loss of subjects left out: {losses}")
    print(f"{out}: calibrated on {', '.join(sorted({one.calibration.subjects for one in limits.values()}))}")
    return 0


def _document(limits: Limits) -> dict[str, Any]:
    return {
        "calibration": limits.calibration.model_dump(),
        "operating_points": [point.model_dump() for point in limits.points],
    }
