"""In and out: the first account, invitations, signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.errors import LeukoscopeError, UsageError
from leukoscope.review.auth.accounts import accept, admit, invitation_of, knock, refused
from leukoscope.review.auth.attempts import TooManyError
from leukoscope.review.auth.links import reset_of
from leukoscope.review.auth.sessions import Opened, close_session, open_session
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import COOKIE, Changing, RoomOf, page, room_of
from leukoscope.review.routes.failures import again
from leukoscope.review.routes.turns import in_turn
from leukoscope.review.services.people import reset_password
from leukoscope.review.store.tables import User

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form()]


@router.get("/sign-in")
def show_sign_in(request: Request, room: RoomOf, done: str = "") -> Response:
    """The door; after a new password it says so. A room without accounts has none."""
    if room.local is not None:
        return RedirectResponse("/", 303)
    return page(request, "sign_in.html", done=done)


@router.post("/sign-in")
async def sign_in(request: Request, room: RoomOf, username: Text = "", password: Text = "") -> Response:
    """Open a session, or say that it did not work, in the same words whatever was wrong.

    A session that this browser had before ends: whoever knew its word is out. Passwords are compared two at a
    time, so that a flood of them fills a line and not the server.
    """
    return await in_turn(request, "passwords", _sign_in, request, room, username, password)


def _sign_in(request: Request, room: Room, username: str, password: str) -> Response:
    address = request.client.host if request.client else ""
    try:
        room.attempts.begin(address)
    except TooManyError as error:
        return again(request, "sign_in.html", error, username=username)
    with room.database.read() as session:
        came = knock(session, username, password)
    with room.database.write() as session:
        user = admit(session, came)
        opened = None if user is None else open_session(session, user, before=request.cookies.get(COOKIE, ""))
    if opened is None:
        return again(request, "sign_in.html", refused(), username=username)
    room.attempts.succeeded(address)
    return inside(request, opened, "/")


@router.post("/sign-out")
def sign_out(room: RoomOf, who: Changing) -> Response:
    """Close the session."""
    with room.database.write() as session:
        close_session(session, who.token, who.actor)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


@router.get("/join/{token}")
def show_join(request: Request, room: RoomOf, token: str) -> Response:
    """What an invitation is for, and the form that takes it."""
    with room.database.read() as session:
        invitation = invitation_of(session, token)
    return page(request, "join.html", token=token, role=invitation.role)


@router.post("/join/{token}")
def join(
    request: Request,
    *,
    room: RoomOf,
    token: str,
    username: Text = "",
    full_name: Text = "",
    password: Text = "",
    repeated: Text = "",
) -> Response:
    """Make the account, and sign in."""
    with room.database.read() as session:
        role = invitation_of(session, token).role
    typed = {"token": token, "role": role, "username": username, "full_name": full_name}
    try:
        check_repeated(password, repeated)
        with room.database.write() as session:
            user: User = accept(session, token, username=username, full_name=full_name, password=password)
            opened = open_session(session, user)
    except LeukoscopeError as error:
        return again(request, "join.html", error, **typed)
    return inside(request, opened, "/")


@router.get("/reset/{token}")
def show_reset(request: Request, room: RoomOf, token: str) -> Response:
    """Whose password a link changes, and the form that does."""
    return page(request, "reset.html", token=token, username=_whose(room, token))


@router.post("/reset/{token}")
def reset(
    request: Request, *, room: RoomOf, token: str, password: Text = "", repeated: Text = ""
) -> Response:
    """Set the password; its owner then signs in with it."""
    typed = {"token": token, "username": _whose(room, token)}
    try:
        check_repeated(password, repeated)
        with room.database.write() as session:
            reset_password(session, token, password)
    except LeukoscopeError as error:
        return again(request, "reset.html", error, **typed)
    return RedirectResponse("/sign-in?done=reset", 303)


def _whose(room: Room, token: str) -> str:
    with room.database.read() as session:
        user = reset_of(session, token).user
        return user.username if user else ""


def check_repeated(password: str, repeated: str) -> None:
    """Raise :class:`UsageError` where a new password was not typed twice alike."""
    if password != repeated:
        raise UsageError("the two passwords differ", hint="type the new one twice")


def inside(request: Request, opened: Opened, place: str) -> Response:
    """Send a browser on, with the cookie of a session that was just opened."""
    response = RedirectResponse(place, 303)
    lasts = opened.session.expires_at - opened.session.created_at
    response.set_cookie(
        COOKIE,
        opened.token,
        max_age=int(lasts.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=room_of(request).settings.is_encrypted,
    )
    return response
