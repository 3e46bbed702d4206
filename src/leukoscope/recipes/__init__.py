"""Recipes: one YAML file for each published model and each model of ours. Adding a recipe is adding a file.

Reading a recipe needs no training framework.
"""

from __future__ import annotations

from leukoscope.recipes.schema import (
    Augmentation,
    ModelChoice,
    Phase,
    Protocol,
    Published,
    Recipe,
    TrainingChoice,
    list_recipes,
    load_recipe,
)

__all__ = [
    "Augmentation",
    "ModelChoice",
    "Phase",
    "Protocol",
    "Published",
    "Recipe",
    "TrainingChoice",
    "list_recipes",
    "load_recipe",
]
