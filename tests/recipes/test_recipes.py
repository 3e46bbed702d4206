"""Recipes: closed, complete, and changed only by what a user says."""

import pytest
import yaml

from leukoscope.errors import ConfigError, UsageError
from leukoscope.recipes import list_recipes, load_recipe


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_loads_under_its_own_name(name):
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.source and recipe.title


@pytest.mark.parametrize("name", list_recipes())
def test_every_choice_gives_the_reason_of_a_value_that_exists(name):
    recipe = load_recipe(name)
    for key in recipe.choices:
        value = recipe.model_dump()
        for part in key.split("."):
            assert part in value, f"{name}: choices names {key}"
            value = value[part]


def test_settings_change_values():
    recipe = load_recipe("leukoscope-s", ["training.epochs=3", "model.arguments.dropout=0.5", "views=8"])
    assert (recipe.training.epochs, recipe.model.arguments["dropout"], recipe.views) == (3, 0.5, 8)


def test_unknown_key_names_the_nearest():
    with pytest.raises(ConfigError, match=r"training\.epoch") as caught:
        load_recipe("leukoscope-s", ["training.epoch=3"])
    assert "epochs" in caught.value.hint


@pytest.mark.parametrize(
    "setting", ["training.epochs=many", "training.epochs=0", "views=4", "training.optimiser=lion"]
)
def test_impossible_values_are_refused(setting):
    with pytest.raises(ConfigError):
        load_recipe("leukoscope-s", [setting])


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    text = load_recipe("cnn-45px").model_dump(mode="json") | {"name": "mine"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(text))
    assert load_recipe(str(tmp_path / "mine.yaml")).name == "mine"


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(UsageError) as caught:
        load_recipe("leukoscope-xs")
    assert "leukoscope-s" in caught.value.hint
