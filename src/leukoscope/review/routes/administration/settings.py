"""Settings of the laboratory, each with its default, and a try of the pattern for pseudonyms."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.cells.normalisation import NORMALISERS
from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import again
from leukoscope.review.settings import RoomSettings, change_room_settings, fits, room_settings

router = APIRouter()

DONE = {"changed": "The settings are changed."}
SAMPLES = ("PT-0042", "2026-117", "A17", "H 10", "Anna Meier")
"""Pseudonyms as laboratories write them, and a name, on which a pattern can be tried."""

FIELDS = tuple(name for name in RoomSettings.model_fields if name != "bundle_id")
CHOICES = {
    "flat_field": {"false": "left as it is", "true": "made even and white, by the empty background"},
    "normalise": {"none": "left as it is"}
    | {name: f"brought to C-NMC's, in the way of {name.title()}" for name in NORMALISERS.names()},
}
"""What can be chosen, and how it is said."""
WHOLE_NUMBERS = ("session_idle_minutes", "session_hours", "failures_until_locked", "locked_minutes")


@router.get("/administration/settings")
def show(request: Request, room: RoomOf, who: Who, done: str = "") -> Response:
    """All of them."""
    return page(request, "settings.html", who, done=DONE.get(done, ""), **_facts(room, who))


async def _typed(request: Request) -> dict[str, str]:
    """What stands in the fields of the form."""
    form = await request.form()
    return {name: str(form.get(name, "")).strip() for name in FIELDS}


@router.post("/administration/settings")
def change(
    request: Request, room: RoomOf, who: Changing, typed: Annotated[dict[str, str], Depends(_typed)]
) -> Response:
    """Change those that differ."""
    try:
        with room.database.write() as session:
            change_room_settings(session, who.actor, _read(typed))
    except LeukoscopeError as error:
        return again(request, "settings.html", error, who, **_facts(room, who) | {"settings": typed})
    return RedirectResponse("/administration/settings?done=changed", 303)


def _read(typed: dict[str, str]) -> dict[str, Any]:
    for name in WHOLE_NUMBERS:
        if not typed[name].isdecimal():
            words = name.replace("_", " ")
            raise UsageError(f"expected a whole number for {words}. Received: {typed[name]!r}")
    for name, choices in CHOICES.items():
        if typed[name] not in choices:
            raise UsageError(f"expected one of {', '.join(choices)} for {name}. Received: {typed[name]!r}")
    values: dict[str, Any] = dict(typed)
    values |= {name: int(typed[name]) for name in WHOLE_NUMBERS}
    return values | {"flat_field": typed["flat_field"] == "true"}


@router.get("/administration/settings/try")
def try_pattern(
    request: Request,
    who: Who,
    pseudonym_pattern: Annotated[str, Query(max_length=200)] = "",
    sample: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Which samples a pattern takes; part of the page, shown while one types."""
    who.actor.need("administer")
    return page(request, "pattern.html", who, **_tried(pseudonym_pattern, sample))


def _tried(pattern: str, sample: str = "") -> dict[str, Any]:
    samples = [*([sample.strip()] if sample.strip() else []), *SAMPLES]
    try:
        return {"tried": [(text, fits(pattern, text)) for text in samples], "wrong_pattern": ""}
    except UsageError as error:
        return {"tried": [], "wrong_pattern": error.message}


def _facts(room: Room, who: Asking) -> dict[str, Any]:
    who.actor.need("administer")
    with room.database.read() as session:
        settings = room_settings(session)
    values = {"settings": settings, "defaults": RoomSettings(), "choices": CHOICES}
    return {"here": "administration", "part": "settings"} | values | _tried(settings.pseudonym_pattern)
