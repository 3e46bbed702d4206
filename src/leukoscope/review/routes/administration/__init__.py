"""Pages of who looks after the room: people, teams, settings, models, the audit trail."""

from __future__ import annotations

from fastapi import APIRouter

from leukoscope.review.routes.administration import models, people, settings, teams, trail

router = APIRouter(include_in_schema=False)
for part in (people, teams, settings, models, trail):
    router.include_router(part.router)
