"""All of version 1, below one address."""

from __future__ import annotations

from fastapi import APIRouter

from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.review.routes.api import (
    cases,
    cells,
    decisions,
    documents,
    files,
    health,
    jobs,
    learning,
    people,
    photographs,
    reports,
    room,
    signing,
    tokens,
)

SUMMARY = "Everything that the pages of the review room do."

DESCRIPTION = f"""{RESEARCH_USE_ONLY}

Send a key of your account with each request: `Authorization: Bearer KEY`. An operation names the scopes
that a key needs for it; what a key may do is never more than its owner may. Cases of other teams are not
there: 404.

Every error has the shape `{{"error": {{"status", "message", "hint"}}}}`. Lists come by pages; the header
`Link` names the next one. Times are UTC. What changes a case takes `If-Match` with the `ETag` that you saw;
uploads take `Idempotency-Key`.
"""

TAGS = [
    {"name": "room", "description": "Whether the room works, and who asks."},
    {"name": "cases", "description": "One specimen of one subject each."},
    {"name": "files", "description": "Images, zips and photographs of smears that come for a case."},
    {"name": "jobs", "description": "How far the reading of a case is."},
    {"name": "cells", "description": "What the model said of each cell, and what it is called now."},
    {"name": "review", "description": "Decisions, and the shares that follow from them."},
    {"name": "signing", "description": "Signatures, reopenings, and reports."},
    {"name": "learning", "description": "What was reviewed, as something to learn from."},
    {"name": "keys", "description": "Your own keys. They are made in the pages."},
    {
        "name": "administration",
        "description": "People, teams, invitations, settings, models, and the audit trail.",
    },
]

router = APIRouter(prefix="/api/v1")
for part in (
    health,
    cases,
    files,
    photographs,
    jobs,
    cells,
    decisions,
    signing,
    reports,
    learning,
    tokens,
    people,
    room,
    documents,
):
    router.include_router(part.router)
