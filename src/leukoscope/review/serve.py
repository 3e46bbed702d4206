"""``leukoscope serve``: open the room, print the link for the first account, answer until stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from leukoscope.errors import UsageError
from leukoscope.review.app import create_app
from leukoscope.review.room import Room
from leukoscope.review.settings import ServerSettings


def serve(
    settings: ServerSettings, bundle: Path | str = "starter", *, say: Callable[[str], None] = print
) -> None:
    """Answer requests until the process is told to stop.

    Args:
        settings: where to listen, and what to keep where.
        bundle: which new cases are read with.
        say: shows a line on the console.

    Raises:
        UsageError: for settings that cannot be, or an address that is taken.
        BundleError: for a bundle that cannot be used.
    """
    room = Room(settings, bundle)
    try:
        listening = _listen(settings)
        scheme = "https" if settings.tls_cert else "http"
        host, port = listening.getsockname()[:2]
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        if token := room.first_link():
            say("no account yet; this link makes the first one, once:")
            say(f"  {address}/join/{token}")
        say(f"the review room is open at {address} (Ctrl-C closes it)")
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(room),
                log_level="warning",
                server_header=False,
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
                proxy_headers=settings.behind_proxy,
                forwarded_allow_ips="*" if settings.behind_proxy else None,
                timeout_graceful_shutdown=10,
            )
        )
        server.run(sockets=[listening])
    finally:
        room.close()


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen at {settings.host}:{settings.port}: {error.strerror}",
            hint="take another: --port 0 finds a free one",
        ) from None
    return listening
