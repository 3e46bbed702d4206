"""What a run of a study is asked for, and what it leaves behind in ``outcome.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from leukoscope.core.config import Config
from leukoscope.core.files import sha256_bytes, write_json
from leukoscope.recipes.schema import Recipe
from leukoscope.studies.study_splits import Parting
from leukoscope.studies.suite import ReadingName, WeightsName

OUTCOME = "outcome.json"
Status = Literal["done", "failed", "skipped", "absent", "interrupted"]


class Need(Config):
    """What a network asks of the machine.

    Attributes:
        parameters: numbers that can be trained.
        multiply_adds: of one cell, forward.
        weight_bytes: of weights, gradients and the optimiser's state while it is trained, and of the copies
            of the weights while its bundle is written.
        activation_bytes: kept for the backward pass of one batch.
    """

    parameters: int
    multiply_adds: int
    weight_bytes: int
    activation_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both together."""
        return self.weight_bytes + self.activation_bytes


class Job(Config):
    """One run: a recipe, a reading, the weights it starts from, a seed.

    Attributes:
        source: the recipe's name or file.
        name: the recipe's name.
        settings: ``KEY=VALUE`` changes of the recipe.
        reading, weights, seed: which of its runs this is.
        parting: how the cells are parted.
        split: the file of that.
        folder: of the run.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        weights_folder: where ``NAME.safetensors`` files lie.
        download: whether weights may be fetched from the model hub.
        hours: skip it where it would take longer; 0 for no limit.
        keep_models: whether the bundle stays.
        need: of the network, where an earlier run has counted it.
    """

    source: str
    name: str
    settings: tuple[str, ...]
    reading: ReadingName
    weights: WeightsName
    seed: int
    parting: Parting
    split: Path
    folder: Path
    device: str = "auto"
    weights_folder: Path | None = None
    download: bool = False
    hours: float = 0.0
    keep_models: bool = True
    need: Need | None = None

    @property
    def words(self) -> str:
        """Which run this is, for a person."""
        kind = "random weights" if self.weights == "none" else "pretrained weights"
        return f"{self.name}, by {self.reading}, {kind}, seed {self.seed}"


class Energy(Config):
    """Energy that the system told: joules, and of what (``processor``, ``GPU``)."""

    joules: float
    source: str


class Cost(Config):
    """What a run took.

    Attributes:
        seconds: of training, all epochs (and folds), validation in it.
        cells_per_second: trained on.
        predicted_per_second: cells from file to answer with the finished bundle; ``None`` where none was
            tested.
        memory_bytes: the most main memory that the run's process held.
        gpu_bytes: the most GPU memory; ``None`` without a GPU.
        energy: of the whole machine while the run lasted; ``None`` where the system does not tell.
        resumed: the run was interrupted: memory and energy are those of its last stretch.
    """

    seconds: float
    cells_per_second: float
    predicted_per_second: float | None = None
    memory_bytes: int | None = None
    gpu_bytes: int | None = None
    energy: Energy | None = None
    resumed: bool = False


class Outcome(Config):
    """How a run ended; it is finished only where ``status`` is ``done``.

    Attributes:
        status: ``done``; ``failed``; ``skipped``: the machine cannot hold it; ``absent``: its weights are not
            present; ``interrupted``.
        reason, hint: why it is not done.
        recipe: :func:`fingerprint` of the recipe it was trained by.
        weights: what it started from, in words.
        need, cost: see there.
        best_epochs: the epoch that was kept, one for each fold.
    """

    status: Status
    reason: str = ""
    hint: str = ""
    recipe: str = ""
    weights: str = ""
    need: Need | None = None
    cost: Cost | None = None
    best_epochs: tuple[int, ...] = ()

    def write(self, folder: Path) -> None:
        """Write ``outcome.json``."""
        write_json(folder / OUTCOME, self.model_dump(mode="json"))


def read_outcome(folder: Path) -> Outcome | None:
    """How the run in this folder ended; ``None`` where it has not, or a newer program wrote it."""
    path = folder / OUTCOME
    try:
        return Outcome.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def fingerprint(recipe: Recipe) -> str:
    """SHA-256 of what decides a run of a recipe, but the weights it starts from: not its words."""
    words = {"title", "source", "published", "protocol", "choices"}
    kept = recipe.model_dump(mode="json", exclude=words)
    kept["model"] = {key: value for key, value in kept["model"].items() if key != "weights"}
    return sha256_bytes(json.dumps(kept, sort_keys=True).encode())
