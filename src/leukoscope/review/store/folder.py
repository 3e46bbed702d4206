"""The data folder: images, bundles, and the SQLite file of one room, held by one server at a time."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from sqlalchemy.orm import Session

from leukoscope.core.files import write_text
from leukoscope.errors import UsageError
from leukoscope.review.store.tables import Setting

LOCK, NAME = "lock", "room-id"
SETTING = "room_id"
"""Under which the database keeps whose it is."""


class Folder:
    """A data folder, made where it is not there, locked until it is closed or the process ends, however.

    Args:
        path: where.

    Attributes:
        room_id: made with the folder; the database keeps it, too.

    Raises:
        UsageError: when it cannot be written, or another server has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(
                f"the data folder {path} cannot be used: {(error.strerror or str(error)).lower()}",
                hint="name another with --data-dir, or let this user write there",
            ) from None
        try:
            _hold(self._lock)
        except OSError:
            os.close(self._lock)
            raise UsageError(
                f"another server has the data folder {path}",
                hint="stop it first, or name another folder with --data-dir",
            ) from None
        self.room_id = _named(path / NAME)

    def claim(self, session: Session) -> None:
        """Tie the database to this folder; both hold parts of the same cases.

        Raises:
            UsageError: when the database belongs to another folder.
        """
        found = session.get(Setting, SETTING)
        if found is None:
            session.add(Setting(name=SETTING, value=self.room_id))
        elif found.value != self.room_id:
            raise UsageError(
                f"the database belongs to another data folder than {self.path}: its images are not here",
                hint=f"give the right --data-dir: the one whose file {NAME} says {found.value}",
            )

    def close(self) -> None:
        """Let another server have it."""
        os.close(self._lock)


def _hold(handle: int) -> None:
    """Lock an open file for this process alone; the system lets go when the process ends.

    Raises:
        OSError: when another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _named(path: Path) -> str:
    if not path.exists():
        write_text(path, f"{uuid.uuid4().hex}\n")
    return path.read_text(encoding="utf-8").strip()
