"""In and out: the first account, invitations, signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from leukoscope.errors import LeukoscopeError
from leukoscope.review.auth.accounts import accept, check_password, invitation_of, refused
from leukoscope.review.auth.sessions import LASTS, close_session, open_session
from leukoscope.review.routes.asking import COOKIE, Changing, RoomOf, page, room_of
from leukoscope.review.routes.failures import status_of
from leukoscope.review.store.tables import User

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form()]


@router.get("/sign-in")
def show_sign_in(request: Request, room: RoomOf) -> Response:
    """The door; a room without accounts has none."""
    if room.local is not None:
        return RedirectResponse("/", 303)
    return page(request, "sign_in.html")


@router.post("/sign-in")
def sign_in(request: Request, room: RoomOf, username: Text = "", password: Text = "") -> Response:
    """Open a session, or say that it did not work, in the same words whatever was wrong."""
    with room.database.write() as session:
        user = check_password(session, username, password)
        token = None if user is None else open_session(session, user).token
    if token is None:
        return _again(request, "sign_in.html", refused(), username=username)
    return _inside(request, token)


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
    if password != repeated:
        return _again(request, "join.html", LeukoscopeError("the two passwords differ"), **typed)
    try:
        with room.database.write() as session:
            user: User = accept(session, token, username=username, full_name=full_name, password=password)
            word = open_session(session, user).token
    except LeukoscopeError as error:
        return _again(request, "join.html", error, **typed)
    return _inside(request, word)


def _again(request: Request, name: str, error: LeukoscopeError, **values: str) -> Response:
    response = page(request, name, None, error=error, **values)
    response.status_code = max(400, status_of(error) if status_of(error) < 500 else 422)
    return response


def _inside(request: Request, token: str) -> Response:
    response = RedirectResponse("/", 303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=room_of(request).settings.is_encrypted,
    )
    return response
