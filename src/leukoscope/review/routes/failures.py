"""What goes wrong becomes one shape: a page in plain words for people, one JSON object for programs."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from leukoscope.errors import ConfigError, ImageError, LeukoscopeError, UsageError
from leukoscope.review.auth.accounts import SignInError
from leukoscope.review.auth.attempts import TooManyError
from leukoscope.review.auth.rights import ForbiddenError, NotFoundError
from leukoscope.review.routes.api.health import NotReadyError
from leukoscope.review.routes.api.shapes import ChangedError
from leukoscope.review.routes.asking import Asking, NotSignedInError, page
from leukoscope.review.services.intake import ConflictError
from leukoscope.review.services.uploads import UploadError

log = logging.getLogger(__name__)

STATUS: dict[type[LeukoscopeError], int] = {
    NotSignedInError: 401,
    SignInError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    ChangedError: 412,
    UploadError: 422,
    ImageError: 422,
    UsageError: 422,
    ConfigError: 422,
    TooManyError: 429,
    NotReadyError: 503,
}


def status_of(error: LeukoscopeError) -> int:
    """The HTTP status of an error; 500 for one that nobody expects here."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def again(
    request: Request, name: str, error: LeukoscopeError, who: Asking | None = None, /, **values: Any
) -> Response:
    """The page of a form once more, with what was wrong beside it and what was typed in ``values``."""
    response = page(request, name, who, error=error, **values)
    status = status_of(error)
    response.status_code = status if 400 <= status < 500 else 422
    if isinstance(error, TooManyError):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def install(app: FastAPI) -> None:
    """Answer all errors of an application so."""
    app.add_exception_handler(LeukoscopeError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StaleDataError, _stale)
    app.add_exception_handler(DataError, _not_kept)
    app.add_exception_handler(OperationalError, _away)
    app.add_exception_handler(Exception, _unexpected)


def _ours(request: Request, error: Any) -> Response:
    return answer(request, status_of(error), error.message, error.hint)


def _invalid(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return answer(request, 422, f"{where}: {first['msg']}", "look it up under /api/v1/docs")


HINTS = {
    400: "look it up under /api/v1/docs",
    404: "look it up under /api/v1/docs",
    405: "the header Allow names the methods that are answered here",
    413: "send fewer files at once, or a zip of them",
}


def _http(request: Request, error: Any) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_at(request))
    return answer(request, error.status_code, str(error.detail), HINTS.get(error.status_code, ""), headers)


def _methods_at(request: Request) -> list[str]:
    """All methods that some route answers at this path; a router by itself names those of the first."""
    found = set[str]()
    for method in ("DELETE", "GET", "PATCH", "POST", "PUT"):
        scope = dict(request.scope) | {"method": method}
        if any(route.matches(scope)[0] == Match.FULL for route in request.app.routes):
            found.add(method)
    return sorted(found)


def _stale(request: Request, _error: Any) -> Response:
    return answer(request, 409, "somebody changed this case at the same moment", "load the page again")


def _not_kept(request: Request, _error: Any) -> Response:
    return answer(request, 422, "a value here cannot be kept by the database", "leave unusual characters out")


def _away(request: Request, error: Any) -> Response:
    log.error("the database did not answer at %s: %s", request.url.path, error.orig)
    return answer(
        request,
        503,
        "the database does not answer; nothing was changed",
        "try again in a moment, and tell your administrator if it stays so",
        {"Retry-After": "5"},
    )


def _unexpected(request: Request, error: Any) -> Response:
    log.exception("unexpected error at %s", request.url.path, exc_info=error)
    return answer(
        request, 500, "something went wrong that should not", "what was done before is kept; tell us"
    )


def answer(
    request: Request, status: int, message: str, hint: str, headers: dict[str, str] | None = None
) -> Response:
    """What went wrong, in the form that fits who asked."""
    said = message.encode(errors="replace").decode()  # half a surrogate pair is in no answer
    if request.url.path.startswith("/api/"):
        body = {"error": {"status": status, "message": said, "hint": hint}}
        if status == 401:
            headers = {"WWW-Authenticate": "Bearer"} | (headers or {})
        return JSONResponse(body, status, headers=headers)
    if status == 401 and request.method == "GET" and "hx-request" not in request.headers:
        return RedirectResponse("/sign-in", 303)
    response = page(request, "failure.html", status=status, message=said, hint=hint)
    response.status_code = status
    response.headers.update(headers or {})
    return response
