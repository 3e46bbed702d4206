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


DOCUMENTS = {  # name: (seed document, protocol, unit, published accuracy)
    "vgg16": (0, "sample-1000", "image", None),
    "cnn-32x4": (0, "sample-1000", "image", None),
    "cnn-small": (0, "sample-1000", "image", None),
    "cnn-dropout": (0, "sample-1000", "image", None),
    "efficientnet-b3": (0, "sample-1000", "image", None),
    "inception-resnet-v2": (1, "grouped-holdout", "image", 0.87875),
    "efficientnet-b3-deep": (1, "grouped-holdout", "image", 0.889),
    "convnext-xlarge": (1, "grouped-holdout", "image", None),
    "cnn-45px": (2, "official", "subject", 0.70),
    "resnet50-frozen": (2, "official", "subject", None),
    "resnet50-finetuned": (2, "official", "subject", 0.70),
    "cnn-recall": (3, "merged-holdout", "image", None),
    "cnn-baseline": (4, "grouped-holdout", "image", 0.56),
    "inception": (4, "grouped-holdout", "image", 0.78),
    "resnet": (4, "grouped-holdout", "image", 0.82),
}


def test_all_models_of_the_documents_are_there_and_two_of_ours():
    assert set(list_recipes()) == {*DOCUMENTS, "leukoscope-s", "timm"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_documents_recipe_names_its_document_its_protocol_and_its_figure(name):
    recipe = load_recipe(name)
    document, protocol, unit, accuracy = DOCUMENTS[name]
    assert f"(seed document {document})" in recipe.source
    assert (recipe.protocol.name, recipe.protocol.unit) == (protocol, unit) and recipe.protocol.words
    assert recipe.published.accuracy == accuracy


OPEN = {f"training.{name}" for name in ("epochs", "batch_size", "optimiser", "learning_rate", "monitor")}
OPEN |= {"preprocess.size", "preprocess.field", "model.normalise"}
NAMED = {  # of these, what the documents do say
    1: {"training.optimiser", "training.learning_rate"},
    2: {"training.optimiser", "preprocess.size", "model.normalise"},
    "cnn-45px": {"training.epochs"},
    "cnn-baseline": {"training.batch_size", "training.optimiser"},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_leaves_open_is_ours_and_says_why(name):
    recipe = load_recipe(name)
    named = NAMED.get(DOCUMENTS[name][0], set()) | NAMED.get(name, set())
    assert OPEN - named - set(recipe.choices) == set()
    assert all(len(reason) > 5 for reason in recipe.choices.values())


def test_a_later_phase_has_a_rate_of_its_own():
    first, second = load_recipe("resnet50-finetuned").training.phases
    assert first.freeze == ("backbone",) and second.learning_rate < first.learning_rate
    assert "backbone.layer2.0" in second.freeze and "backbone.layer2" not in second.freeze


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
