"""The room, opened: folder locked, database brought up to date, model loaded, worker ready."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.review.auth.accounts import has_accounts, invite_first
from leukoscope.review.auth.attempts import Attempts
from leukoscope.review.auth.local import local_actor
from leukoscope.review.auth.secrets import fresh
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.services.heat_maps import HeatMaps
from leukoscope.review.services.idempotency import forget_claims
from leukoscope.review.services.jobs import Worker
from leukoscope.review.services.places import Places
from leukoscope.review.settings import ServerSettings, room_settings
from leukoscope.review.store.database import Database
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.folder import Folder
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.migrate import migrate
from leukoscope.review.store.tables import StoredBundle
from leukoscope.review.worker_process import WorkerProcess


class Room:
    """Everything that a server of the review room holds.

    Args:
        settings: how it is started.
        bundle: which new cases are read with: a folder or zip, or the word ``"starter"``.

    Attributes:
        attempts: passwords that were tried at the door of late.
        local_word: what forms carry in a room without accounts, where no session has a word of its own.

    Raises:
        UsageError: for settings that would show cases to strangers, a folder that another server has, or a
            database that does not answer or is another room's.
        BundleError: for a bundle that cannot be used.
    """

    def __init__(self, settings: ServerSettings, bundle: Path | str = "starter") -> None:
        settings.check()
        opened = open_bundle(bundle)
        self.settings, self.local_word = settings, fresh()
        self.attempts = Attempts()
        with ExitStack() as stack:
            self._open(opened, stack)
            self._stack = stack.pop_all()

    def _open(self, opened: Bundle, stack: ExitStack) -> None:
        folder = Folder(self.settings.data_dir)
        stack.callback(folder.close)
        self.database = Database(self.settings.database_url)
        stack.callback(self.database.close)
        migrate(self.database)
        self.images = ImageStore(folder.path / "images")
        self.images.clear_desk()
        self.bundles = Bundles(folder.path / "bundles")
        with self.database.write() as session:
            folder.claim(session)
            forget_claims(session)
            self.local = local_actor(session) if self.settings.without_accounts else None
            self.bundle_id = self.bundles.add(session, opened).bundle_id
        self.derived = Derived(folder.path / "derived")
        self.places = Places(self.images, self.derived)
        self.heat_maps = HeatMaps(self.bundles, self.images, self.derived)
        self.worker: Worker | WorkerProcess = Worker(self.database, self.bundles, self.images, self.derived)

    @property
    def operating_point(self) -> str:
        """The one that new cases are decided by: the first of the bundle that they are read with."""
        return self.operating_point_of(self.bundle_row())

    def operating_point_of(self, bundle: StoredBundle) -> str:
        """The one that cases read with this bundle are decided by: its first."""
        return self.bundles.open(bundle.bundle_id).info.operating_points[0].name

    def bundle_row(self) -> StoredBundle:
        """The bundle that new cases are read with: the administrator's choice, or the server's own."""
        with self.database.read() as session:
            return session.get_one(StoredBundle, room_settings(session).bundle_id or self.bundle_id)

    def first_link(self) -> str | None:
        """The word of the one-time link for the first account; ``None`` where there are accounts, or none
        are wanted."""
        if self.local is not None:
            return None
        with self.database.write() as session:
            return None if has_accounts(session) else invite_first(session).token

    def close(self) -> None:
        """Let the worker finish its chunk, and give database and folder back."""
        self.worker.stop()
        self._stack.close()
