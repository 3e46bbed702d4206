"""People: listed, invited, given another role or team, locked out and let in again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.errors import LeukoscopeError
from leukoscope.review.auth.accounts import invite, is_locked, set_account
from leukoscope.review.auth.tokens import revoke, tokens_of
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.failures import again
from leukoscope.review.services.people import invite_to_reset, open_links, people, person, unlock, withdraw
from leukoscope.review.services.teams import teams
from leukoscope.review.store.tables import ROLES

router = APIRouter()

Text = Annotated[str, Form()]
Several = Annotated[list[int], Form()]

ROLE_WORDS = {
    "reader": "makes cases and reviews cells",
    "signer": "does that, and signs",
    "administrator": "makes cases and reviews cells, and looks after people and settings; cannot sign",
}
DONE = {
    "changed": "The account is changed.",
    "unlocked": "The account is unlocked.",
    "closed": "The account is closed, signed out everywhere, and its keys are revoked.",
    "opened": "The account is open again.",
    "withdrawn": "The link opens nothing any more.",
    "token": "The key is revoked.",
}


@router.get("/administration")
def begin(who: Who) -> Response:
    """The first of the pages."""
    who.actor.need("administer")
    return RedirectResponse("/administration/people", 303)


@router.get("/administration/people")
def show(request: Request, room: RoomOf, who: Who, done: str = "") -> Response:
    """Everybody, and the links that are open."""
    return page(request, "people.html", who, done=DONE.get(done, ""), **_all(room, who))


@router.post("/administration/people/invite")
def make_link(
    request: Request,
    *,
    room: RoomOf,
    who: Changing,
    role: Text = "",
    team_ids: Several = [],  # noqa: B006 - FastAPI copies it
    days: Text = "3",
    for_whom: Text = "",
) -> Response:
    """A link for a new account; the answer is the only page that ever shows it."""
    try:
        with room.database.write() as session:
            num_days = int(days) if days.isdecimal() else 0
            made = invite(session, who.actor, role, team_ids, days=num_days, for_whom=for_whom)
    except LeukoscopeError as error:
        typed = {"role": role, "team_ids": team_ids, "days": days, "for_whom": for_whom}
        return again(request, "people.html", error, who, **_all(room, who) | {"typed": typed})
    link = str(request.url_for("show_join", token=made.token))
    return page(request, "people.html", who, **_all(room, who), made=made.invitation, link=link)


@router.post("/administration/people/withdraw")
def close_link(room: RoomOf, who: Changing, token_hash: Text = "") -> Response:
    """Close a link that was not used."""
    with room.database.write() as session:
        withdraw(session, who.actor, token_hash)
    return RedirectResponse("/administration/people?done=withdrawn", 303)


@router.get("/administration/people/{user_id}")
def show_one(request: Request, *, room: RoomOf, who: Who, user_id: int, done: str = "") -> Response:
    """One account, and all that can be done with it."""
    return page(request, "person.html", who, done=DONE.get(done, ""), **_one(room, who, user_id))


@router.post("/administration/people/{user_id}")
def change(
    request: Request,
    *,
    room: RoomOf,
    who: Changing,
    user_id: int,
    role: Text = "",
    team_ids: Several = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Another role, other teams."""
    return _set(request, room, who, user_id, "changed", role=role, team_ids=team_ids)


@router.post("/administration/people/{user_id}/close")
def close(request: Request, room: RoomOf, who: Changing, user_id: int) -> Response:
    """Nobody enters by it any more; what its owner did stays."""
    return _set(request, room, who, user_id, "closed", disabled=True)


@router.post("/administration/people/{user_id}/open")
def reopen(request: Request, room: RoomOf, who: Changing, user_id: int) -> Response:
    """Its owner may enter again."""
    return _set(request, room, who, user_id, "opened", disabled=False)


def _set(request: Request, room: Room, who: Asking, user_id: int, done: str, **changes: Any) -> Response:
    try:
        with room.database.write() as session:
            set_account(session, who.actor, user_id, **changes)
    except LeukoscopeError as error:
        return again(request, "person.html", error, who, **_one(room, who, user_id) | {"typed": changes})
    return RedirectResponse(f"/administration/people/{user_id}?done={done}", 303)


@router.post("/administration/people/{user_id}/unlock")
def let_in(room: RoomOf, who: Changing, user_id: int) -> Response:
    """Forget the failures that locked it."""
    with room.database.write() as session:
        unlock(session, who.actor, user_id)
    return RedirectResponse(f"/administration/people/{user_id}?done=unlocked", 303)


@router.post("/administration/people/{user_id}/reset")
def make_reset(request: Request, *, room: RoomOf, who: Changing, user_id: int) -> Response:
    """A link to another password; the answer is the only page that ever shows it."""
    try:
        with room.database.write() as session:
            made = invite_to_reset(session, who.actor, user_id)
    except LeukoscopeError as error:
        return again(request, "person.html", error, who, **_one(room, who, user_id))
    link = str(request.url_for("show_reset", token=made.token))
    return page(request, "person.html", who, **_one(room, who, user_id), made=made.invitation, link=link)


@router.post("/administration/people/{user_id}/tokens/{token_id}/revoke")
def end_token(*, room: RoomOf, who: Changing, user_id: int, token_id: int) -> Response:
    """End a key of this person."""
    who.actor.need("administer")
    with room.database.write() as session:
        revoke(session, who.actor, token_id)
    return RedirectResponse(f"/administration/people/{user_id}?done=token", 303)


def _all(room: Room, who: Asking) -> dict[str, Any]:
    with room.database.read() as session:
        return _shared(who) | {
            "people": people(session, who.actor),
            "links": open_links(session, who.actor),
            "teams": [found.team for found in teams(session, who.actor)],
        }


def _one(room: Room, who: Asking, user_id: int) -> dict[str, Any]:
    with room.database.read() as session:
        return _shared(who) | {
            "person": person(session, who.actor, user_id),
            "tokens": tokens_of(session, who.actor, user_id),
            "teams": [found.team for found in teams(session, who.actor)],
        }


def _shared(who: Asking) -> dict[str, Any]:
    return {
        "here": "administration",
        "part": "people",
        "roles": {role: ROLE_WORDS[role] for role in ROLES},
        "is_locked": is_locked,
        "typed": {},
    }
