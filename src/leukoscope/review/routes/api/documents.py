"""The API's documents as a page, made from its schema by a template: nothing from elsewhere, no script."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from markupsafe import Markup, escape

from leukoscope.review.routes.asking import NotSignedInError, asking, page

router = APIRouter(include_in_schema=False)


class Operation(NamedTuple):
    """An operation as the page shows it.

    Attributes:
        method: in capitals.
        path: with its parameters in braces.
        scopes: that a key needs; ``None`` where no key is asked for.
        inputs: name, where, type, whether it must be given, description.
        body: the name of the schema that is sent, empty for none.
        answers: status, description, name of the schema or media type.
        about: summary, description, operationId, tag.
    """

    method: str
    path: str
    scopes: list[str] | None
    inputs: list[dict[str, Any]]
    body: str
    answers: list[tuple[str, str, str]]
    about: dict[str, Any]


@router.get("/docs")
def show_docs(request: Request) -> Response:
    """All operations by tag, then all schemas. It tells nothing of cases, so that anybody may read it."""
    schema: dict[str, Any] = request.app.openapi()
    try:
        who = asking(request)
    except NotSignedInError:
        who = None
    return page(
        request,
        "api.html",
        who,
        info=schema["info"],
        tags=[(tag, operations(schema, tag["name"])) for tag in schema["tags"]],
        schemas=schema["components"]["schemas"],
        kind=kind,
        marked=marked,
    )


def operations(schema: dict[str, Any], tag: str) -> list[Operation]:
    """The operations of a tag, in the order of the schema."""
    return [
        _operation(method, path, about)
        for path, methods in schema["paths"].items()
        for method, about in methods.items()
        if tag in about["tags"]
    ]


def _operation(method: str, path: str, about: dict[str, Any]) -> Operation:
    security = about.get("security")
    inputs = [one | {"kind": kind(one["schema"])} for one in about.get("parameters", [])]
    bodies = _told(about.get("requestBody", {}).get("content", {}))
    answers = [
        (status, answer["description"], ", ".join(_told(answer.get("content", {}))))
        for status, answer in about["responses"].items()
    ]
    scopes = security and [scope for one in security for scopes in one.values() for scope in scopes]
    return Operation(method.upper(), path, scopes, inputs, "".join(bodies), answers, about)


def _told(content: dict[str, Any]) -> list[str]:
    return [
        kind(media.get("schema", {})) if name == "application/json" else name
        for name, media in content.items()
    ]


def marked(text: str) -> Markup:
    """A description with its words between backticks as code.

    >>> str(marked("`GET` <x>"))
    '<code>GET</code> &lt;x&gt;'
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def kind(schema: dict[str, Any]) -> str:
    """A schema in a few words.

    >>> kind({"type": "array", "items": {"$ref": "#/components/schemas/Cell"}})
    'list of Cell'
    """
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map to {kind(schema['additionalProperties'])}"
    return " ".join(str(schema[name]) for name in ("type", "format") if name in schema) or "any value"
