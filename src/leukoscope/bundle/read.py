"""Open a bundle: every hash checked, nothing unpickled, a newer schema refused."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from leukoscope.bundle.files import BundleFiles, open_files
from leukoscope.bundle.format import (
    CARD,
    INFO,
    MODEL,
    NOVELTY,
    REFERENCES,
    SCHEMA_VERSION,
    SUBJECTS,
    WEIGHTS,
    BundleInfo,
    required_files,
)
from leukoscope.bundle.privacy import salted
from leukoscope.core.config import parse
from leukoscope.core.files import sha256_bytes, sha256_file
from leukoscope.errors import (
    BundleError,
    BundleIntegrityError,
    BundleVersionError,
    ConfigError,
    MissingExtraError,
)

STARTER = "starter"

MAX_INFO_BYTES = 16 << 20
MAX_NOVELTY_BYTES = 256 << 20
MAX_SUBJECTS_BYTES = 1 << 30
MAX_MODEL_BYTES = 1 << 31
"""The most that protobuf holds; a larger graph keeps its tensors in ``model.onnx.data``."""

_BLOCK = 1 << 20


class Overlap(NamedTuple):
    """Who of the asked-for fitted the bundle.

    Attributes:
        subjects: those of the asked-for subjects, in the order asked.
        sha256s: those of the asked-for cells, in the order asked.
    """

    subjects: tuple[str, ...]
    sha256s: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.subjects or self.sha256s)


class FileCheck(NamedTuple):
    """One file of a bundle: ``state`` is ``ok``, ``altered``, ``missing`` or ``unlisted``."""

    name: str
    state: str


class VerifyReport(NamedTuple):
    """What ``leukoscope bundle verify`` found."""

    bundle_id: str
    files: tuple[FileCheck, ...]

    @property
    def holds(self) -> bool:
        """Every listed file is there as it was written, and no other."""
        return all(file.state == "ok" for file in self.files)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: the folder or zip it was read from.
        info: the content of ``bundle.json``.
        bundle_id: the first 16 hexadecimal digits of the SHA-256 of ``bundle.json``, which holds the hash of
            every other file: one id, one model, one set of thresholds.
        onnx: the graph's bytes.
    """

    path: Path
    info: BundleInfo
    bundle_id: str
    onnx: bytes
    files: BundleFiles

    @cached_property
    def subjects(self) -> pl.DataFrame:
        """Every cell that fitted anything: ``subject_id, sha256, role``; hashes in a private bundle."""
        return self._table(SUBJECTS, {"subject_id", "sha256", "role"})

    def _table(self, name: str, columns: set[str]) -> pl.DataFrame:
        try:
            frame = pl.read_parquet(io.BytesIO(self.read(name, MAX_SUBJECTS_BYTES)))
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            raise BundleIntegrityError(f"{self.path}: {name} is no table: {reason}") from None
        if missing := columns - set(frame.columns):
            raise BundleIntegrityError(f"{self.path}: {name} lacks {', '.join(sorted(missing))}")
        return frame

    @cached_property
    def novelty(self) -> np.ndarray | None:
        """Reference embeddings (M,D) float32, ``None`` where the bundle has none."""
        if self.info.novelty is None:
            return None
        return _embeddings(self.read(NOVELTY, MAX_NOVELTY_BYTES), self.path)

    @cached_property
    def references(self) -> pl.DataFrame | None:
        """Whose cells the reference embeddings are, in their order: ``sha256, subject_id, label``.

        A private bundle has hashes; ``None`` where the bundle does not say.
        """
        if self.novelty is None or REFERENCES not in self.info.files:
            return None
        frame = self._table(REFERENCES, {"sha256", "subject_id", "label"})
        if frame.height != len(self.novelty):
            raise BundleIntegrityError(
                f"{self.path}: {REFERENCES} names {frame.height} cells, {NOVELTY} keeps {len(self.novelty)}"
            )
        return frame

    @cached_property
    def card(self) -> str:
        """The model card, Markdown."""
        return self.read(CARD, MAX_INFO_BYTES).decode("utf-8")

    def weights(self) -> dict[str, np.ndarray]:
        """The tensors kept for further training, by name.

        Raises:
            BundleError: where the bundle keeps none.
            MissingExtraError: without the extra ``train``.
        """
        if WEIGHTS not in self.info.files:
            raise BundleError(
                f"{self.path}: keeps no weights for torch", hint="use the backend 'onnxruntime'"
            )
        try:
            from safetensors.numpy import load
        except ImportError:
            raise MissingExtraError("reading a bundle's weights", "train") from None
        return load(self.read(WEIGHTS))

    def overlap(self, subject_ids: Iterable[str], sha256s: Iterable[str]) -> Overlap:
        """Which of these subjects and cells fitted this bundle; works on a private bundle too.

        Args:
            subject_ids: subjects as the manifest names them; empty ones are passed over.
            sha256s: SHA-256 of image files, hexadecimal.
        """
        return Overlap(self._known("subject_id", subject_ids), self._known("sha256", sha256s))

    def _known(self, column: str, asked: Iterable[str]) -> tuple[str, ...]:
        names = [name for name in dict.fromkeys(asked) if name]
        stored = set(self.subjects[column].drop_nulls().unique())
        found = zip(names, salted(names, self.info.privacy), strict=True)
        return tuple(name for name, mark in found if mark in stored)

    def read(self, name: str, limit: int | None = None) -> bytes:
        """The verified bytes of one listed file.

        Raises:
            BundleIntegrityError: when the file is missing, altered since the bundle was opened, or beyond
            ``limit``.
        """
        return _verified(self.files, name, self.info.files.get(name, ""), limit)

    def copy(self, name: str, target: Path) -> None:
        """Copy one listed file, however large, and check the copy.

        Raises:
            BundleIntegrityError: as :meth:`read`.
        """
        with self.files.open(name) as stream, target.open("wb") as sink:
            while block := self.files.take(stream, _BLOCK, name):
                sink.write(block)
        if sha256_file(target) != self.info.files.get(name):
            raise _altered(self.path, name)


