"""What a laboratory sets: how the room is started, and what its administrator decides in it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError
from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.cohort.smears import SmearSettings
from leukoscope.core.config import Config, parse
from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor
from leukoscope.review.services.uploads import UploadLimits
from leukoscope.review.store.tables import Setting, StoredBundle
from leukoscope.review.words import one_line

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
        bundle_id: of the model that new cases are read with; empty for the one that the server was started
            with.
        session_idle_minutes: without use, until a browser is signed out.
        session_hours: until it is signed out anyhow.
        failures_until_locked: wrong passwords in a row, until an account is locked.
        locked_minutes: how long it is.
        flat_field: of photographs of new cases, see :class:`~leukoscope.cohort.smears.SmearSettings`.
        normalise: the same.
    """

    pseudonym_pattern: str = Field("[A-Za-z0-9-]{1,64}", min_length=1, max_length=200)
    laboratory: str = Field("", max_length=200)
    bundle_id: str = Field("", max_length=16)
    session_idle_minutes: int = Field(120, ge=5, le=1440)
    session_hours: int = Field(24, ge=1, le=168)
    failures_until_locked: int = Field(5, ge=3, le=20)
    locked_minutes: int = Field(15, ge=1, le=1440)
    flat_field: bool = SmearSettings().flat_field
    normalise: str = SmearSettings().normalise

    def check_pseudonym(self, text: str) -> str:
        """The pseudonym, without blanks around it.

        Raises:
            UsageError: when it does not match.
        """
        word = text.strip()
        if not fits(self.pseudonym_pattern, word):
            raise UsageError(
                f"'{word[:80]}' is no pseudonym here: it must match {self.pseudonym_pattern}",
                hint="use the number that your laboratory gave, never a name",
            )
        return word


LONGEST_PSEUDONYM = 64


def fits(pattern: str, text: str) -> bool:
    """Whether the whole of a text matches, and it is short enough to be kept.

    Pydantic's regular expressions are those of Rust: their time grows with the text and no faster, whatever
    pattern an administrator thinks of. They know no look-around and no back-references.

    Raises:
        UsageError: for a pattern that is none.

    >>> fits("[A-Z]{2}-[0-9]+", "PT-0042"), fits("[A-Z]{2}-[0-9]+", "PT-0042 Anna")
    (True, False)
    """
    try:
        _whole(pattern).validate_python(text)
    except ValidationError:
        return False
    return len(text) <= LONGEST_PSEUDONYM


@lru_cache(maxsize=16)
def _whole(pattern: str) -> TypeAdapter[str]:
    def compiled(text: str) -> TypeAdapter[str]:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=text)])

    try:
        compiled(pattern)  # by itself first: "a)|(b" is no pattern, though it would be one inside of brackets
        return compiled(rf"\A(?:{pattern})\z")
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UsageError(
            f"'{pattern}' is no regular expression: {reason}",
            hint="for example [A-Z]{2}-[0-9]{4}; look-around and back-references are not known here",
        ) from None


def room_settings(session: Session) -> RoomSettings:
    """The settings as they are now."""
    found = {row.name: row.value for row in session.scalars(select(Setting))}
    return RoomSettings(**{name: found[name] for name in RoomSettings.model_fields if name in found})


def change_room_settings(session: Session, actor: Actor, changes: dict[str, Any]) -> RoomSettings:
    """Change some of them.

    Raises:
        ForbiddenError: for anybody but an administrator.
        UsageError: for a pattern that is none, a laboratory of several lines, a bundle that is not kept, or
            an unknown way to normalise.
        ConfigError: for an unknown setting or a wrong value.
    """
    actor.need("administer")
    before = room_settings(session)
    after = parse(RoomSettings, before.model_dump() | changes, where="settings")
    fits(after.pseudonym_pattern, "")
    SmearSettings(flat_field=after.flat_field, normalise=after.normalise)
    one_line(after.laboratory, "a name of the laboratory", most=200, least=0)
    if after.bundle_id and session.get(StoredBundle, after.bundle_id) is None:
        raise UsageError(f"no model {after.bundle_id} is kept here", hint="start the server with it once")
    changed = {
        name: [getattr(before, name), value]
        for name, value in after.model_dump().items()
        if value != getattr(before, name)
    }
    for name, (_, value) in changed.items():
        session.merge(Setting(name=name, value=value))
    if changed:
        record(session, actor.username, "settings changed", changes=changed)
    return after
