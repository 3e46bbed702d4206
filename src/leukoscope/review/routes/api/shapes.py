"""What requests and answers share: numbers and text that every database takes, pages, the shape of errors."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

from fastapi import Header, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints

from leukoscope.errors import LeukoscopeError
from leukoscope.review.store.tables import Case

Row = TypeVar("Row")

LARGEST_ID = 2**63 - 1
MOST_PER_PAGE = 1000

NO_NUL = r"^[^\x00]*$"
"""PostgreSQL keeps no NUL in text."""

Line = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
"""A short text."""
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=NO_NUL)]
Id = Annotated[int, Strict(), Field(ge=1, le=LARGEST_ID)]


def _day(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("expected a day as 2026-01-31")
    if not isinstance(value, str | date | None):
        raise ValueError("expected a day as text: 2026-01-31")
    return value


Day = Annotated[date, BeforeValidator(_day)]
Sha256 = Annotated[str, Field(description="SHA-256, hexadecimal", examples=["9f86d081884c7d65" * 4])]

CaseId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which case.", examples=[1])]
CellId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which cell.", examples=[1])]
Number = Annotated[int, Query(alias="page", ge=1, le=10**9, description="Which page, from 1.")]
PerPage = Annotated[int, Query(ge=1, le=MOST_PER_PAGE, description="Entries of one page.")]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=64,
        description='The `ETag` of the case as you saw it, for example `"7"`. Where it has changed since, '
        "nothing is done and the answer is 412. Without it, the case is taken as it stands.",
    ),
]


class Asked(BaseModel):
    """What a program sends; a field that nobody knows is an error, not a guess."""

    model_config = ConfigDict(extra="forbid")


class Told(BaseModel):
    """What a program is answered; made from rows and tuples by their attributes."""

    model_config = ConfigDict(from_attributes=True)


class Fault(Told):
    """What went wrong."""

    status: int = Field(description="the HTTP status again", examples=[404])
    message: str = Field(description="what was expected and what came", examples=["there is no case 9"])
    hint: str = Field(description="what to do next; may be empty", examples=["look in the worklist"])


class Failure(Told):
    """The shape of every error."""

    error: Fault


class Listed(Told, Generic[Row]):
    """One page of a list. The header `Link` names the first, previous, next and last page (RFC 8288)."""

    items: list[Row] = Field(description="the entries of this page")
    page: int = Field(description="which page this is, from 1", examples=[1])
    per_page: int = Field(description="how many entries a full page has", examples=[100])
    num_pages: int = Field(description="how many pages there are, at least 1", examples=[3])
    num_all: int = Field(description="how many entries there are on all pages", examples=[250])


class Paging(NamedTuple):
    """Which page of a list."""

    page: int
    per_page: int

    @property
    def start(self) -> int:
        """How many entries come before it."""
        return (self.page - 1) * self.per_page

    def pages(self, num_all: int) -> int:
        """How many pages so many entries fill, at least 1."""
        return max(1, -(-num_all // self.per_page))

    def of(self, rows: list[Any], num_all: int) -> dict[str, Any]:
        """The fields of :class:`Listed`."""
        return {
            "items": rows,
            "page": self.page,
            "per_page": self.per_page,
            "num_pages": self.pages(num_all),
            "num_all": num_all,
        }

    def link(self, request: Request, response: Response, num_all: int) -> None:
        """Name the other pages in the answer's header."""
        last = self.pages(num_all)
        places = {"first": 1, "prev": self.page - 1, "next": self.page + 1, "last": last}
        asked = [(name, value) for name, value in request.query_params.multi_items() if name != "page"]
        response.headers["Link"] = ", ".join(
            f'<{request.url.path}?{urlencode([*asked, ("page", place)])}>; rel="{name}"'
            for name, place in places.items()
            if 1 <= place <= last
        )


MEANINGS = {
    400: "The body cannot be read.",
    401: "No key, or one that opens nothing.",
    403: "The key or its owner may not do this.",
    404: "Not there, or not yours to see: which of the two is not said.",
    409: "The state of the case does not allow it, or somebody was faster.",
    412: "The case has changed since you saw it.",
    413: "The body is larger than what is taken.",
    415: "The body is of another type.",
    422: "Something in the request cannot be.",
    503: "The database does not answer, or the room is not ready.",
}


_FAILURE = {"$ref": "#/components/schemas/Failure"}
"""By name: a picture's route would declare a model as a picture."""


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What can go wrong, as a route declares it; key, query and database are asked for everywhere."""
    return {
        status: {"description": MEANINGS[status], "content": {"application/json": {"schema": _FAILURE}}}
        for status in sorted({401, 422, 503, *statuses})
    }


PAGED = {
    "Link": {"description": "first, previous, next and last page (RFC 8288)", "schema": {"type": "string"}}
}
TAGGED = {"ETag": {"description": "the version of the case, for `If-Match`", "schema": {"type": "string"}}}


class ChangedError(LeukoscopeError):
    """A case is no longer as the program saw it."""


def tag(response: Response, case: Case) -> None:
    """Name the version of a case in the answer's header."""
    response.headers["ETag"] = f'"{case.version}"'


def expect(case: Case, if_match: str | None) -> None:
    """Raise :class:`ChangedError` where a program saw another version of this case."""
    if if_match is None:
        return
    seen = {word.strip().removeprefix("W/").strip('"') for word in if_match.split(",")}
    if not seen & {"*", str(case.version)}:
        raise ChangedError(
            f'the case is at version "{case.version}". Received: {if_match}',
            hint="get the case again, and decide on what you see",
        )