def open_bundle(path: Path | str) -> Bundle:
    """Open a folder or zip, or the word ``"starter"`` for the bundle inside the package.

    Raises:
        BundleError: no such bundle.
        BundleVersionError: written by a newer Leukoscope.
        BundleIntegrityError: ``bundle.json`` is damaged, or a file is missing or altered.
    """
    files = open_files(_place(path))
    text = files.read(INFO, MAX_INFO_BYTES)
    info = _parse(text, files.path)
    for name, digest in info.files.items():
        if name != MODEL:
            _check(files, name, digest)
    onnx = _verified(files, MODEL, info.files[MODEL], MAX_MODEL_BYTES)
    return Bundle(files.path, info, bundle_id(text), onnx, files)


def verify_bundle(path: Path | str) -> VerifyReport:
    """Check every file of a bundle, and that there is no other.

    Raises:
        BundleError: as :func:`open_bundle`, save that missing and altered files are reported, not raised.
    """
    files = open_files(_place(path))
    text = files.read(INFO, MAX_INFO_BYTES)
    info = _parse(text, files.path)
    present = files.names()
    listed = [FileCheck(name, _state(files, name, digest, present)) for name, digest in info.files.items()]
    unlisted = [FileCheck(name, "unlisted") for name in present if name not in info.files and name != INFO]
    return VerifyReport(bundle_id(text), (*listed, *unlisted))


def bundle_id(text: bytes) -> str:
    """The id of the bundle whose ``bundle.json`` has these bytes."""
    return sha256_bytes(text)[:16]


def _place(path: Path | str) -> Path:
    if str(path) != STARTER:
        return Path(path)
    starter = Path(str(package_files("leukoscope.bundle") / "starter.leuko"))
    if not starter.exists():
        raise BundleError(
            "this installation carries no starter bundle", hint="train one: leukoscope train --help"
        )
    return starter


def _parse(text: bytes, path: Path) -> BundleInfo:
    document = _document(text, path)
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _damaged(path, f"has no usable schema_version. Received: {version!r}")
    if version > SCHEMA_VERSION:
        message = f"{path}: written in schema {version}, this Leukoscope reads up to {SCHEMA_VERSION}"
        raise BundleVersionError(message, hint="update it: pip install --upgrade leukoscope")
    try:
        info = parse(BundleInfo, document, where=INFO)
    except ConfigError as error:
        raise _damaged(path, error.message) from None
    missing = required_files(list(info.files))
    if info.novelty is not None and NOVELTY not in info.files:
        missing.append(NOVELTY)
    if missing:
        raise _damaged(path, f"lists no {', '.join(missing)}")
    return info


def _document(text: bytes, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise _damaged(path, f"holds no object but a {type(document).__name__}")
    return document


def _damaged(path: Path, reason: str) -> BundleIntegrityError:
    return BundleIntegrityError(f"{path}: {INFO} {reason}", hint="get the bundle anew; it is damaged")


def _state(files: BundleFiles, name: str, digest: str, present: list[str]) -> str:
    if name not in present:
        return "missing"
    return "ok" if _digest(files, name) == digest else "altered"


def _check(files: BundleFiles, name: str, digest: str) -> None:
    if _digest(files, name) != digest:
        raise _altered(files.path, name)


def _verified(files: BundleFiles, name: str, digest: str, limit: int | None) -> bytes:
    data = files.read(name, limit)
    if sha256_bytes(data) != digest:
        raise _altered(files.path, name)
    return data


def _altered(path: Path, name: str) -> BundleIntegrityError:
    return BundleIntegrityError(
        f"{path}: {name} is not the file that {INFO} lists (its SHA-256 differs)",
        hint="get the bundle anew; do not use this one",
    )


def _digest(files: BundleFiles, name: str) -> str:
    with files.open(name) as stream:
        digest = hashlib.sha256()
        while block := files.take(stream, _BLOCK, name):
            digest.update(block)
        return digest.hexdigest()


def _embeddings(data: bytes, path: Path) -> np.ndarray:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_NOVELTY_BYTES:
                raise BundleIntegrityError(
                    f"{path}: {NOVELTY} unpacks to more than {MAX_NOVELTY_BYTES >> 20} MiB"
                )
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            embeddings: np.ndarray = np.asarray(arrays["embeddings"], dtype=np.float32)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise BundleIntegrityError(f"{path}: {NOVELTY} holds no embeddings: {error}") from None
    if embeddings.ndim != 2:
        raise BundleIntegrityError(f"{path}: {NOVELTY}: expected (M, D), found {embeddings.shape}")
    return embeddings
