"""How much of a request is read: little, but for uploads of people and programs that are known.

The limit strikes when somebody begins to read a body, so that what needs no body is answered as ever.
Starlette's own limit answers in plain text and knows neither paths nor people.
"""

from __future__ import annotations

import re

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leukoscope.review.auth import sessions, tokens
from leukoscope.review.room import Room
from leukoscope.review.routes.asking import COOKIE, bearer_of

SMALL = 4 * 2**20
"""Bytes of a request that is no upload: a decision on 20,000 cells is half of it."""

_UPLOADS = re.compile(r"(?:/api/v1)?/cases/[0-9]+/files")


class BodyLimit:
    """Answer 413 to a body beyond the limit, before it is kept anywhere.

    Args:
        app: what answers.
        room: its settings say how large an upload may be.
    """

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self._app, self._room = app, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its body is counted while it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, most, num = Request(scope), 0, 0

        async def counted() -> Message:
            nonlocal most, num
            if not most:
                most = await self._most(request)
                _refuse_beyond(most, _declared(request))
            message = await receive()
            num += len(message.get("body", b""))
            _refuse_beyond(most, num)
            return message

        await self._app(scope, counted, send)

    async def _most(self, request: Request) -> int:
        is_upload = request.method == "POST" and _UPLOADS.fullmatch(request.scope["path"])
        if is_upload and _declared(request) != 0 and await run_in_threadpool(self._is_known, request):
            return self._room.settings.limits.max_upload_bytes + SMALL
        return SMALL

    def _is_known(self, request: Request) -> bool:
        if self._room.local is not None:  # a room without accounts is open to this machine alone
            return True
        with self._room.database.read() as session:
            if sessions.find(session, request.cookies.get(COOKIE, "")) is not None:
                return True
            return tokens.actor_of(session, bearer_of(request)) is not None


def _declared(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _refuse_beyond(most: int, num: int | None) -> None:
    if num is not None and num > most:
        raise HTTPException(413, f"at most {most:,} bytes are taken in one request here")
