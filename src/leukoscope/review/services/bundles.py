"""The models of the room: each kept in the data folder for good, for cases name them by id."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from sqlalchemy.orm import Session

from leukoscope.bundle.export import export_bundle
from leukoscope.bundle.format import BundleInfo
from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.errors import BundleError
from leukoscope.inference.predictor import Predictor
from leukoscope.review.audit import record
from leukoscope.review.store.tables import StoredBundle


class Bundles:
    """Bundles by id, below a folder; each loaded at most once.

    Args:
        folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._predictors, self._lock = folder, dict[str, Predictor](), Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, session: Session, source: Bundle | Path | str) -> StoredBundle:
        """Keep a bundle, by its id once.

        Raises:
            BundleError: when it cannot be used.
        """
        bundle = source if isinstance(source, Bundle) else open_bundle(source)
        kept = session.get(StoredBundle, bundle.bundle_id)
        if kept is not None and self._path(bundle.bundle_id).exists():
            return kept
        export_bundle(bundle, self._path(bundle.bundle_id))
        if kept is None:
            info = bundle.info
            kept = StoredBundle(bundle_id=bundle.bundle_id, name=info.name, demonstration=info.demonstration)
            session.add(kept)
            record(session, "system", "bundle added", bundle_id=bundle.bundle_id, name=info.name)
        return kept

    def open(self, bundle_id: str) -> Bundle:
        """A kept bundle, verified again.

        Raises:
            BundleError: when it is not there, or no longer the one of this id.
        """
        return self.predictor(bundle_id).bundle

    def info(self, bundle_id: str) -> BundleInfo:
        """What a kept bundle says of itself; none is loaded for that.

        Raises:
            BundleError: when it is not there, or damaged.
        """
        loaded = self._predictors.get(bundle_id)
        return loaded.bundle.info if loaded else open_bundle(self._path(bundle_id)).info

    def predictor(self, bundle_id: str) -> Predictor:
        """The same, loaded and ready."""
        with self._lock:
            if bundle_id not in self._predictors:
                bundle = open_bundle(self._path(bundle_id))
                if bundle.bundle_id != bundle_id:
                    raise BundleError(
                        f"{bundle.path}: is bundle {bundle.bundle_id}, not {bundle_id}",
                        hint="somebody changed the data folder; put the bundle back",
                    )
                self._predictors[bundle_id] = Predictor(bundle)
            return self._predictors[bundle_id]

    def _path(self, bundle_id: str) -> Path:
        return self._folder / f"{bundle_id}.leuko"
