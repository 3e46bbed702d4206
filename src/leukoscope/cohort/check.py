"""Is this copy of the data what it should be? Every file read once, on all processors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from leukoscope.cells.decode import decode
from leukoscope.cohort.check_official import check_official
from leukoscope.cohort.check_report import CheckReport, Finding, make_report
from leukoscope.cohort.index import pixel_fingerprint
from leukoscope.cohort.layouts.cnmc2019 import Cnmc2019, is_synthetic, place
from leukoscope.cohort.layouts.folder import class_folders
from leukoscope.cohort.manifest import Manifest
from leukoscope.cohort.source import ImageSource, open_source
from leukoscope.core.files import sha256_bytes
from leukoscope.core.parallel import ordered_map
from leukoscope.core.progress import track
from leukoscope.errors import ImageError, LayoutError


def check(source: Path | str, *, workers: int = 0) -> CheckReport:
    """Check a copy of C-NMC 2019 against the official index; of another source, what can be without one.

    Without an official index that is: files that cannot be read, and exact copies (equal pixels), which are
    a problem when they lie in different classes. Of a manifest or split, the files that it names are checked,
    also for having changed since.

    Args:
        source: a folder, a zip file, a manifest or a split.
        workers: threads; 0 means one for each processor.

    Raises:
        LayoutError: when there is nothing to check.
        ManifestError: when a ``.parquet`` file is no manifest.
    """
    path = Path(source)
    if path.suffix.lower() == ".parquet":
        return _check_manifest(path, workers)
    images = open_source(path)
    if not images.names():
        raise LayoutError(f"{source}: expected cell images, found none", hint="check the path")
    return _check_images(path, images, images.names(), workers)


def _check_images(path: Path, images: ImageSource, names: Sequence[str], workers: int) -> CheckReport:
    if Cnmc2019().matches(images) and not is_synthetic(images):
        parts, findings = check_official(images, names, workers=workers)
        return make_report(path, "C-NMC 2019", len(names), parts, findings)
    return make_report(path, None, len(names), (), list(_without_index(images, names, workers)))


def _check_manifest(path: Path, workers: int) -> CheckReport:
    manifest = Manifest.read(path)
    images, names = manifest.images(), manifest.frame["path"].to_list()
    report = _check_images(path, images, names, workers)
    known = {finding.path for finding in report.findings if finding.is_problem}
    changed = [
        Finding("altered", name, "has changed since it was indexed")
        for name, then, now in zip(
            names, manifest.frame["sha256"], _hashes(images, names, workers), strict=True
        )
        if then and now and then != now and name not in known
    ]
    return make_report(path, report.data_set, len(names), report.parts, [*report.findings, *changed])


def _hashes(images: ImageSource, names: Sequence[str], workers: int) -> Iterable[str]:
    def sha256(name: str) -> str:
        try:
            return sha256_bytes(images.read(name))
        except ImageError:
            return ""

    return track(ordered_map(sha256, names, workers=workers), "comparing with the manifest", len(names))


def _without_index(images: ImageSource, names: Sequence[str], workers: int) -> Iterator[Finding]:
    def content(name: str) -> tuple[str, str]:
        try:
            return pixel_fingerprint(decode(images.read(name), name=name)), ""
        except ImageError as error:
            return "", error.reason

    folders = class_folders(names, set())
    first: dict[str, str] = {}
    looked_at = ordered_map(content, names, workers=workers)
    for name, (pixels, reason) in zip(names, track(looked_at, "checking files", len(names)), strict=True):
        if reason:
            yield Finding("unreadable", name, reason)
            continue
        other = first.setdefault(pixels, name)
        if other == name:
            continue
        ours, theirs = (_class_of(one, folders) for one in (name, other))
        if ours != theirs and ours is not None and theirs is not None:
            yield Finding("label", name, f"is {ours}, the same picture as {other}, which is {theirs}")
        else:
            yield Finding("duplicate", name, f"the same picture as {other}")


def _class_of(name: str, folders: dict[str, str | None]) -> str | None:
    spot = place(name)
    return spot.label if spot is not None else folders[name]
