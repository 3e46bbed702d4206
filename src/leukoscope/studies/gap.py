"""The gap between training and validation at the epoch that was kept, in numbers and words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from leukoscope.core.config import Config

METRICS = "metrics.jsonl"
NARROW, WIDE = 0.03, 0.10


class Gap(Config):
    """Means over folds and seeds at the kept epochs; validation is ``None`` where nothing validated.

    Attributes:
        train_loss, train_accuracy: of the cells as they were trained on, varied and with dropout.
        validation_loss, validation_accuracy: of cells that were not trained on.
    """

    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None

    @property
    def words(self) -> str:
        """The gap as a sentence.

        >>> Gap(train_loss=0.1, train_accuracy=0.97, validation_loss=0.6, validation_accuracy=0.8).words
        'A wide gap: 0.17 of accuracy, 0.50 of loss. The network knows its training cells better than others.'
        """
        if self.validation_loss is None or self.validation_accuracy is None:
            return "No cells validated, so the gap is not known."
        accuracy = self.train_accuracy - self.validation_accuracy
        loss = self.validation_loss - self.train_loss
        numbers = f"{_signed(accuracy)} of accuracy, {_signed(loss)} of loss"
        if accuracy > WIDE:
            return f"A wide gap: {numbers}. The network knows its training cells better than others."
        if accuracy > NARROW:
            return f"A gap: {numbers}."
        if accuracy < -NARROW:
            return (
                f"Validation reads better than training: {numbers}. "
                "Training is read on varied cells, while the network still learns."
            )
        return f"No gap to speak of: {numbers}."


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # no minus before zero


def histories(folder: Path) -> list[list[dict[str, Any]]]:
    """``metrics.jsonl`` of a run: its epochs, a list for each fold."""
    return [
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in _files(folder)
    ]


def _files(folder: Path) -> list[Path]:
    if (folder / METRICS).is_file():
        return [folder / METRICS]
    return sorted((folder / "folds").glob(f"*/{METRICS}"), key=lambda path: int(path.parent.name))


def read_gap(runs: Sequence[tuple[Path, Sequence[int]]]) -> Gap | None:
    """The gap over runs, each a folder and the kept epoch of each of its folds."""
    kept = [
        row
        for folder, epochs in runs
        for history, epoch in zip(histories(folder), epochs, strict=False)
        for row in history
        if row["epoch"] == epoch
    ]
    if not kept:
        return None
    return Gap(
        train_loss=fmean(row["train_loss"] for row in kept),
        train_accuracy=fmean(row["train_accuracy"] for row in kept),
        validation_loss=_mean(kept, "validation_loss"),
        validation_accuracy=_mean(kept, "validation_accuracy"),
    )


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows]
    return None if None in values else fmean(values)
