"""What a study compares: a suite names recipes, readings, weights and seeds, and what is made smaller."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from leukoscope.core.config import Config, nearest, parse, read_yaml
from leukoscope.errors import UsageError
from leukoscope.recipes.schema import Recipe, load_recipe

ReadingName = Literal["image", "subject"]
WeightsName = Literal["none", "pretrained"]

READINGS: tuple[ReadingName, ...] = ("image", "subject")


class Suite(Config):
    """A whole suite, as its YAML file has it.

    Attributes:
        title, words: what the study is about, for its page.
        recipes: names of recipes, or YAML files ending in ``.yaml``.
        readings: ``image`` (cells of one person on both sides; LEAKY) and ``subject``.
        seeds: how many; 0, 1, ... are the seeds of the training (and of the parting, where every seed tests
            the same cells).
        protocol: of ``leukoscope data split``, for all recipes; ``document`` takes each recipe's own.
        folds: of ``grouped-kfold``.
        settings: ``KEY=VALUE`` changes of every recipe.
        weights: ``none`` trains everything from random weights; ``auto`` trains recipes that start from given
            weights from these, too, where they are present.
        max_cells: so many cells at most, subjects and classes kept; 0 for all.
        max_size: cells are made at most so many pixels wide; 0 for the recipe's size.
        max_epochs: at most so many, and no later phases; 0 for the recipe's.
        hours: a run that would take longer is skipped; 0 for no limit.
        keep_models: whether the bundles of the runs stay when these are finished.
    """

    title: str
    words: str = ""
    recipes: tuple[str, ...] = Field(min_length=1)
    readings: tuple[ReadingName, ...] = Field(READINGS, min_length=1)
    seeds: int = Field(1, ge=1)
    protocol: Literal["document", "grouped-kfold", "grouped-holdout"] = "document"
    folds: int = Field(5, ge=3)
    settings: tuple[str, ...] = ()
    weights: Literal["none", "auto"] = "auto"
    max_cells: int = Field(0, ge=0)
    max_size: int = Field(0, ge=0)
    max_epochs: int = Field(0, ge=0)
    hours: float = Field(0.0, ge=0)
    keep_models: bool = True


class Entry(NamedTuple):
    """One recipe of a suite.

    Attributes:
        source: the name or YAML file that the suite gives.
        recipe: as it is trained, the suite's settings applied.
        settings: the ``KEY=VALUE`` texts that made it so.
    """

    source: str
    recipe: Recipe
    settings: tuple[str, ...]


def list_suites() -> list[str]:
    """Names of the suites in the package.

    >>> list_suites()
    ['quick', 'seeds']
    """
    folder = files("leukoscope.studies") / "suites"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_suite(name: str) -> Suite:
    """The suite of that name, or in that YAML file.

    Args:
        name: one of :func:`list_suites`, or the path of a file ending in ``.yaml``.

    Raises:
        UsageError: when there is no such suite.
        ConfigError: when a key is unknown or a value impossible.

    >>> load_suite("quick").max_epochs
    1
    """
    is_file = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_file else Path(str(files("leukoscope.studies") / "suites" / f"{name}.yaml"))
    if not path.is_file():
        known = list_suites()
        guess = nearest(name, known)
        hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(known)}; or give a YAML file"
        raise UsageError(f"there is no suite '{name}'", hint=hint)
    return parse(Suite, read_yaml(path), where=f"suite {name}")


def entries(suite: Suite, only: Iterable[str] = ()) -> list[Entry]:
    """The recipes of a suite as they are trained, in its order.

    Args:
        suite: which.
        only: names of recipes; the others are left out. Empty for all.

    Raises:
        UsageError: for a recipe that there is not, one that is there twice, or one of ``only`` that is not in
            the suite.
        ConfigError: when a setting does not fit a recipe.
    """
    made = [_entry(source, suite) for source in suite.recipes]
    names = [entry.recipe.name for entry in made]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"recipe '{name}' is in the suite twice", hint="name each recipe once")
    wanted = tuple(only)
    for name in wanted:
        if name not in names:
            guess = nearest(name, names)
            hint = f"did you mean '{guess}'?" if guess else f"it has: {', '.join(names)}"
            raise UsageError(f"the suite has no recipe '{name}'", hint=hint)
    return [entry for entry in made if not wanted or entry.recipe.name in wanted]


def _entry(source: str, suite: Suite) -> Entry:
    settings = (*_limits(load_recipe(source), suite), *suite.settings)
    return Entry(source, load_recipe(source, settings), settings)


def _limits(recipe: Recipe, suite: Suite) -> list[str]:
    """The settings that keep a recipe within the suite's limits."""
    size, training = recipe.preprocess.size, recipe.training
    limits = []
    if suite.max_size and size > suite.max_size:
        limits.append(f"preprocess.size={suite.max_size}")
    if suite.max_epochs:
        limits += [f"training.epochs={min(training.epochs, suite.max_epochs)}", "training.later_phases=[]"]
    if suite.max_cells and training.cells_per_epoch > suite.max_cells:
        limits.append(f"training.cells_per_epoch={suite.max_cells}")
    return limits
