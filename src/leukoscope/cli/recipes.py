"""``leukoscope recipes``: what can be trained."""

from __future__ import annotations

from typing import Annotated

import typer

from leukoscope.cli.output import Json, print_json, print_table


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one in full.")] = None,
    as_json: Json = False,
) -> None:
    """List all recipes, or show one in full."""
    from leukoscope.core.config import write_yaml
    from leukoscope.recipes import list_recipes, load_recipe

    if name is not None:
        document = load_recipe(name).model_dump(mode="json")
        if as_json:
            print_json(document)
        else:
            print(write_yaml(document), end="")
        return
    found = [load_recipe(each) for each in list_recipes()]
    if as_json:
        print_json([recipe.model_dump(mode="json") for recipe in found])
    else:
        print_table(
            ("recipe", "what it is", "published"),
            [(one.name, one.title, one.published.words) for one in found],
        )
