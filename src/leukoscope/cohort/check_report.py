"""What a check of a copy found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROBLEMS = {
    "unreadable": "cannot be decoded",
    "altered": "differs from the official file, or from what was indexed",
    "label": "its class contradicts the official index, or a copy of it in another class",
    "subject": "its subject contradicts the official index",
    "unknown-duplicate": "the same picture as another file, which the official index does not know of",
}
"""Findings that make a check fail, and what they mean."""

NOTES = {
    "re-encoded": "re-encoded, pixels as official",
    "known-duplicate": "the same picture as another file, as in the official set",
    "duplicate": "the same picture as another file; splits keep both on one side",
    "fold": "in another fold than in the official set",
    "extra": "not in the official set",
    "labels": "labels of the preliminary set that are not there",
}
"""Findings to know about, and what they mean."""


@dataclass(frozen=True)
class Finding:
    """One thing found: its kind (of :data:`PROBLEMS` or :data:`NOTES`), the file, and what exactly."""

    kind: str
    path: str
    detail: str

    @property
    def is_problem(self) -> bool:
        """Whether it makes the check fail."""
        return self.kind in PROBLEMS


@dataclass(frozen=True)
class Part:
    """How complete one part of an official data set is, in files."""

    name: str
    num_found: int
    num_expected: int


@dataclass(frozen=True)
class CheckReport:
    """What a check of a source found.

    Args:
        source: what was checked.
        data_set: the data set that it was held against, None where there is no official index of it.
        num_files: image files looked at.
        parts: completeness by part; empty without an official index.
        findings: problems first, each kind in the order of the files.
    """

    source: Path
    data_set: str | None
    num_files: int
    parts: Sequence[Part]
    findings: Sequence[Finding]

    @property
    def holds(self) -> bool:
        """Whether there are no problems; notes do not count."""
        return not any(finding.is_problem for finding in self.findings)

    @property
    def is_complete(self) -> bool:
        """Whether every official file is there; False without an official index."""
        return bool(self.parts) and all(part.num_found == part.num_expected for part in self.parts)

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind that occurs, problems first."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in (*PROBLEMS, *NOTES) if found[kind]}

    def to_json(self) -> dict[str, Any]:
        """Everything in it, ready for ``json.dumps``."""
        return {
            "source": str(self.source),
            "data_set": self.data_set,
            "holds": self.holds,
            "is_complete": self.is_complete,
            "num_files": self.num_files,
            "parts": [asdict(part) for part in self.parts],
            "counts": self.counts,
            "findings": [{**asdict(one), "is_problem": one.is_problem} for one in self.findings],
        }


def make_report(
    source: Path, data_set: str | None, num_files: int, parts: Sequence[Part], findings: Sequence[Finding]
) -> CheckReport:
    """A report with the findings in their order."""
    order = {kind: place for place, kind in enumerate((*PROBLEMS, *NOTES))}
    return CheckReport(
        source, data_set, num_files, tuple(parts), tuple(sorted(findings, key=lambda one: order[one.kind]))
    )
