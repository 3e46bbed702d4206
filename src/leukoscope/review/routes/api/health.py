"""Whether the room works; who asks."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from leukoscope import __version__
from leukoscope.errors import LeukoscopeError
from leukoscope.review.auth.rights import SCOPES
from leukoscope.review.room import Room
from leukoscope.review.routes.api.shapes import Failure, Told, failures
from leukoscope.review.routes.asking import Calling, RoomOf
from leukoscope.review.store.tables import ROLES, User

router = APIRouter(tags=["room"])


class NotReadyError(LeukoscopeError):
    """The room cannot do its work now."""


class Health(Told):
    """The room is ready."""

    status: str = Field(description="always `ready`; a room that is not answers 503", examples=["ready"])
    version: str = Field(description="of Leukoscope", examples=["0.7.0"])


class TeamRow(Told):
    """A team; its members see its cases."""

    team_id: int = Field(examples=[1])
    name: str = Field(examples=["Laboratory"])


class Me(Told):
    """The owner of the key, and what the key is for."""

    user_id: int = Field(examples=[2])
    username: str = Field(description="as the audit trail names them", examples=["m.curie"])
    full_name: str = Field(description="as it stands on signed reports", examples=["Marie Curie"])
    role: str = Field(description=f"one of {', '.join(ROLES)}", examples=["signer"])
    scopes: list[str] = Field(
        description=f"what this key may do: of {', '.join(SCOPES)}, those that the role allows",
        examples=[["read", "review"]],
    )
    teams: list[TeamRow] = Field(description="whose cases this key sees")


@router.get(
    "/health",
    operation_id="getHealth",
    summary="Whether the room works",
    responses={503: {"model": Failure, "description": "Not ready: the message says what is missing."}},
)
def get_health(room: RoomOf) -> Health:
    """Whether the database answers and cells are being read. Needs no key, and tells nothing about cases."""
    missing = [*_silent_database(room), *([] if room.worker.is_alive else ["nobody reads cells"])]
    if missing:
        raise NotReadyError(
            f"the room is not ready: {'; '.join(missing)}", hint="look at the server's console"
        )
    return Health(status="ready", version=__version__)


def _silent_database(room: Room) -> list[str]:
    try:
        with room.database.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return ["the database does not answer"]
    return []


@router.get("/me", operation_id="getMe", summary="Who asks", responses=failures())
def get_me(room: RoomOf, actor: Calling) -> Me:
    """The owner of the key, their teams, and what the key is for. Any key will do."""
    with room.database.read() as session:
        user = session.get_one(User, actor.user_id)
        return Me(
            user_id=user.user_id,
            username=user.username,
            full_name=user.full_name,
            role=user.role,
            scopes=[scope for scope in SCOPES if scope in actor.rights],
            teams=[TeamRow.model_validate(team) for team in user.teams],
        )
