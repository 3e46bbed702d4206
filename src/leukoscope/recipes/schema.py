"""What a recipe may say, and how one is found, read and changed by ``--set``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from leukoscope.cells.preprocess import Preprocess
from leukoscope.core.config import Config, nearest, override, parse, read_yaml
from leukoscope.errors import UsageError
from leukoscope.evaluation.calibrators import CalibrationChoice
from leukoscope.evaluation.criteria import CRITERIA, check_criteria

Normalisation = Literal["own", "unit", "imagenet"]
ImageUnit = Literal["subject", "image"]


class Lora(Config):
    """Low-rank adapters (Hu et al. 2021): given weights stay, small matrices beside the named layers learn.

    When the fit is over they are added to the weights, so that a bundle knows nothing of them.
    ``targets`` are the last parts of the names of linear or convolutional layers, such as ``qkv``.
    """

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(min_length=1)


class ModelChoice(Config):
    """Which network, and what it starts from.

    ``name`` is one of ours or any of timm's. ``weights`` is ``none`` for random ones, ``imagenet`` for those
    that timm gets from the model hub, or a local safetensors file, whose SHA-256 must be ``weights_sha256``
    where that is given; what was taken is recorded. ``normalise`` says what becomes of pixels 0..255 first:
    ``own`` is what the weights of that network were trained with, ``unit`` divides by 255, ``imagenet`` then
    takes ImageNet's mean colour away and divides by its deviation.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: str = "none"
    weights_sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    normalise: Normalisation = "own"
    lora: Lora | None = None

    def built_with(self) -> dict[str, Any]:
        """The arguments of :func:`leukoscope.models.create.create_model`, but number of classes and size."""
        normalise = {} if self.normalise == "own" else {"normalise": self.normalise}
        return self.arguments | normalise


class Augmentation(Config):
    """What is varied in training, in batches on the device. Zero turns a variation off; black stays black.

    Rotation is in degrees to either side; ``shift`` is a share of the image; ``scale`` and ``stretch`` are
    the largest natural logarithm of a zoom (both axes, one axis); ``fill`` is what a move brings in from
    outside of the image: black, its edge, or its mirror picture. ``stain`` is the largest relative change
    of each colour's optical density and ``density`` of all three together; ``hue`` is the largest turn of all
    colours about grey, in degrees; ``brightness`` and ``contrast`` are the largest relative changes of the
    picture; ``blur`` and ``sharpen`` are the largest share of a 3x3 blur mixed in or taken out, used on half
    of the cells; ``noise`` is the largest standard deviation of normal noise, in grey levels; ``jpeg`` the
    largest loss of quality (100 less JPEG's quality), used on half of the cells; ``cutout`` the largest side
    of a square made black, as a share of the image, used on half of the cells. ``mixup`` is alpha of Zhang et
    al. 2018: cells and labels mixed in pairs, by shares from Beta(alpha, alpha). ``exact`` is the share of
    cells that are only mirrored and turned by quarters: every other move resamples and so softens the
    picture, and a network that never saw a sharp cell misreads them.
    """

    exact: float = Field(0.0, ge=0, le=1)
    rotation: float = Field(0.0, ge=0, le=180)
    flip: bool = False
    vertical_flip: bool = False
    shift: float = Field(0.0, ge=0, le=0.5)
    scale: float = Field(0.0, ge=0, le=1)
    stretch: float = Field(0.0, ge=0, le=1)
    shear: float = Field(0.0, ge=0, le=1)
    fill: Literal["black", "edge", "mirror"] = "black"
    stain: float = Field(0.0, ge=0, le=1)
    density: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=180)
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.0, ge=0, le=1)
    sharpen: float = Field(0.0, ge=0, le=3)
    noise: float = Field(0.0, ge=0, le=64)
    jpeg: float = Field(0.0, ge=0, le=95)
    cutout: float = Field(0.0, ge=0, le=1)
    mixup: float = Field(0.0, ge=0, le=10)

    @property
    def varies_cells(self) -> bool:
        """Whether a single cell can look otherwise than it is."""
        return self.model_copy(update={"exact": 0.0, "fill": "black", "mixup": 0.0}) != Augmentation()

    @property
    def is_off(self) -> bool:
        """Whether every epoch shows the cells as they are."""
        return not self.varies_cells and not self.mixup


