"""What the review room has on the page."""

from __future__ import annotations

from tables import Found, Table, Target, limit_words

WHAT = {
    "worklist": "the worklist",
    "case": "a case",
    "order": "the order of a tab",
    "tiles": "tiles of a screen",
    "standing": "a look for what others did",
    "decision": "a decision",
    "undo": "an undo",
    "cell": "one cell",
    "image": "an image (no page)",
    "known": "an image that the browser has (304)",
}


def _rows(found: Found) -> list[list[str]]:
    part = {"load": _load, "upload": _upload, "memory": _memory, "cost": _cost}[found["name"]]
    limits = [limit_words(target) for target in targets(found)] or [""]
    return [[*row, limits[0] if place == 0 else ""] for place, row in enumerate(part(found))]


def _who(found: Found) -> str:
    return f"{found['users']} users, {found['cells']:,} cells, {found['minutes']:g} min"


def _load(found: Found) -> list[list[str]]:
    kinds = [(WHAT.get(kind, kind), found["kinds_ms"][kind]) for kind in WHAT if kind in found["kinds_ms"]]
    rows = [("all pages", found["pages_ms"]), *kinds]
    counted = (
        f"{found['num_errors']} errors; {found['num_lost']} of {found['num_acknowledged']:,} decisions lost"
    )
    return [
        [
            _who(found),
            f"{what}, p95 (median) of {taken['num']:,}",
            f"{taken['p95']:,.0f} ms ({taken['p50']:,.0f})",
        ]
        for what, taken in rows
        if taken["num"]
    ] + [[_who(found), f"cells read meanwhile: {found['read_by_job']:,}", counted]]


def _upload(found: Found) -> list[list[str]]:
    what = f"{found['cells']:,} {found['images']} cells"
    return [
        [what, "sent and read", f"{found['seconds']['median']:.1f} s"],
        [what, "sent", f"{found['upload_seconds']:.1f} s; {found['num_errors']} errors"],
    ]


def _memory(found: Found) -> list[list[str]]:
    first, last = found["thirds_mb"]["both"]
    rows = [
        [
            "the last third beside the first",
            f"{found['times']['median']:.3f} times ({first:,.0f}, {last:,.0f} MB)",
        ]
    ]
    names = {"server": "the server", "worker": "the process that reads cells"}
    rows += [
        [f"{words}, most", f"{max(found['memory_mb'][name]):,.0f} MB"]
        for name, words in names.items()
        if name in found["memory_mb"]
    ]
    return [[_who(found), *row] for row in rows]


def _cost(found: Found) -> list[list[str]]:
    who = f"one after another, {found['cells']:,} cells"
    return [
        [who, f"{WHAT[kind]}, of a processor", f"{taken:.1f} ms"]
        for kind, taken in found["processor_ms"].items()
    ]


def targets(found: Found) -> list[Target]:
    """What was asked for in numbers."""
    if found["name"] == "cost":
        return []
    if found["name"] == "load":
        return [Target("review room, pages, p95", found["p95"], found["limit_ms"], "ms", at_most=True)]
    if found["name"] == "upload":
        label = f"review room, {found['cells']:,} cells sent and read"
        return [Target(label, found["seconds"], found["limit_seconds"], "s", at_most=True)]
    label = f"review room, memory over {found['minutes']:g} min"
    return [Target(label, found["times"], found["limit_times"], "times", at_most=True)]


TABLES = {
    "review": Table(
        "The review room",
        "A real `leukoscope serve` on SQLite (`python benchmarks/review.py`), its users on the same machine: "
        "they review one case, each a second or so after the last answer, while a job reads another one.",
        ("who", "what", "measured", "limit"),
        _rows,
        targets,
    ),
}
