"""The web application of a room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

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
    learning,
    photographs,
    reports,
    signing,
    worklist,
)
from leukoscope.review.routes.api import version_1
from leukoscope.review.routes.headers import Guard
from leukoscope.review.routes.limits import BodyLimit


def create_app(room: Room) -> FastAPI:
    """The application; its worker runs while it does."""

    @asynccontextmanager
    async def at_work(_app: FastAPI) -> AsyncIterator[None]:
        room.worker.start()
        yield
        room.worker.stop()

    app = FastAPI(
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
    app.state.room = room
    app.add_middleware(BodyLimit, room=room)
    app.add_middleware(Guard, settings=room.settings)
    failures.install(app)
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
