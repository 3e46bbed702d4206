"""Who asks, and what a route needs to answer: the room, the actor, the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Form, Header, Request, Response, Security
from fastapi.security import HTTPBearer, SecurityScopes
from fastapi.templating import Jinja2Templates

from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.auth import sessions, tokens
from leukoscope.review.auth.rights import Actor, ForbiddenError
from leukoscope.review.room import Room
from leukoscope.review.services.photographs import how_known
from leukoscope.review.services.reference import reference_readings

COOKIE = "leukoscope"

HERE = Path(__file__).parent.parent
templates = Jinja2Templates(HERE / "templates")
templates.env.globals["research_use_only"] = RESEARCH_USE_ONLY
templates.env.globals["reference_readings"] = reference_readings
templates.env.globals["how_known"] = how_known


class NotSignedInError(LeukoscopeError):
    """Nobody is signed in; a browser is sent to the door."""


class Asking(NamedTuple):
    """A person at a browser: who they are, and the word that their forms carry."""

    actor: Actor
    csrf_token: str
    token: str


def room_of(request: Request) -> Room:
    """The room that this server is of."""
    room: Room = request.app.state.room
    return room


async def _room(request: Request) -> Room:
    """The same for routes; a plain function would cost each request a turn on another thread."""
    return room_of(request)


def asking(request: Request) -> Asking:
    """The person at the browser.

    Raises:
        NotSignedInError: when there is none.
    """
    room, token = room_of(request), request.cookies.get(COOKIE, "")
    if room.local is not None:
        return Asking(room.local, room.local_word, "")
    with room.database.read() as session:
        found = sessions.find(session, token)
        if found is None:
            raise NotSignedInError("nobody is signed in", hint="sign in")
    if sessions.is_to_be_noted(found):
        with room.database.write() as session:
            sessions.note_use(session, token)
    return Asking(found.actor, found.csrf_token, token)


async def changing(
    who: Annotated[Asking, Depends(asking)],
    csrf_token: Annotated[str, Form()] = "",
    x_csrf_token: Annotated[str, Header()] = "",
) -> Asking:
    """The person at the browser, whose form or request carries the word that only our own pages know.

    Raises:
        ForbiddenError: when it does not.
    """
    if not sessions.is_own_form(who.csrf_token, csrf_token or x_csrf_token):
        raise ForbiddenError("this form is of another session", hint="load the page again")
    return who


bearer = HTTPBearer(
    scheme_name="key",
    bearerFormat="leuko_...",
    description="A key of your account, made in the pages. An operation names the scopes that it needs.",
    auto_error=False,
)


def bearer_of(request: Request) -> str:
    """The key that a request carries; empty where it carries none."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if kind.lower() == "bearer" else ""


def calling(request: Request, wanted: SecurityScopes, _key: Annotated[object, Security(bearer)]) -> Actor:
    """The program that asks, by its key.

    Raises:
        NotSignedInError: without a key that lives.
        ForbiddenError: when the key is not for what is asked, or its owner may not.
        UsageError: for a query that the route does not know.
    """
    actor = tokens.caller(room_of(request).database, bearer_of(request))
    if actor is None:
        raise NotSignedInError("no key, or one that opens nothing", hint="send Authorization: Bearer KEY")
    missing = [scope for scope in wanted.scopes if scope not in actor.rights]
    if missing:
        raise ForbiddenError(
            f"this needs a key for {' and '.join(wanted.scopes)}; yours is not for {' and '.join(missing)}",
            hint="make a key with this scope; your role must allow it",
        )
    _only_known(request)
    return actor


def _only_known(request: Request) -> None:
    """Raise :class:`UsageError` for a filter that nobody knows: ignored, it would give everything."""
    known = sorted(field.alias for field in request.scope["route"].dependant.query_params)
    if unknown := sorted(set(request.query_params) - set(known)):
        raise UsageError(
            f"expected only {', '.join(known) or 'no'} in the query. Received: {', '.join(unknown)[:200]!r}",
            hint="look it up under /api/v1/docs",
        )


def page(request: Request, name: str, who: Asking | None = None, **values: Any) -> Response:
    """A page, or a part of one, from its template."""
    shared = {"who": who, "room": room_of(request)}
    return templates.TemplateResponse(request, name, shared | values)


RoomOf = Annotated[Room, Depends(_room)]
Who = Annotated[Asking, Depends(asking)]
Changing = Annotated[Asking, Depends(changing)]
Calling = Annotated[Actor, Security(calling)]
MayRead = Annotated[Actor, Security(calling, scopes=["read"])]
MayReview = Annotated[Actor, Security(calling, scopes=["read", "review"])]
MaySign = Annotated[Actor, Security(calling, scopes=["read", "sign"])]
MayAdminister = Annotated[Actor, Security(calling, scopes=["administer"])]
MayAudit = Annotated[Actor, Security(calling, scopes=["audit"])]
