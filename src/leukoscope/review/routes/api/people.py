"""People, teams and invitations, for administrators. Links to a new password are made in the pages only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field, Strict

from leukoscope.review.auth.accounts import invite, set_account
from leukoscope.review.routes.api.health import TeamRow
from leukoscope.review.routes.api.shapes import LARGEST_ID, Asked, Id, Line, Told, failures
from leukoscope.review.routes.asking import MayAdminister, RoomOf
from leukoscope.review.services.people import open_links, people, person, unlock, withdraw
from leukoscope.review.services.teams import Peopled, make_team, rename_team, teams
from leukoscope.review.store.tables import User

router = APIRouter(tags=["administration"])

Role = Literal["reader", "signer", "administrator"]
UserId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Whose account.", examples=[2])]
TeamId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which team.", examples=[1])]
LinkId = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Which link, by the hash of its word.")]
SeveralTeams = Annotated[list[Id], Field(max_length=1000, examples=[[1]])]


class PersonRow(Told):
    """An account."""

    user_id: int = Field(examples=[2])
    username: str = Field(examples=["m.curie"])
    full_name: str = Field(examples=["Marie Curie"])
    role: Role
    teams: list[TeamRow]
    created_at: datetime = Field(description="UTC")
    seen_at: datetime | None = Field(description="UTC, last use of the pages")
    locked_until: datetime | None = Field(description="UTC; after wrong passwords")
    disabled_at: datetime | None = Field(description="UTC; null where the account is open")


class PersonList(Told):
    """All accounts, the open ones first."""

    items: list[PersonRow]


class PersonChange(Asked):
    """What is to be different; what is left out stays."""

    role: Role | None = None
    team_ids: SeveralTeams | None = Field(None, description="all teams of the person", examples=[[1]])
    disabled: Annotated[bool, Strict()] | None = Field(
        None, description="true closes the account and ends its keys", examples=[False]
    )


class Member(Told):
    """Somebody of a team."""

    user_id: int = Field(examples=[2])
    username: str = Field(examples=["m.curie"])


class TeamDetails(TeamRow):
    """A team and its people, closed accounts left out."""

    people: list[Member]


class TeamList(Told):
    """All teams, by name."""

    items: list[TeamDetails]


class NewName(Asked):
    """What a team is called."""

    name: Line = Field(description="1 to 100 characters in one line", examples=["Paediatrics"])


class LinkRow(Told):
    """A link that still opens something: an account, or another password."""

    link_id: str = Field(description="to withdraw it by; it opens nothing", examples=["0" * 64])
    role: Role
    for_whom: str = Field(description="a note", examples=["Marie Curie"])
    username: str | None = Field(description="whose password it changes; null for a new account")
    created_at: datetime = Field(description="UTC")
    expires_at: datetime = Field(description="UTC")


class LinkList(Told):
    """Open links, the newest first."""

    items: list[LinkRow]


class Invite(Asked):
    """For whom an account can be made."""

    role: Role
    team_ids: SeveralTeams = Field(description="whose cases the person will see", examples=[[1]])
    days: Annotated[int, Strict()] = Field(3, ge=1, le=30, description="until the link is too old")
    for_whom: Line = Field("", description="a note for the list of open links", examples=["Marie Curie"])


class MadeLink(LinkRow):
    """A new invitation, with the word that opens it."""

    path: str = Field(
        description="send it to the person, behind this server's address; it is shown here once",
        examples=["/join/9f86d081884c7d65"],
    )


@router.get("/people", operation_id="listPeople", summary="All accounts", responses=failures(403))
def list_people(room: RoomOf, actor: MayAdminister) -> PersonList:
    """The open ones first, by username."""
    with room.database.read() as session:
        return PersonList.model_validate({"items": people(session, actor)})


@router.get(
    "/people/{user_id}", operation_id="getPerson", summary="One account", responses=failures(403, 404, 422)
)
def get_person(room: RoomOf, actor: MayAdminister, user_id: UserId) -> PersonRow:
    """With its teams."""
    with room.database.read() as session:
        return PersonRow.model_validate(person(session, actor, user_id))


@router.patch(
    "/people/{user_id}",
    operation_id="changePerson",
    summary="Give another role or teams, close, open",
    responses=failures(400, 403, 404, 413, 422),
)
def change_person(*, room: RoomOf, actor: MayAdminister, user_id: UserId, wanted: PersonChange) -> PersonRow:
    """Another role signs the person out, closing ends their keys, too. One must be left to administer."""
    with room.database.write() as session:
        user: User = set_account(session, actor, user_id, **wanted.model_dump())
        return PersonRow.model_validate(user)


@router.post(
    "/people/{user_id}/unlock",
    operation_id="unlockPerson",
    summary="Let somebody try again at once",
    responses=failures(403, 404, 422),
)
def unlock_person(room: RoomOf, actor: MayAdminister, user_id: UserId) -> PersonRow:
    """Whose account wrong passwords had locked."""
    with room.database.write() as session:
        unlock(session, actor, user_id)
        return PersonRow.model_validate(person(session, actor, user_id))


@router.get("/teams", operation_id="listTeams", summary="All teams", responses=failures(403))
def list_teams(room: RoomOf, actor: MayAdminister) -> TeamList:
    """With their people."""
    with room.database.read() as session:
        return TeamList(items=[_team(one) for one in teams(session, actor)])


def _team(found: Peopled) -> TeamDetails:
    return TeamDetails.model_validate(
        {"team_id": found.team.team_id, "name": found.team.name, "people": found.people}
    )


@router.post(
    "/teams",
    operation_id="makeTeam",
    summary="Make a team",
    status_code=201,
    responses=failures(400, 403, 413, 422),
)
def make(room: RoomOf, actor: MayAdminister, wanted: NewName) -> TeamRow:
    """With nobody in it."""
    with room.database.write() as session:
        return TeamRow.model_validate(make_team(session, actor, wanted.name))


@router.patch(
    "/teams/{team_id}",
    operation_id="renameTeam",
    summary="Give a team another name",
    responses=failures(400, 403, 404, 413, 422),
)
def rename(*, room: RoomOf, actor: MayAdminister, team_id: TeamId, wanted: NewName) -> TeamRow:
    """Its cases and people stay."""
    with room.database.write() as session:
        return TeamRow.model_validate(rename_team(session, actor, team_id, wanted.name))


@router.get("/invitations", operation_id="listInvitations", summary="Open links", responses=failures(403))
def list_links(room: RoomOf, actor: MayAdminister) -> LinkList:
    """To new accounts and to new passwords."""
    with room.database.read() as session:
        return LinkList.model_validate({"items": [_link(one) for one in open_links(session, actor)]})


def _link(found: Any) -> dict[str, Any]:
    own = {name: getattr(found, name) for name in ("role", "for_whom", "created_at", "expires_at")}
    return own | {"link_id": found.token_hash, "username": found.user and found.user.username}


@router.post(
    "/invitations",
    operation_id="invite",
    summary="Invite somebody",
    status_code=201,
    responses=failures(400, 403, 413, 422),
)
def make_link(room: RoomOf, actor: MayAdminister, wanted: Invite) -> MadeLink:
    """A link for one account of this role in these teams; its word is in this answer and nowhere else."""
    with room.database.write() as session:
        made = invite(
            session, actor, wanted.role, wanted.team_ids, days=wanted.days, for_whom=wanted.for_whom
        )
        return MadeLink.model_validate(_link(made.invitation) | {"path": f"/join/{made.token}"})


@router.delete(
    "/invitations/{link_id}",
    operation_id="withdrawInvitation",
    summary="Close a link that was not used",
    status_code=204,
    responses=failures(403, 404, 422),
)
def close_link(room: RoomOf, actor: MayAdminister, link_id: LinkId) -> None:
    """It opens nothing any more."""
    with room.database.write() as session:
        withdraw(session, actor, link_id)
