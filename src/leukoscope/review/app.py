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
    cases,
    cells,
    door,
    failures,
    gallery,
    learning,
    reports,
    signing,
    worklist,
)
from leukoscope.review.routes.headers import Guard


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
        description="Everything that the pages do. Research use only, not for diagnosis.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=at_work,
    )
    app.state.room = room
    app.add_middleware(Guard, settings=room.settings)
    failures.install(app)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    for part in (door, worklist, cases, gallery, cells, signing, reports, learning):
        app.include_router(part.router)
    return app
