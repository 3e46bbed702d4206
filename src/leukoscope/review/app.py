"""The web application of a room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from leukoscope import __version__
from leukoscope.review.room import Room
from leukoscope.review.routes import (
    account,
    administration,
    cases,
    cells,
    door,
    failures,
    gallery,
    images,
    learning,
    photographs,
    reports,
    signing,
    worklist,
)
from leukoscope.review.routes.api import version_1
from leukoscope.review.routes.headers import Guard
from leukoscope.review.routes.limits import BodyLimit
from leukoscope.review.routes.turns import Turns


class _Application(FastAPI):
    """Guarded from outside of all that FastAPI adds, so that an answer to an error that nobody expected has
    the headers of every other."""

    def build_middleware_stack(self) -> ASGIApp:
        return Guard(super().build_middleware_stack(), self.state.room.settings)


def create_app(room: Room) -> FastAPI:
    """The application; its worker runs while it does."""

    @asynccontextmanager
    async def at_work(_app: FastAPI) -> AsyncIterator[None]:
        room.worker.start()
        yield
        room.worker.stop()

    app = _Application(
        title="Leukoscope",
        version=__version__,
        summary=version_1.SUMMARY,
        description=version_1.DESCRIPTION,
        openapi_tags=version_1.TAGS,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # such a redirect would go to whatever host a request names
        lifespan=at_work,
    )
    app.state.room, app.state.turns = room, Turns.of_a_server()
    app.add_middleware(BodyLimit, room=room)
    failures.install(app)
    app.router.routes.append(images.route)  # first: most requests are for images
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    for part in (
        door,
        worklist,
        cases,
        gallery,
        cells,
        photographs,
        account,
        administration,
        signing,
        reports,
        learning,
        version_1,
    ):
        app.include_router(part.router)
    return app
