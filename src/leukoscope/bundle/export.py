"""Repack a bundle: folder or zip, with or without the names of subjects, or with more facts about it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from leukoscope.bundle.format import INFO, MODEL_DATA, WEIGHTS
from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.bundle.write import check_free, finish, put_in_place, write_bundle


def export_bundle(source: Bundle | Path | str, out: Path | str, *, private: bool = False) -> Path:
    """Write a bundle again somewhere else.

    Without ``private`` every file is copied as it is, so the bundle keeps its id. With it, names of subjects
    and cells become salted hashes, which makes another bundle; one that has hashes already is copied.

    Args:
        source: a folder or zip, the word ``"starter"``, or a bundle that is open already.
        out: the folder ``NAME.leuko``; one zip of it when the name ends in ``.zip``.
        private: keep salted hashes only.

    Returns:
        ``out``.

    Raises:
        BundleError: for a source that cannot be used, or an ``out`` that is something else.
    """
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    target = Path(out)
    check_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as name:
        if private and not bundle.info.privacy.hashed:
            return _rewrite(bundle, target, Path(name))
        folder = Path(name) / "bundle"
        folder.mkdir()
        for file in bundle.info.files:
            bundle.copy(file, folder / file)
        (folder / INFO).write_bytes(bundle.files.read(INFO))
        put_in_place(folder, target)
    return target


def restate_bundle(source: Bundle | Path | str, out: Path | str, **facts: object) -> Path:
    """Write a bundle with other facts in ``bundle.json`` and the card that follows; its id is another.

    Graph, weights and every other file are copied as they are.

    Args:
        source: as of :func:`export_bundle`.
        out: as of :func:`export_bundle`; the source's own path replaces it.
        facts: fields of :class:`~leukoscope.bundle.format.BundleInfo`.

    Raises:
        BundleError: as :func:`export_bundle`, and for facts that cannot be read back.
    """
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    target = Path(out)
    check_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as name:
        folder = Path(name) / "bundle"
        folder.mkdir()
        for file in bundle.info.files:
            bundle.copy(file, folder / file)
        finish(folder, bundle.info.model_copy(update=facts))
        put_in_place(folder, target)
    return target


def _rewrite(bundle: Bundle, target: Path, scratch: Path) -> Path:
    data = scratch / MODEL_DATA
    if MODEL_DATA in bundle.info.files:
        bundle.copy(MODEL_DATA, data)
    return write_bundle(
        target,
        bundle.info,
        onnx=bundle.onnx,
        subjects=bundle.subjects,
        novelty=bundle.novelty,
        references=bundle.references,
        weights=bundle.weights() if WEIGHTS in bundle.info.files else None,
        onnx_data=data if data.exists() else None,
        private=True,
    )
