"""What a recipe may say, and how one is found, read and changed by ``--set``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from leukoscope.cells.preprocess import Preprocess
from leukoscope.core.config import Config, nearest, override, parse, read_yaml
from leukoscope.errors import UsageError


class ModelChoice(Config):
    """Which network, and what it starts from.

    ``weights`` is ``none`` for random ones, or a local safetensors file; it is recorded either way.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: str = "none"


class Augmentation(Config):
    """What is varied in training, in batches on the device. Zero turns a variation off; black stays black.

    Rotation is in degrees to either side; ``shift`` is a share of the image; ``scale`` and ``stretch`` are
    the largest natural logarithm of a zoom (both axes, one axis); ``stain`` is the largest relative change
    of each colour's optical density and ``density`` of all three together; ``brightness`` and ``contrast``
    are the largest relative changes of the picture; ``blur`` and ``sharpen`` are the largest share of a 3x3
    blur mixed in or taken out, used on half of the cells. ``exact`` is the share of cells that are only
    mirrored and turned by quarters: every other move resamples and so softens the picture, and a network
    that never saw a sharp cell misreads them.
    """

    exact: float = Field(0.0, ge=0, le=1)
    rotation: float = Field(0.0, ge=0, le=180)
    flip: bool = False
    shift: float = Field(0.0, ge=0, le=0.5)
    scale: float = Field(0.0, ge=0, le=1)
    stretch: float = Field(0.0, ge=0, le=1)
    shear: float = Field(0.0, ge=0, le=1)
    stain: float = Field(0.0, ge=0, le=1)
    density: float = Field(0.0, ge=0, le=1)
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.0, ge=0, le=1)
    sharpen: float = Field(0.0, ge=0, le=3)


class TrainingChoice(Config):
    """How the network is fitted.

    ``subject_balance`` is the power by which a subject's number of cells is discounted when cells are drawn:
    0 draws all cells alike, 1 draws all subjects of a class alike. ``class_balance`` draws both classes
    equally often. ``cells_per_epoch`` 0 means as many as there are.

    Of given weights, ``freeze`` names the parts of the network that are kept as they started, statistics of
    batch norm too, and ``trunk_rate`` is the learning rate, as a share, of the other layers before the head.
    Random weights are all trained at the whole rate. ``average`` is the decay of the running average of the
    weights that is kept as the model; 0 keeps the last weights themselves. ``refit_head`` is the inverse
    strength (scikit-learn's C) of the logistic regression of the training cells as they are that replaces
    the last linear layer when the epochs are over; 0 leaves it as it was trained. ``subject_penalty`` makes
    that regression lean less on what tells people of one class apart: the factor by which the variance of
    their means along a direction adds to the penalty of a weight along it.

    ``monitor`` is what the validation subjects choose the epoch by; ``none`` keeps the last one.
    ``patience`` 0 never stops early.
    """

    epochs: int = Field(15, ge=1)
    batch_size: int = Field(32, ge=1)
    cells_per_epoch: int = Field(0, ge=0)
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    trunk_rate: float = Field(1.0, gt=0, le=1)
    freeze: tuple[str, ...] = ()
    weight_decay: float = Field(0.0, ge=0)
    refit_head: float = Field(0.0, ge=0)
    subject_penalty: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    class_balance: bool = False
    subject_balance: float = Field(0.0, ge=0, le=1)
    patience: int = Field(0, ge=0)
    monitor: Literal["loss", "auroc", "none"] = "loss"
    average: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "32", "bf16"] = "auto"
    seed: int = 0


class Recipe(Config):
    """A whole recipe. ``choices`` gives the reason of every value that its document left open."""

    name: str
    title: str
    source: str
    published: str = "none"
    model: ModelChoice
    preprocess: Preprocess
    augmentation: Augmentation = Augmentation()
    training: TrainingChoice = TrainingChoice()
    views: Literal[1, 8] = 1
    choices: dict[str, str] = Field(default_factory=dict)


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
