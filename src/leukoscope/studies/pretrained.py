"""Where the given weights of a recipe are: a file of the user's, or what the model hub left on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from leukoscope.models.hub import cached
from leukoscope.recipes.schema import Recipe

HUB = "imagenet"
NOT_PRESENT = "weights not present"


class Given(NamedTuple):
    """Weights that are there: what ``model.weights`` must say, and where they come from, in words."""

    setting: str
    words: str


def starts_from_given(recipe: Recipe, folder: Path | None) -> bool:
    """Whether a run from given weights belongs to the recipe: its document starts from some, or the user has
    a file for it."""
    return recipe.model.weights != "none" or _file(recipe, folder) is not None


def find_weights(recipe: Recipe, folder: Path | None, *, download: bool) -> Given | None:
    """The given weights of a recipe; ``None`` where they are not present.

    ``FOLDER/RECIPE.safetensors`` comes first, then ``FOLDER/NETWORK.safetensors``, then the file that the
    recipe names, then what the model hub left on this disk. Nothing is fetched unless ``download`` is set.
    """
    if (path := _file(recipe, folder)) is not None:
        return Given(str(path), path.name)
    choice = recipe.model
    if choice.weights not in ("none", HUB):
        return Given(choice.weights, Path(choice.weights).name) if Path(choice.weights).is_file() else None
    if choice.weights == HUB and (download or cached(choice.name) is not None):
        return Given(HUB, f"{choice.name} from the model hub")
    return None


def _file(recipe: Recipe, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    names = (recipe.name, recipe.model.name)
    found = (folder / f"{name}.safetensors" for name in names)
    return next((path.resolve() for path in found if path.is_file()), None)
