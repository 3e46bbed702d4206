"""The room itself, for who looks after it: settings, models, and the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, Strict

from leukoscope.cells.normalisation import NORMALISERS
from leukoscope.review.audit import Head
from leukoscope.review.routes.api.shapes import LARGEST_ID, NO_NUL, Asked, Day, Id, Line, Told, failures
from leukoscope.review.routes.asking import MayAdminister, MayAudit, RoomOf
from leukoscope.review.services.models import models
from leukoscope.review.services.trail import MOST_PER_PAGE, PAGE, Wanted, check, end_of, trail
from leukoscope.review.settings import change_room_settings, room_settings

router = APIRouter(tags=["administration"])

Whole = Annotated[int, Strict()]
WAYS = ("none", *NORMALISERS.names())
Normalise = Annotated[str, Field(json_schema_extra={"enum": list(WAYS)})]


class SettingsTold(Told):
    """What the administrator decides."""

    pseudonym_pattern: str = Field(
        description="a regular expression that the whole of a pseudonym must match",
        examples=["[A-Z]{2}-[0-9]{4}"],
    )
    laboratory: str = Field(description="stands on reports", examples=["Laboratory of the clinic"])
    bundle_id: str = Field(
        description="of the model for new cases; empty for the server's own", examples=[""]
    )
    session_idle_minutes: int = Field(
        description="without use, until a browser is signed out", examples=[120]
    )
    session_hours: int = Field(description="until it is signed out anyhow", examples=[24])
    failures_until_locked: int = Field(
        description="wrong passwords in a row, until an account is locked", examples=[5]
    )
    locked_minutes: int = Field(description="how long it is", examples=[15])
    flat_field: bool = Field(
        description="whether uneven light is evened out in photographs of new cases", examples=[True]
    )
    normalise: Normalise = Field(
        description="how the stain of photographs of new cases is brought to C-NMC's", examples=["none"]
    )


class SettingsChange(Asked):
    """What is to be different; what is left out stays."""

    pseudonym_pattern: Line | None = Field(None, examples=["[A-Z]{2}-[0-9]{4}"])
    laboratory: Line | None = Field(None, examples=["Laboratory of the clinic"])
    bundle_id: Line | None = Field(None, description="one of those that are kept", examples=[""])
    session_idle_minutes: Whole | None = Field(None, ge=5, le=1440)
    session_hours: Whole | None = Field(None, ge=1, le=168)
    failures_until_locked: Whole | None = Field(None, ge=3, le=20)
    locked_minutes: Whole | None = Field(None, ge=1, le=1440)
    flat_field: Annotated[bool, Strict()] | None = Field(None, examples=[True])
    normalise: Normalise | None = Field(None, examples=["none"])


class ModelRow(Told):
    """A model that cases were read with."""

    bundle_id: str = Field(examples=["2f6d0c51b7e84a90"])
    name: str = Field(examples=["starter"])
    demonstration: bool = Field(description="for trying the software, no more")
    added_at: datetime = Field(description="UTC")
    num_cases: int = Field(description="read with it, of all teams", examples=[31])
    operating_points: list[str] = Field(description="their names; the first decides new cases")
    problem: str = Field(description="why it cannot be read; empty where it can", examples=[""])


class ModelList(Told):
    """Models, the newest first."""

    items: list[ModelRow]


class Entry(Told):
    """One entry of the audit trail."""

    number: int = Field(examples=[812])
    written_at: datetime = Field(description="UTC")
    actor: str = Field(description="username; `system` for what nobody asked for", examples=["m.curie"])
    action: str = Field(examples=["cells decided"])
    case_id: int | None = Field(examples=[17])
    details: dict[str, Any] | None = Field(description="null for cases of teams that you are not in")
    previous_hash: str = Field(description="hash of the entry before")
    entry_hash: str = Field(description="SHA-256 over all of this entry and the hash before it")


class Trail(Told):
    """Entries, the newest first."""

    items: list[Entry]
    before: int | None = Field(
        description="ask with it for older ones; null at the first entry", examples=[712]
    )


class HeadTold(Told):
    """The end of the trail; kept elsewhere, it shows whether entries were cut off."""

    number: int = Field(description="of the last entry", examples=[812])
    entry_hash: str = Field(description="of the same")


class Kept(Asked):
    """An end of the trail that was written down earlier."""

    number: Id
    entry_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$", examples=["0" * 64])]


class Break(Told):
    """Where the trail does not hold."""

    number: int
    what: str = Field(examples=["was changed"])


class Verdict(Told):
    """What a check of the whole trail found."""

    end: HeadTold
    breaks: list[Break] = Field(description="empty where the trail holds")
    num_reports: int = Field(
        description="signed reports whose printed hash was looked for in it", examples=[31]
    )


@router.get("/settings", operation_id="getSettings", summary="Settings of the room", responses=failures(403))
def get_settings(room: RoomOf, actor: MayAdminister) -> SettingsTold:
    """As they are now."""
    with room.database.read() as session:
        return SettingsTold.model_validate(room_settings(session))


@router.patch(
    "/settings",
    operation_id="changeSettings",
    summary="Change settings",
    responses=failures(400, 403, 413, 422),
)
def change(room: RoomOf, actor: MayAdminister, wanted: SettingsChange) -> SettingsTold:
    """The audit trail has what was before and after."""
    with room.database.write() as session:
        return SettingsTold.model_validate(
            change_room_settings(session, actor, wanted.model_dump(exclude_none=True))
        )


@router.get("/models", operation_id="listModels", summary="Models of the room", responses=failures(403))
def list_models(room: RoomOf, actor: MayAdminister) -> ModelList:
    """Every one that cases were or will be read with; the files of each are kept for good."""
    with room.database.read() as session:
        found = models(session, actor, room.bundles)
    return ModelList.model_validate({"items": [_model(one) for one in found]})


def _model(found: Any) -> dict[str, Any]:
    own = {name: getattr(found.bundle, name) for name in ("bundle_id", "name", "demonstration", "added_at")}
    points = [point.name for point in found.info.operating_points] if found.info else []
    return own | {"num_cases": found.num_cases, "operating_points": points, "problem": found.problem}


@router.get("/audit", operation_id="listAudit", summary="The audit trail", responses=failures(403, 422))
def list_audit(
    *,
    room: RoomOf,
    actor: MayAudit,
    case_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="of this case")] = None,
    person: Annotated[str, Query(max_length=64, pattern=NO_NUL, description="by this username")] = "",
    action: Annotated[str, Query(max_length=64, pattern=NO_NUL, description="only this action")] = "",
    since: Annotated[Day | None, Query(description="from this day on, UTC")] = None,
    until: Annotated[Day | None, Query(description="to this day, with it")] = None,
    before: Annotated[
        int | None, Query(ge=1, le=LARGEST_ID, description="only entries before this number")
    ] = None,
    per_page: Annotated[int, Query(ge=1, le=MOST_PER_PAGE, description="entries of one answer")] = PAGE,
) -> Trail:
    """The newest first. It grows at that end: older ones are asked for with `before`, not by pages."""
    with room.database.read() as session:
        found = trail(session, actor, Wanted(case_id, person, action, since, until, before, per_page))
        items = [_entry(line.entry, line.details) for line in found.lines]
    return Trail.model_validate({"items": items, "before": found.before})


def _entry(entry: Any, details: dict[str, Any] | None) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.model_fields} | {"details": details}


@router.get(
    "/audit/head", operation_id="getAuditHead", summary="The end of the trail", responses=failures(403)
)
def get_head(room: RoomOf, actor: MayAudit) -> HeadTold:
    """Keep it where nobody of this server can change it."""
    with room.database.read() as session:
        return HeadTold.model_validate(end_of(session, actor))


@router.post(
    "/audit/check",
    operation_id="checkAudit",
    summary="Check the whole trail",
    responses=failures(400, 403, 413, 422),
)
def check_all(room: RoomOf, actor: MayAudit, kept: Kept | None = None) -> Verdict:
    """From its first entry to its last, with the ends that stand on signed reports, and one that you kept."""
    with room.database.read() as session:
        found = check(session, actor, Head(kept.number, kept.entry_hash) if kept else None)
    return Verdict.model_validate(found)
