"""What photographs of smears have on the page."""

from __future__ import annotations

from collections.abc import Callable

from record import once
from tables import Found, Table, Target, limit_words

Row = list[str]


def _share(found: Found) -> str:
    """
    >>> _share({"estimate": 0.912, "ci_low": 0.85, "ci_high": None})
    '91.2 %'
    """
    return f"{100 * found['estimate']:.1f} %" + _interval(found, lambda value: f"{100 * value:.1f}")


def _number(found: Found) -> str:
    return f"{found['estimate']:.3f}" + _interval(found, lambda value: f"{value:.3f}")


def _interval(found: Found, say: Callable[[float], str]) -> str:
    ends = found["ci_low"], found["ci_high"]
    return "" if None in ends else f" ({say(ends[0])} to {say(ends[1])})"


def _bccd(found: Found) -> list[Row]:
    what = f"BCCD, {found['half']} half: {found['num_boxes']} white cells with boxes"
    return [
        [what, "recall", f"{found['recall']:.3f}"],
        [what, "precision", f"{found['precision']:.3f}"],
        [what, "fields of 640x480 a second", f"{found['fields_a_second']:.1f}"],
    ]


def _synthetic(found: Found) -> list[Row]:
    what = f"drawn smears: {found['num_cells']} cells, {found['num_pairs']} touching pairs"
    return [
        [what, "median Dice", f"{found['median_dice']:.3f}"],
        [what, "pairs counted right", f"{found['pairs_right']:.3f}"],
    ]


def _paste(found: Found) -> list[Row]:
    where = f"{found['half']} halves, {found['micrometres_per_pixel']:g} µm a pixel"
    whose = f"C-NMC in BCCD, {where}: {found['num_cells']} cells of {found['num_subjects']} people"
    return [
        [whose, "median Dice", _number(found["dice"])],
        [whose, "found", _share(found["found"])],
        [whose, "set aside, of those found", _share(found["set_aside"])],
        [whose, "probability moved by less than 0.1", _share(found["kept"])],
        [whose, "decision changed", _share(found["decisions_changed"])],
    ]


def _scaling(found: Found) -> list[Row]:
    return [
        [f"{name}, scale {100 * float(factor) - 100:+.0f} %: {one['num']:,} cells", what, words]
        for name, factors in found["collections"].items()
        for factor, one in factors.items()
        for what, words in (
            ("probability moved by, median", _number(one["median"])),
            ("probability moved by, nine of ten less than", _number(one["p90"])),
            ("on the other side of the threshold", _share(one["decisions_changed"])),
        )
    ]


def _strangers(found: Found) -> list[Row]:
    return [
        [f"{name}, {way}: {one['num_judged']} cells judged", what, words]
        for name, ways in found["collections"].items()
        for way, one in ways.items()
        for what, words in (
            ("above the blast threshold", _share(one["above_threshold"])),
            ("called blast", _share(one["called"]["blast"])),
            ("beyond the limit of novelty", _share(one["beyond_limit"])),
            ("novelty, AUROC against C-NMC", _number(one["novelty_auroc"])),
        )
    ]


_PARTS = {
    "bccd": _bccd,
    "synthetic": _synthetic,
    "paste": _paste,
    "scaling": _scaling,
    "strangers": _strangers,
}


def _rows(found: Found) -> list[Row]:
    limits = {target.label.rpartition(", ")[2]: limit_words(target) for target in targets(found)}
    return [[*row, limits.get(row[1], "")] for row in _PARTS[found["name"].split("-")[0]](found)]


def targets(found: Found) -> list[Target]:
    """What was asked for in numbers, of what nothing was chosen on."""
    if found.get("half") == "first":
        return []
    part = found["name"].split("-")[0]
    if part == "bccd":
        return [
            Target("smears, BCCD, recall", once(found["recall"]), 0.95),
            Target("smears, BCCD, precision", once(found["precision"]), 0.90),
            Target("smears, BCCD, fields of 640x480 a second", once(found["fields_a_second"]), 6),
        ]
    if part == "synthetic":
        return [
            Target("smears, drawn, median Dice", once(found["median_dice"]), 0.93),
            Target("smears, drawn, pairs counted right", once(found["pairs_right"]), 0.9),
        ]
    if part == "paste":
        where = f"smears, pasted, {found['micrometres_per_pixel']:g} µm"
        return [
            Target(f"{where}, median Dice", once(found["dice"]["estimate"]), 0.93),
            Target(f"{where}, probability moved by less than 0.1", once(found["kept"]["estimate"]), 0.9),
        ]
    return []


TABLES = {
    "smears": Table(
        "Photographs of smears",
        "White cells found by the code of `cells extract` (`python benchmarks/smears.py`), and what the "
        "starter says of them. Intervals are of people, or of photographs where people are not known. "
        "Settings were chosen on first halves: of BCCD's fields by name, of C-NMC's people by name. What it "
        "means is said in [docs/smears.md](../docs/smears.md).",
        ("what", "figure", "measured", "limit"),
        _rows,
        targets,
    ),
}
