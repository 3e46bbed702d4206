"""The room, opened: database brought up to date, folders made, model loaded, worker ready."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from leukoscope.bundle.read import open_bundle
from leukoscope.review.auth.accounts import has_accounts, invite_first
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.services.heat_maps import HeatMaps
from leukoscope.review.services.jobs import Worker
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.database import Database
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.migrate import migrate
from leukoscope.review.store.tables import StoredBundle


class Room:
    """Everything that a server of the review room holds.

    Args:
        settings: how it is started.
        bundle: which new cases are read with: a folder or zip, or the word ``"starter"``.

    Raises:
        UsageError: for settings that would show cases to strangers, or a database that does not answer.
        BundleError: for a bundle that cannot be used.
    """

    def __init__(self, settings: ServerSettings, bundle: Path | str = "starter") -> None:
        settings.check()
        opened = open_bundle(bundle)
        self.settings = settings
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.database = Database(settings.database_url)
        migrate(self.database)
        self.images = ImageStore(settings.data_dir / "images")
        self.bundles = Bundles(settings.data_dir / "bundles")
        with self.database.write() as session:
            self.bundle_id = self.bundles.add(session, opened).bundle_id
        self.derived = Derived(settings.data_dir / "derived")
        self.heat_maps = HeatMaps(self.bundles, self.images, self.derived)
        self.worker = Worker(self.database, self.bundles, self.images)

    @property
    def operating_point(self) -> str:
        """The one that new cases are decided by: the bundle's first."""
        return self.bundles.open(self.bundle_id).info.operating_points[0].name

    def bundle_row(self) -> StoredBundle:
        """The bundle that new cases are read with."""
        with self.database.read() as session:
            return session.scalars(select(StoredBundle).where(StoredBundle.bundle_id == self.bundle_id)).one()

    def first_link(self) -> str | None:
        """The word of the one-time link for the first account; ``None`` where there are accounts."""
        with self.database.write() as session:
            return None if has_accounts(session) else invite_first(session).token

    def close(self) -> None:
        """Let the worker finish its chunk, and give the database back."""
        self.worker.stop()
        self.database.close()
