"""One's own account: password, browsers that are signed in, keys of programs, keys of the keyboard."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.auth.accounts import admit, knock, refused, set_password
from leukoscope.review.auth.rights import SCOPES
from leukoscope.review.auth.secrets import kept
from leukoscope.review.auth.sessions import end_others, end_session, open_session, sessions_of
from leukoscope.review.auth.tokens import issue, revoke, tokens_of
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import Asking, Changing, RoomOf, Who, page
from leukoscope.review.routes.door import check_repeated, inside
from leukoscope.review.routes.failures import again
from leukoscope.review.services.preferences import ACTIONS, NAMED_KEYS, change_keys, keys_of
from leukoscope.review.store.tables import User

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form()]

DONE = {
    "password": "The password is changed; all other browsers are signed out.",
    "sessions": "Signed out there.",
    "token": "The key is revoked; programs that use it are turned away from now on.",
    "keys": "The keys are changed.",
}
SCOPE_WORDS = {
    "read": "see cases",
    "review": "make cases and review cells",
    "sign": "sign and reopen cases",
    "administer": "look after people and settings",
    "audit": "read the audit trail",
}


@router.get("/account")
def show(request: Request, room: RoomOf, who: Who, done: str = "") -> Response:
    """All of it."""
    return page(request, "account.html", who, done=DONE.get(done, ""), **_facts(room, who))


@router.post("/account/password")
def change_password(
    request: Request, *, room: RoomOf, who: Changing, old: Text = "", password: Text = "", repeated: Text = ""
) -> Response:
    """Another password, for who knows the old one; this browser goes on with a new session."""
    try:
        check_repeated(password, repeated)
        if password == old:
            raise UsageError("the new password is the old one", hint="take another")
        with room.database.read() as session:
            came = knock(session, who.actor.username, old)
        with room.database.write() as session:
            user = admit(session, came)
            if user is not None:
                set_password(session, user, password)
            opened = None if user is None else open_session(session, user)
        if opened is None:
            raise UsageError("the old password is wrong", hint=refused().hint)
    except LeukoscopeError as error:
        return _again(request, room, who, "password", error)
    return inside(request, opened, "/account?done=password")


@router.post("/account/sessions/end")
def end(room: RoomOf, who: Changing, which: Text = "") -> Response:
    """Sign another browser out, or all others."""
    with room.database.write() as session:
        if which == "others":
            end_others(session, who.actor, who.token)
        else:
            end_session(session, who.actor, which)
    return RedirectResponse("/account?done=sessions", 303)


@router.post("/account/tokens")
def make_token(
    request: Request,
    *,
    room: RoomOf,
    who: Changing,
    name: Text = "",
    days: Text = "90",
    scopes: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """A key for a program; the answer is the only page that ever shows it."""
    try:
        with room.database.write() as session:
            made = issue(session, who.actor, name, scopes, days=int(days) if days.isdecimal() else 0)
    except LeukoscopeError as error:
        typed = {"name": name, "days": days, "scopes": scopes}
        return _again(request, room, who, "token", error, typed=typed)
    return page(request, "account.html", who, **_facts(room, who), made=made)


@router.post("/account/tokens/{token_id}/revoke")
def end_token(room: RoomOf, who: Changing, token_id: int) -> Response:
    """End a key."""
    with room.database.write() as session:
        revoke(session, who.actor, token_id)
    return RedirectResponse("/account?done=token", 303)


async def _typed_keys(request: Request) -> dict[str, str]:
    """What stands in the form for each action; nothing for all where the usual keys are wanted."""
    form = await request.form()
    return {name: "" if "usual" in form else str(form.get(name, "")) for name in ACTIONS}


@router.post("/account/keys")
def set_keys(
    request: Request, room: RoomOf, who: Changing, typed: Annotated[dict[str, str], Depends(_typed_keys)]
) -> Response:
    """Which key does what; an empty field brings the usual key back."""
    try:
        with room.database.write() as session:
            change_keys(session, who.actor, typed)
    except LeukoscopeError as error:
        return _again(request, room, who, "keys", error, keys=typed)
    return RedirectResponse("/account?done=keys", 303)


def _again(
    request: Request, room: Room, who: Asking, failed: str, error: LeukoscopeError, **typed: Any
) -> Response:
    values = _facts(room, who) | {"failed": failed} | typed
    return again(request, "account.html", error, who, **values)


def _facts(room: Room, who: Asking) -> dict[str, Any]:
    with room.database.read() as session:
        user = session.get_one(User, who.actor.user_id)
        return {
            "here": "account",
            "user": user,
            "teams": list(user.teams),
            "sessions": sessions_of(session, who.actor),
            "this_session": kept(who.token),
            "tokens": tokens_of(session, who.actor, who.actor.user_id),
            "scopes": {name: SCOPE_WORDS[name] for name in SCOPES if name in who.actor.rights},
            "actions": ACTIONS,
            "named_keys": list(NAMED_KEYS),
            "keys": keys_of(user),
            "typed": {},
        }
