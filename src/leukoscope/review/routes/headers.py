"""Headers of every answer: nothing from elsewhere is loaded, nothing is framed, nothing private is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Add them, and refuse what another site's page sends; only files of the package are kept by browsers."""
    if _is_from_elsewhere(request):
        response: Response = PlainTextResponse("this request was made by a page of another site", 403)
    else:
        response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.url.scheme == "https":
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def _is_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page sent a request that changes something."""
    origin = request.headers.get("origin")
    if request.method in SAFE or origin is None:
        return False
    return urlsplit(origin).netloc != request.headers.get("host", "")