class Phase(Config):
    """A stretch of training: so many epochs at that rate, these parts kept as they are."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    freeze: tuple[str, ...] = ()


class TrainingChoice(Config):
    """How the network is fitted.

    ``subject_balance`` is the power by which a subject's number of cells is discounted when cells are drawn:
    0 draws all cells alike, 1 draws all subjects of a class alike. ``class_balance`` makes the classes count
    the same: ``sampler`` draws all equally often, ``loss`` weighs the loss of each cell by the rarity of its
    class. ``focal`` is gamma of the focal loss (Lin et al. 2017), by which a cell that is told right counts
    less; 0 is the cross entropy. ``cells_per_epoch`` 0 means as many as there are.

    Of given weights, ``freeze`` names the parts of the network that are kept as they started, statistics of
    batch norm too, and ``trunk_rate`` is the learning rate, as a share, of the other layers before the head.
    ``later_phases`` follow when the first ``epochs`` are over, each with a rate and frozen parts of its own.
    Random weights are all trained, nothing frozen, at the whole rate of the phase. ``average`` is the decay
    of the running average of the weights that is kept as the model; 0 keeps the last weights themselves.
    ``refit_head`` is the inverse strength (scikit-learn's C) of the logistic regression of the training
    cells as they are that replaces the last linear layer when the epochs are over; 0 leaves it as it was
    trained. ``subject_penalty`` makes that regression lean less on what tells people of one class apart: the
    factor by which the variance of their means along a direction adds to the penalty of a weight along it.

    ``monitor`` is what the validation subjects choose the epoch by: the least ``loss``, the greatest
    ``auroc``, or the greatest ``recall`` of blasts among the epochs with a specificity of at least 0.5;
    ``none`` keeps the last one. ``patience`` 0 never stops early.
    """

    epochs: int = Field(15, ge=1)
    batch_size: int = Field(32, ge=1)
    cells_per_epoch: int = Field(0, ge=0)
    optimiser: Literal["adam", "adamw", "adamax", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    trunk_rate: float = Field(1.0, gt=0, le=1)
    freeze: tuple[str, ...] = ()
    later_phases: tuple[Phase, ...] = ()
    weight_decay: float = Field(0.0, ge=0)
    refit_head: float = Field(0.0, ge=0)
    subject_penalty: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    focal: float = Field(0.0, ge=0, le=10)
    class_balance: Literal["none", "sampler", "loss"] = "none"
    subject_balance: float = Field(0.0, ge=0, le=1)
    patience: int = Field(0, ge=0)
    monitor: Literal["loss", "auroc", "recall", "none"] = "loss"
    average: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "32", "bf16"] = "auto"
    seed: int = 0

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All of them, the first one too."""
        first = Phase(epochs=self.epochs, learning_rate=self.learning_rate, freeze=self.freeze)
        return (first, *self.later_phases)

    @property
    def all_epochs(self) -> int:
        """Of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def reweights_classes(self) -> bool:
        """Whether training makes the classes count the same, so that their shares must be given back."""
        return self.class_balance != "none"


class Published(Config):
    """What the document says of its model; empty where it says nothing."""

    accuracy: float | None = None
    loss: float | None = None
    words: str = "none"


class Protocol(Config):
    """How the document parted its cells: the protocol of ``leukoscope data split`` that comes nearest, and
    what stayed together, subjects or single images."""

    name: Literal["official", "grouped-holdout", "sample-1000", "merged-holdout"] = "grouped-holdout"
    unit: ImageUnit = "subject"
    words: str = ""


class Recipe(Config):
    """A whole recipe. ``choices`` gives the reason of every value that its document left open.

    ``calibration`` is how logits become probabilities, ``operating_points`` where they decide, the first one
    for the rows: see :func:`~leukoscope.evaluation.calibrators.fit_calibration` and
    :func:`~leukoscope.evaluation.criteria.fit_points`.
    """

    name: str
    title: str
    source: str
    published: Published = Published()
    protocol: Protocol = Protocol()
    model: ModelChoice
    preprocess: Preprocess
    augmentation: Augmentation = Augmentation()
    training: TrainingChoice = TrainingChoice()
    views: Literal[1, 8] = 1
    calibration: CalibrationChoice = "auto"
    operating_points: tuple[str, ...] = CRITERIA
    choices: dict[str, str] = Field(default_factory=dict)

    @field_validator("operating_points")
    @classmethod
    def _known_points(cls, criteria: tuple[str, ...]) -> tuple[str, ...]:
        try:
            check_criteria(criteria)
        except UsageError as error:
            raise ValueError(f"{error.message} ({error.hint})" if error.hint else error.message) from None
        return criteria


def list_recipes() -> list[str]:
    """Names of the recipes in the package.

    >>> "leukoscope-s" in list_recipes()
    True
    """
    return sorted(
        entry.name[:-5] for entry in files("leukoscope.recipes").iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """The recipe of that name, or in that YAML file, with ``--set`` settings applied.

    Args:
        name: a name of :func:`list_recipes`, or the path of a file ending in ``.yaml``.
        settings: ``KEY=VALUE`` texts, such as ``training.epochs=3``.

    Raises:
        UsageError: when there is no such recipe.
        ConfigError: when a key is unknown or a value impossible.

    >>> load_recipe("cnn-45px", ["training.epochs=2"]).training.epochs
    2
    """
    path = (
        Path(name)
        if name.endswith((".yaml", ".yml"))
        else Path(str(files("leukoscope.recipes") / f"{name}.yaml"))
    )
    if not path.is_file():
        known = list_recipes()
        guess = nearest(name, known)
        hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(known)}; or give a YAML file"
        raise UsageError(f"there is no recipe '{name}'", hint=hint)
    return parse(Recipe, override(read_yaml(path), settings), where=f"recipe {name}")
