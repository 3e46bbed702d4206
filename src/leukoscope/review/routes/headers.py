"""What every request must be, and what every answer says: nothing from elsewhere is loaded, nothing is
framed, nothing private is kept."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leukoscope.review.settings import LOOPBACK, ServerSettings

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
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise itself; only files of the package and images are kept by
browsers."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Refuses what another site's page sends or what came in clear, and adds the headers to every answer.

    Args:
        app: what answers.
        settings: how the server is reached.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings
        self._headers = dict(HEADERS)
        if settings.is_encrypted:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                if scope["path"].startswith("/static/"):
                    given.setdefault("Cache-Control", "no-cache")  # kept, and asked for by its tag
                for name, value in self._headers.items():
                    given.setdefault(name, value)
            await send(message)

        refused = self._refused(scope["method"], Headers(scope=scope))
        answer: ASGIApp = self._app if refused is None else _said(scope["path"], *refused)
        await answer(scope, receive, with_headers)

    def _refused(self, method: str, headers: Headers) -> tuple[int, str] | None:
        """Status and words for what is not answered."""
        host = headers.get("host", "")
        # A name of elsewhere that points to this machine would let its pages read ours (DNS rebinding).
        if self._settings.is_local and _name(host) not in LOOPBACK:
            return 421, f"this server answers at {', '.join(sorted(LOOPBACK))} only, not at {_name(host)!r}"
        if self._settings.behind_proxy and headers.get("x-forwarded-proto", "https") != "https":
            return 403, "this address is not encrypted: take the one that begins with https"
        origin = headers.get("origin")
        if method not in SAFE and origin is not None and urlsplit(origin).netloc != host:
            return 403, "this request was made by a page of another site, or a proxy did not pass Host on"
        return None


def _said(path: str, status: int, words: str) -> ASGIApp:
    """Before any route could answer: plain words, for programs in the shape of all errors."""
    if path.startswith("/api/"):
        return JSONResponse({"error": {"status": status, "message": words, "hint": ""}}, status)
    return PlainTextResponse(words, status)


def _name(host: str) -> str:
    """The name in a Host header, without the port.

    >>> _name("localhost:8000"), _name("[::1]:8000"), _name("a b"), _name("[")
    ('localhost', '::1', 'a b', '')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
