"""What a run keeps on disk after every epoch: metrics, the best weights, a checkpoint to go on from."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from leukoscope.core.files import atomic, write_text
from leukoscope.core.progress import Bar
from leukoscope.evaluation.metrics import auroc
from leukoscope.recipes.schema import TrainingChoice
from leukoscope.training.module import CellModule
from leukoscope.training.processes import in_any, told_by_the_first

LAST, BEST = "last.ckpt", "best.safetensors"
LEAST_SPECIFICITY = 0.5
"""Of an epoch that may be chosen by its recall: recall alone is highest when all is called blast."""


class InterruptedFit(Exception):  # noqa: N818 - not an error: the user asked for it
    """Raised inside the fit when the user asked it to stop."""


class Keeper(lightning.Callback):
    """Writes ``metrics.jsonl``, ``checkpoints/best.safetensors`` and ``checkpoints/last.ckpt``, whole or not
    at all.

    Best means least validation loss, greatest validation AUROC, greatest recall at a specificity of at least
    0.5, or the last epoch, as the recipe says; without validation cells, the last epoch. ``last.ckpt`` is
    written after the other two and holds this object's state, so a run that is killed anywhere goes on from a
    state in which all three agree.

    Args:
        folder: the run's folder.
        settings: epochs, patience, monitor.
        positive: (K,) which classes are positive, for the AUROC.
        stop_after: number of epochs after which to stop although the schedule is longer; 0 for none.
        bar: shows progress in batches.
        writes: whether this is the process that writes; the others of a fit keep nothing.
    """

    def __init__(
        self,
        folder: Path,
        settings: TrainingChoice,
        positive: list[bool],
        bar: Bar,
        *,
        stop_after: int = 0,
        writes: bool = True,
    ) -> None:
        self.folder, self.settings, self.positive, self.bar = folder, settings, positive, bar
        self.stop_after, self.writes = stop_after, writes
        self.history: list[dict[str, Any]] = []
        self.best_epoch = -1
        self.best_score = -math.inf
        self.interrupted = False
        self.shown = 0
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"history": self.history, "best_epoch": self.best_epoch, "best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`; also of the file of metrics, which may be an epoch ahead."""
        self.history = list(state_dict["history"])
        self.best_epoch, self.best_score = state_dict["best_epoch"], state_dict["best_score"]
        self._write_metrics()
        done = sum(row["batches"] for row in self.history)
        self.bar.advance(done - self.shown)
        self.shown = done

    @property
    def finished(self) -> bool:
        """Whether the last epoch of the history is the last one to be trained."""
        done = len(self.history)
        out_of_patience = 0 < self.settings.patience <= done - self.best_epoch
        return done >= (self.stop_after or self.settings.all_epochs) or (done > 0 and out_of_patience)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the time."""
        self.started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Show progress, and stop here when the user asked for it."""
        self.bar.advance()
        self.interrupted = in_any(self.interrupted)
        if self.interrupted:
            raise InterruptedFit

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep this epoch."""
        assert isinstance(pl_module, CellModule)
        row = told_by_the_first(self._row(trainer, pl_module))  # so that all processes decide alike
        self.history.append(row)
        score = self._score(row)
        better = score > self.best_score
        if better:
            self.best_epoch, self.best_score = row["epoch"], score
        trainer.should_stop = trainer.should_stop or self.finished
        if better and self.writes:
            save_weights(pl_module, self.folder / "checkpoints" / BEST)
        self._write_metrics()
        if self.writes:
            with atomic(self.folder / "checkpoints" / LAST) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(self.folder / "checkpoints" / LAST)  # writes nothing, and waits
        shown = row["validation_loss"] if row["validation_loss"] is not None else row["train_loss"]
        self.bar.note(f"epoch {row['epoch']} of {self.settings.all_epochs}, loss {shown:.3f}")

    def _row(self, trainer: lightning.Trainer, module: CellModule) -> dict[str, Any]:
        loss, right, count = module.training_sums.tolist()
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "batches": trainer.num_training_batches,
            "train_loss": loss / max(count, 1),
            "train_accuracy": right / max(count, 1),
            "validation_loss": None,
            "validation_accuracy": None,
            "validation_auroc": None,
            "validation_recall": None,
            "validation_specificity": None,
            "learning_rate": trainer.optimizers[0].param_groups[-1]["lr"],
            "seconds": round(time.monotonic() - self.started, 3),
        }
        if module.validation_logits:
            row |= self._validation(module)
        return row

    def _validation(self, module: CellModule) -> dict[str, float | None]:
        logits, labels = torch.cat(module.validation_logits), torch.cat(module.validation_labels)
        probability = logits.softmax(1)[:, self.positive].sum(1).double().numpy()
        positive = np.asarray(self.positive)[labels.numpy()]
        area = auroc(positive, probability)
        return {
            "validation_loss": float(torch.nn.functional.cross_entropy(logits, labels)),
            "validation_accuracy": float((logits.argmax(1) == labels).float().mean()),
            "validation_auroc": None if area is None or math.isnan(area) else float(area),
            "validation_recall": _share(probability[positive] >= 0.5),
            "validation_specificity": _share(probability[~positive] < 0.5),
        }

    def _score(self, row: dict[str, Any]) -> float:
        if row["validation_loss"] is None or self.settings.monitor == "none":
            return float(row["epoch"])
        special = row["validation_specificity"]
        if self.settings.monitor == "auroc" and row["validation_auroc"] is not None:
            return float(row["validation_auroc"])
        if self.settings.monitor == "recall" and None not in (recall := row["validation_recall"], special):
            return float(recall if special >= LEAST_SPECIFICITY else special - 1)
        return -float(row["validation_loss"])

    def _write_metrics(self) -> None:
        if self.writes:
            write_text(self.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self.history))


def _share(held: NDArray[np.bool_]) -> float | None:
    return float(held.mean()) if len(held) else None


def save_weights(module: CellModule, path: Path) -> None:
    """The kept network's weights as safetensors, atomically."""
    weights = {name: value.detach().cpu().contiguous() for name, value in module.judged.state_dict().items()}
    with atomic(path) as temporary:
        save_file(weights, temporary)
