"""What a laboratory sets: how the room is started, and what its administrator decides in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from leukoscope.core.config import Config
from leukoscope.errors import ConfigError, UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor
from leukoscope.review.services.uploads import UploadLimits
from leukoscope.review.store.tables import Setting

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Names of a machine for itself."""


class ServerSettings(Config):
    """How the server is started.

    Attributes:
        host: where it listens; other than loopback needs ``tls_cert`` or ``behind_proxy``.
        port: 0 for any free one.
        database: SQLAlchemy's URL; empty for a file in ``data_dir``.
        data_dir: images, bundles, reports, and the SQLite file.
        tls_cert: certificate chain, PEM.
        tls_key: its key, PEM.
        behind_proxy: a proxy ends TLS, names the client and the scheme, and alone can reach this port.
        without_accounts: whoever is at this machine sees everything and signs nothing; on loopback only.
        limits: of uploads.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    database: str = ""
    data_dir: Path
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    without_accounts: bool = False
    limits: UploadLimits = UploadLimits()

    @property
    def database_url(self) -> str:
        """Where the tables are."""
        return self.database or f"sqlite:///{self.data_dir.absolute() / 'leukoscope.db'}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine's own programs reach it."""
        return self.host in LOOPBACK and not self.behind_proxy

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers reach it by https, here or at the proxy."""
        return self.tls_cert is not None or self.behind_proxy

    def check(self) -> None:
        """Refuse what would show cases to people who should not see them.

        Raises:
            UsageError: an open address without TLS or without accounts, a certificate without its key, or a
                port that is none.
        """
        if not 0 <= self.port <= 65535:
            raise UsageError(
                f"expected a port from 0 to 65535. Received: {self.port}", hint="0: any free one"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError(
                "a certificate and its key belong together", hint="give --tls-cert and --tls-key"
            )
        if self.without_accounts and not self.is_local:
            where = "a proxy" if self.behind_proxy else self.host
            raise UsageError(
                f"without accounts, whoever reaches {where} would see every case",
                hint="leave --without-accounts out, or listen at 127.0.0.1 without a proxy",
            )
        if self.host not in LOOPBACK and not self.is_encrypted:
            raise UsageError(
                f"{self.host} can be reached by others, and nothing is encrypted",
                hint="give --tls-cert and --tls-key, or --behind-proxy where a proxy does it",
            )


class RoomSettings(Config):
    """What the administrator decides.

    Attributes:
        pseudonym_pattern: a regular expression that the whole of a pseudonym must match: so that nobody types
            a name.
        laboratory: stands on reports.
    """

    pseudonym_pattern: str = "[A-Za-z0-9-]{1,64}"
    laboratory: str = ""

    def check_pseudonym(self, text: str) -> str:
        """The pseudonym, without blanks around it.

        Raises:
            UsageError: when it does not match.
        """
        word = text.strip()
        if not re.fullmatch(self.pseudonym_pattern, word):
            raise UsageError(
                f"'{word[:80]}' is no pseudonym here: it must match {self.pseudonym_pattern}",
                hint="use the number that your laboratory gave, never a name",
            )
        return word


def room_settings(session: Session) -> RoomSettings:
    """The settings as they are now."""
    found = {row.name: row.value for row in session.query(Setting)}
    return RoomSettings(**{name: found[name] for name in RoomSettings.model_fields if name in found})


def change_room_settings(session: Session, actor: Actor, changes: dict[str, Any]) -> RoomSettings:
    """Change some of them.

    Raises:
        ForbiddenError: for anybody but an administrator.
        UsageError: for an unknown one, a wrong value, or a pattern that is none.
    """
    actor.need("administer")
    before = room_settings(session)
    try:
        after = RoomSettings.model_validate(before.model_dump() | changes)
        re.compile(after.pseudonym_pattern)
    except (ValueError, ConfigError, re.error) as error:
        raise UsageError(f"these settings cannot be: {str(error).splitlines()[0]}") from None
    changed = {name: value for name, value in after.model_dump().items() if value != getattr(before, name)}
    for name, value in changed.items():
        session.merge(Setting(name=name, value=value))
    if changed:
        record(session, actor.username, "settings changed", changes=changed)
    return after
