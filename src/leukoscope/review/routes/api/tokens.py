"""Your own keys: which there are, and their end. They are made in the pages, where the password was given."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from leukoscope.review.auth.tokens import revoke, tokens_of
from leukoscope.review.routes.api.shapes import LARGEST_ID, Told, failures
from leukoscope.review.routes.asking import Calling, RoomOf

router = APIRouter(tags=["keys"])

TokenId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which key.", examples=[1])]


class TokenRow(Told):
    """A key that can be used; its text is shown to nobody again."""

    token_id: int = Field(examples=[3])
    name: str = Field(description="what it is for", examples=["scanner"])
    scopes: list[str] = Field(examples=[["read", "review"]])
    created_at: datetime = Field(description="UTC")
    expires_at: datetime = Field(description="UTC")
    used_at: datetime | None = Field(description="UTC, to the minute; null while it was not used")


class TokenList(Told):
    """Keys, the newest first."""

    items: list[TokenRow]


@router.get("/tokens", operation_id="listTokens", summary="Your keys", responses=failures())
def list_tokens(room: RoomOf, actor: Calling) -> TokenList:
    """Those that can be used. Any key will do."""
    with room.database.read() as session:
        return TokenList.model_validate({"items": tokens_of(session, actor, actor.user_id)})


@router.delete(
    "/tokens/{token_id}",
    operation_id="revokeToken",
    summary="End a key",
    status_code=204,
    responses=failures(404, 422),
)
def end(room: RoomOf, actor: Calling, token_id: TokenId) -> None:
    """One of yours; a key for `administer` ends anybody's. Any key will do: whoever finds a stray key should
    be able to end it with it."""
    with room.database.write() as session:
        revoke(session, actor, token_id)
