"""What an audit of a split found, in rows and in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

KINDS = ("subject", "duplicate-group", "exact-copy", "near-copy")
"""What can be on two sides, in the order in which it is reported."""


@dataclass(frozen=True)
class LeakFinding:
    """One thing that is on two sides.

    Attributes:
        kind: one of :data:`KINDS`.
        side_a: a role, or ``fold 0`` and so on.
        side_b: the other one.
        subject_a: subject of ``cell_a`` as the manifest has it; ``None`` where it has none.
        subject_b: of ``cell_b``.
        cell_a: the cell; of a subject, a group or several equal files the first one on that side.
        cell_b: likewise.
        shared: what is on both sides: the subject, the group, the SHA-256 of the file or ``pixels``;
            empty for a near copy.
        num_a: cells of it on side a.
        num_b: cells of it on side b.
        similarity: correlation of a near copy, 1 for an exact one; ``None`` for subjects and groups.
    """

    kind: str
    side_a: str
    side_b: str
    subject_a: str | None
    subject_b: str | None
    cell_a: str
    cell_b: str
    shared: str = ""
    num_a: int = 1
    num_b: int = 1
    similarity: float | None = None

    def sentence(self) -> str:
        """The finding in words.

        >>> LeakFinding("subject", "train", "test", "H10", "H10", "a", "b", "H10", 212, 3).sentence()
        "subject 'H10' is in train (212 cells, first a) and in test (3 cells, first b)"
        """
        a, b = f"{self.cell_a} ({self.side_a})", f"{self.cell_b} ({self.side_b})"
        if self.kind == "subject":
            return (
                f"subject '{self.shared}' is in {self.side_a} ({_cells(self.num_a)}, first {self.cell_a}) "
                f"and in {self.side_b} ({_cells(self.num_b)}, first {self.cell_b})"
            )
        if self.kind == "duplicate-group":
            return (
                f"'{self.subject_a}' in {self.side_a} ({_cells(self.num_a)}) and '{self.subject_b}' in "
                f"{self.side_b} ({_cells(self.num_b)}) share pictures: group {self.shared}"
            )
        if self.kind == "exact-copy":
            return f"{a} and {b} are the same {'picture in two files' if self.shared == 'pixels' else 'file'}"
        return f"{a} and {b} show the same cell (correlation {self.similarity:.2f})"


@dataclass(frozen=True)
class LeakReport:
    """What :func:`audit` found, and what it could not look at.

    Attributes:
        sides: number of cells on each side.
        num_subjects: subjects in the split.
        findings: in the order of :data:`KINDS`.
        notes: what could not be checked, and what else a reader should know, a sentence each.
        near: whether near copies were looked for.
    """

    sides: dict[str, int]
    num_subjects: int
    findings: tuple[LeakFinding, ...]
    notes: tuple[str, ...] = ()
    near: bool = True

    @property
    def holds(self) -> bool:
        """Whether nothing was found on two sides."""
        return not self.findings

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}

    def sentences(self, *, limit: int = 20) -> list[str]:
        """The report in plain text: a summary, at most ``limit`` findings of each kind, the notes."""
        sides = ", ".join(f"{side} {num:,}" for side, num in self.sides.items())
        looked_at = f"{sum(self.sides.values()):,} cells of {self.num_subjects:,} subjects ({sides})"
        found = ", ".join(f"{num:,} {_plural(kind, num)}" for kind, num in self.counts.items() if num)
        lines = [f"{found} on two sides" if found else "nobody is on two sides", f"looked at {looked_at}"]
        for kind in KINDS:
            of_kind = [finding for finding in self.findings if finding.kind == kind]
            lines += [finding.sentence() for finding in of_kind[:limit]]
            if len(of_kind) > limit:
                lines.append(f"and {len(of_kind) - limit:,} more {_plural(kind, 2)}")
        return [*lines, *self.notes]

    def to_json(self) -> dict[str, Any]:
        """Everything in it, ready for ``json.dumps``."""
        return {
            "holds": self.holds,
            "near": self.near,
            "sides": self.sides,
            "num_subjects": self.num_subjects,
            "counts": self.counts,
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
        }


def _cells(num: int) -> str:
    return f"{num:,} cell" if num == 1 else f"{num:,} cells"


def _plural(kind: str, num: int) -> str:
    words = kind.replace("-", " ")
    return words if num == 1 else words[:-1] + "ies" if words.endswith("y") else words + "s"
