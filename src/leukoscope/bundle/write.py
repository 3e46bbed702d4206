"""Write a bundle: a folder, or one zip of it, that appears whole or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from leukoscope.bundle.card import card
from leukoscope.bundle.format import (
    CARD,
    FITTING_ROLES,
    INFO,
    MODEL,
    MODEL_DATA,
    NOVELTY,
    REFERENCES,
    SCHEMA_VERSION,
    SUBJECTS,
    WEIGHTS,
    BundleInfo,
    Privacy,
)
from leukoscope.bundle.privacy import hashed, unnamed
from leukoscope.core.config import parse
from leukoscope.core.files import atomic, sha256_file
from leukoscope.errors import BundleError, ConfigError, MissingExtraError

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_bundle(
    path: Path | str,
    info: BundleInfo,
    *,
    onnx: bytes,
    subjects: pl.DataFrame,
    novelty: np.ndarray | None = None,
    references: pl.DataFrame | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    onnx_data: Path | None = None,
    private: bool = False,
    salt: str = "",
) -> Path:
    """Write a bundle; hashes, ``CARD.md`` and the salt are filled in.

    Args:
        path: the folder ``NAME.leuko``; one zip of it when the name ends in ``.zip``. A bundle that is there
            is replaced, a folder of anything else is left alone.
        info: what ``bundle.json`` says; its ``schema_version``, ``files`` and ``privacy`` are written anew.
        onnx: the graph: ``cells`` uint8 (N,S,S,3) in; ``logits`` (N,K), ``embedding`` (N,D), perhaps ``cam``
            out.
        subjects: one row for each cell that fitted anything: ``subject_id, sha256, role``.
        novelty: reference embeddings (M,D), kept as float16; ``info.novelty`` then gives the limit.
        references: whose cells these are, a row each in their order: ``sha256, subject_id, label``; ``None``
            leaves them nameless.
        weights: tensors by name, for further training.
        onnx_data: the file of tensors beside a graph of more than 2 GB.
        private: keep salted hashes of subjects and cells only.
        salt: of a private bundle that this one is made of: all names are hashed with it already.

    Returns:
        ``path``.

    Raises:
        BundleError: for a row without a role, references without a limit, names of more or fewer of them than
            there are, an ``info`` that cannot be read back, or a ``path`` that is something else.
    """
    target = Path(path)
    if (novelty is None) != (info.novelty is None):
        raise BundleError("novelty references and info.novelty go together: one of them is missing")
    check_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    privacy = Privacy(hashed=private or bool(salt), salt=salt or (secrets.token_hex(16) if private else ""))
    naming = Privacy() if salt else privacy
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as name:
        folder = Path(name) / "bundle"
        folder.mkdir()
        (folder / MODEL).write_bytes(onnx)
        if onnx_data is not None:
            shutil.copyfile(onnx_data, folder / MODEL_DATA)
        _subjects_table(subjects, naming).write_parquet(folder / SUBJECTS)
        if novelty is not None:
            np.savez(folder / NOVELTY, embeddings=novelty.astype(np.float16))
        if references is not None:
            _references_table(references, novelty, naming).write_parquet(folder / REFERENCES)
        if weights is not None:
            (folder / WEIGHTS).write_bytes(_safetensors(weights))
        evidence = unnamed(info.evidence, naming) if info.evidence else None
        schema = 1 if info.quantisation is None else SCHEMA_VERSION
        changes = {"schema_version": schema, "privacy": privacy, "evidence": evidence}
        finish(folder, info.model_copy(update=changes))
        put_in_place(folder, target)
    return target


def check_free(target: Path) -> None:
    """Raise :class:`BundleError` when a folder that is no bundle is in the way."""
    if target.is_dir() and any(target.iterdir()) and not (target / INFO).is_file():
        raise BundleError(
            f"{target}: is a folder that holds something else than a bundle", hint="name another"
        )


def _references_table(cells: pl.DataFrame, novelty: np.ndarray | None, privacy: Privacy) -> pl.DataFrame:
    num = 0 if novelty is None else len(novelty)
    if cells.height != num:
        raise BundleError(f"references names {cells.height} cells, there are {num} reference embeddings")
    return _named(cells.select(pl.col("sha256", "subject_id", "label").cast(pl.Utf8)), privacy)


def _named(table: pl.DataFrame, privacy: Privacy) -> pl.DataFrame:
    """The table as a bundle keeps it: with salted subjects and cells where it is private."""
    if not privacy.hashed:
        return table
    return table.with_columns(hashed("subject_id", privacy), hashed("sha256", privacy))


def _subjects_table(subjects: pl.DataFrame, privacy: Privacy) -> pl.DataFrame:
    missing = [name for name in ("subject_id", "sha256", "role") if name not in subjects.columns]
    if missing:
        raise BundleError(
            f"subjects needs the columns subject_id, sha256, role; without {', '.join(missing)}"
        )
    strange = set(subjects["role"].unique()) - set(FITTING_ROLES)
    if strange:
        raise BundleError(
            f"subjects: role must be one of {', '.join(FITTING_ROLES)}; found {sorted(map(str, strange))}"
        )
    return _named(subjects.select(pl.col("subject_id", "sha256", "role").cast(pl.Utf8)), privacy)


def _safetensors(weights: Mapping[str, np.ndarray]) -> bytes:
    try:
        from safetensors.numpy import save
    except ImportError:
        raise MissingExtraError("keeping the weights in a bundle", "train") from None
    return save({name: np.asarray(tensor, order="C") for name, tensor in weights.items()})


def finish(folder: Path, info: BundleInfo) -> None:
    """Write the card, then ``bundle.json`` with the hash of every file beside it."""
    (folder / CARD).write_text(card(info), encoding="utf-8")
    files = {file.name: sha256_file(file) for file in sorted(folder.iterdir())}
    # keys that bundles before them lack
    later = ("quantisation", "reference_readings", "median_sizes", "assumed_scale")
    absent = {name for name in later if getattr(info, name) is None}
    document = info.model_copy(update={"files": files}).model_dump(mode="json", exclude=absent)
    try:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        parse(BundleInfo, json.loads(text), where=INFO)
    except (ValueError, ConfigError) as error:
        message = f"info cannot be written: {error}"
        raise BundleError(message, hint="is a number not finite? None is what is undefined") from None
    (folder / INFO).write_text(text + "\n", encoding="utf-8")


def put_in_place(folder: Path, target: Path) -> None:
    """Let a finished folder become ``target``, or a zip of it when the name ends in ``.zip``."""
    if target.suffix == ".zip":
        with atomic(target) as temporary:
            _zip(folder, temporary)
        return
    folder.chmod(0o755)
    if target.exists():
        target.rename(folder.parent / "replaced")
    folder.rename(target)


def _zip(folder: Path, target: Path) -> None:
    """One zip of the folder, the same bytes for the same files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(file.name, _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
