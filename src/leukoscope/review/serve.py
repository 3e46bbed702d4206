"""``leukoscope serve``: open the room, print the link for the first account, answer until stopped."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import uvicorn

from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.errors import UsageError
from leukoscope.review.app import create_app
from leukoscope.review.auth.accounts import INVITATION_LASTS
from leukoscope.review.room import Room
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.database import shown
from leukoscope.review.worker_process import WorkerProcess

EVERYWHERE = ("0.0.0.0", "::")
BACKLOG = 128
TURN_SECONDS = 0.0005
"""How long a thread may keep the interpreter while others wait for it. A request needs it again after each
statement of the database; with Python's own 5 ms it waits longer for it than it works."""
KEPT_SECONDS = 75
"""How long an unused connection is kept: longer than browsers do, so that none of them asks on one that is
being closed. A look every three seconds then needs no new one, which with TLS costs more than its answer."""
CLOSING_SECONDS = 10
"""How long requests under way are waited for when the server closes."""


def serve(
    settings: ServerSettings, bundle: Path | str = "starter", *, say: Callable[[str], None] = print
) -> None:
    """Answer requests until the process is told to stop, by Ctrl-C or SIGTERM.

    Args:
        settings: where to listen, and what to keep where.
        bundle: which new cases are read with.
        say: shows a line on the console.

    Raises:
        KeyboardInterrupt: when it was told to stop, and has closed.
        UsageError: for settings that cannot be, an address that is taken, a folder that another server has,
            or a database that cannot be used.
        BundleError: for a bundle that cannot be used.
    """
    settings.check()
    _check_tls(settings)
    with _terminated_as_interrupted(), _listen(settings) as listening:
        room = Room(settings, bundle)
        try:
            room.worker = WorkerProcess(settings)
            _tell(room, _address(settings, listening), say)
            _answer(room, listening)
        finally:
            room.close()


def _check_tls(settings: ServerSettings) -> None:
    if settings.tls_cert is None or settings.tls_key is None:
        return
    for path in (settings.tls_cert, settings.tls_key):
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError(
                f"{path}: {(error.strerror or str(error)).lower()}", hint="check --tls-cert and --tls-key"
            ) from None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise UsageError(
            f"{settings.tls_key} is no key of {settings.tls_cert}: {str(reason).replace('_', ' ').lower()}",
            hint="both are PEM files, the certificate with its chain, the key without a password",
        ) from None


def _no_password() -> NoReturn:
    raise ValueError("the key has a password")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Make SIGTERM, by which services are stopped, close the room as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(settings: ServerSettings) -> socket.socket:
    """Take the address before anything is made; who comes before the room is open waits for it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on, and the second half of each answer waits 40 ms for
    # a browser's word that the first has come.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen at {settings.host}:{settings.port}: {(error.strerror or str(error)).lower()}",
            hint="take another --port (0 finds a free one) or --host",
        ) from None
    return listening


def _address(settings: ServerSettings, listening: socket.socket) -> str:
    """Where browsers find it, as far as is known here."""
    if settings.behind_proxy:
        return "https://THE-NAME-OF-YOUR-PROXY"
    host, port = listening.getsockname()[:2]
    name = socket.gethostname() if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{name}:{port}"


def _tell(room: Room, address: str, say: Callable[[str], None]) -> None:
    settings, bundle = room.settings, room.bundle_row()
    say(f"the review room of Leukoscope. {RESEARCH_USE_ONLY}")
    say(f"data folder: {settings.data_dir.absolute()}")
    say(f"database: {shown(settings.database_url)}")
    kind = ", a demonstration model" if bundle.demonstration else ""
    say(f"new cases are read with: {bundle.name}, bundle {bundle.bundle_id}{kind}")
    if room.local is not None:
        say("without accounts: whoever is at this machine sees everything, and nothing can be signed")
    if token := room.first_link():
        say(
            f"no account yet. This link makes the first one, an administrator; it works once and for "
            f"{INVITATION_LASTS.days} days, and links of earlier starts are closed:"
        )
        say(f"  {address}/join/{token}")
    say(f"open at {address}; Ctrl-C closes it")


def _answer(room: Room, listening: socket.socket) -> None:
    settings = room.settings
    behind_proxy: dict[str, Any] = {"proxy_headers": False}
    if settings.behind_proxy:
        behind_proxy = {"proxy_headers": True, "forwarded_allow_ips": "*"}
    config = uvicorn.Config(
        create_app(room),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_keep_alive=KEPT_SECONDS,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        **behind_proxy,
    )
    server = uvicorn.Server(config)
    sys.setswitchinterval(TURN_SECONDS)
    server.run(sockets=[listening])
    if not server.started:
        raise RuntimeError("the server ended before it answered")
    # It ends only when it is told to; where Ctrl-C was ignored before, as with nohup, no signal follows.
    raise KeyboardInterrupt
