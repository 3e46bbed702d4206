"""``leukoscope recipes`` and ``leukoscope doctor``."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import yaml

from leukoscope.cli import doctor
from leukoscope.recipes import list_recipes, load_recipe


def test_recipes_are_listed(leukoscope):
    ran = leukoscope("recipes")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == list_recipes()
    assert [one["name"] for one in leukoscope("recipes", "--json").document] == list_recipes()


def test_one_recipe_in_full_can_be_trained_from(leukoscope, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(leukoscope("recipes", "leukoscope-s").out)
    assert load_recipe(str(file)) == load_recipe("leukoscope-s")
    assert leukoscope("recipes", "leukoscope-s", "--json").document == yaml.safe_load(file.read_text())


def test_doctor_says_what_is_there(leukoscope):
    ran = leukoscope("doctor", "--json")
    assert ran.code == 0
    found = {package["name"]: package["version"] for package in ran.document["packages"]}
    assert found["numpy"]
    assert ran.document["devices"][0]["name"] == "cpu"
    assert {one["name"]: one["available"] for one in ran.document["backends"]} == {
        "onnxruntime": True,
        "openvino": find_spec("openvino") is not None,
        "torch": find_spec("torch") is not None,
    }
    assert "numpy" in leukoscope("doctor").out


def test_doctor_says_how_to_get_what_is_missing(leukoscope, monkeypatch):
    there = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: None if name in ("torch", "kagglehub", "openvino") else there(name)
    )
    ran = leukoscope("doctor", "--json")
    assert ran.code == 0
    assert ran.document["missing"]["train"] == 'pip install "leukoscope[train]"'
    assert ran.document["missing"]["openvino"] == 'pip install "leukoscope[openvino]"'
    backends = {one["name"]: one["available"] for one in ran.document["backends"]}
    assert backends == {"onnxruntime": True, "openvino": False, "torch": False}
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "polars" else there(name))
    assert leukoscope("doctor").code == 1


def test_doctor_knows_the_packages_of_pyproject():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> tuple[str, ...]:
        return tuple(re.split(r"[<>=~!;\[ ]", one)[0] for one in requirements)

    assert names(project["dependencies"]) == doctor.BASE
    extras = {key: names(value) for key, value in project["optional-dependencies"].items() if key != "dev"}
    assert extras == doctor.EXTRAS
