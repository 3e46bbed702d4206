"""RESULTS.md: tables of what was measured, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Found = dict[str, Any]
HEAD = """# How fast training and explaining are

Written by `make bench` from the files in `benchmarks/results`, which say command, day, machine and versions.
Ratios are of two things measured in turn in one run: the median over the pairs (least to greatest).
"""


def _spread(ratio: Found) -> str:
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['greatest']:.2f}, {ratio['num']} pairs)"


def _ratio(found: Found) -> list[list[str]]:
    frozen = "frozen: " + ", ".join(found["frozen"]) if found["frozen"] else ""
    return [
        [
            found["recipe"] + (f", phase {found['phase'] + 1}" if found["phase"] else ""),
            f"{found['size']} px, {found['batch']}",
            f"{found['steps']}",
            f"{_middle(found['plain_ms_a_step']):,.1f}",
            f"{_middle(found['ours_ms_a_step']):,.1f}",
            _spread(found["ratio"]),
            frozen,
        ]
    ]


def _peers(found: Found) -> list[list[str]]:
    rows = []
    for reads, peer in found["peers"].items():
        limit = "" if peer["limit"] is None else f"{peer['limit']:g}"
        rows.append(
            [
                found["recipe"],
                f"{found['cells']:,}",
                " + ".join(map(str, found["epochs"])),
                f"reads {reads}",
                f"{peer['total_seconds']:,.0f}",
                f"{found['ours']['total_seconds']:,.0f}",
                f"{peer['times']:.2f}",
                limit,
                _spread(peer["later_epochs"]),
            ]
        )
    return rows


def _variants(found: Found) -> list[list[str]]:
    return [
        [
            found["recipe"],
            word,
            found["device"],
            f"{_middle(way['ms_a_step']):,.1f}",
            _spread(way["ratio"]),
        ]
        for word, way in found["ways"].items()
    ]


def _memory(found: Found) -> list[list[str]]:
    return [
        [
            found["recipe"],
            f"{found['cells']:,}",
            f"{found['peak_gb']:.2f}",
            f"{found['cache_gb']:.2f}",
            f"{found['beyond_cache_gb']:.2f}",
            f"{found['limit_gb']:g}",
        ]
    ]


def _gpu(found: Found) -> list[list[str]]:
    share = found["share_of_peak"]
    busy = found["busy"]
    return [
        [
            found["recipe"],
            found["card"],
            f"{found['size']} px, {found['batch']}",
            found["precision"],
            f"{found['cells_a_second']:,.0f}",
            "" if share is None else f"{share:.1%}",
            "" if busy is None else f"{busy:.0%}",
        ]
    ]


def _explain(found: Found) -> list[list[str]]:
    return [
        [
            found["method"],
            f"{found['cells']:,}",
            f"{_middle(found['seconds']):.1f}",
            f"{_middle(found['processor_seconds']):.1f}",
            f"{found['limit_seconds']:g}",
        ]
    ]


Rows = Callable[[Found], list[list[str]]]
TABLES: dict[str, tuple[str, str, Sequence[str], Rows]] = {
    "ratio": (
        "The fit beside a plain loop",
        "The same network, optimiser and batch on a float tensor in memory, nothing varied, beside the fit "
        "with its cache, augmentation, average and records. 1 is the speed of the plain loop; the limit is "
        "0.9. Milliseconds a step are medians. Weights are random; what is frozen is frozen on both sides. "
        "The fit works out once what a wholly frozen trunk says, and so overtakes the plain loop.",
        ("recipe", "size, batch", "steps an epoch", "plain", "ours", "ratio", ""),
        _ratio,
    ),
    "peers": (
        "The fit beside the documents' way",
        "Keras on TensorFlow: the same cells, network, batch and epochs, on the same cores in turn. Seconds "
        "of the whole training, worked out from what is done once (ours: indexing and decoding; a peer that "
        "reads once: reading), the first epoch, and the mean of the later ones measured. Weights are random.",
        ("recipe", "cells", "epochs", "peer", "its seconds", "ours", "times", "limit", "later epochs alone"),
        _peers,
    ),
    "variants": (
        "What makes a plain loop faster",
        "Speed as a multiple of the loop with none of them, which is in float32 and contiguous.",
        ("recipe", "with", "device", "ms a step", "times"),
        _variants,
    ),
    "memory": (
        "Memory",
        "Peak of the resident set of `leukoscope train` on the CPU, in GB, with and without the cache.",
        ("recipe", "cells", "peak", "cache", "beyond it", "limit"),
        _memory,
    ),
    "gpu": (
        "On a GPU",
        "Generated cells on the card; the share of the peak counts two operations for each multiply-add and "
        "three times the forward pass; busy is the time of kernels over wall time.",
        ("recipe", "card", "size, batch", "precision", "cells a second", "share of peak", "busy"),
        _gpu,
    ),
    "explain": (
        "Maps of what an answer rests on",
        "`leukoscope explain` by the starter on synthetic cells, from the command to the page with all "
        "checks (`python benchmarks/explain.py`). Seconds, medians; of the processors: what both spent.",
        ("method", "cells", "seconds", "of the processors", "limit"),
        _explain,
    ),
}


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _where(found: Found) -> str:
    machine, named = found["machine"], dict(found["versions"]) | found.get("peer_versions", {})
    words = ", ".join(f"{name} {number}" for name, number in named.items())
    card = f", {found['card']}" if found.get("card") else ""
    return f"{machine['processor']}, {machine['cores']} cores{card}; {words}; {found['at'][:10]}"


def render(results: Sequence[Found]) -> str:
    """The page, from the measurements of :func:`training.record.kept`."""
    lines = [HEAD]
    for kind, (title, words, columns, rows) in TABLES.items():
        found = [one for one in results if one["kind"] == kind]
        if not found:
            continue
        lines += [f"## {title}", "", words, ""]
        lines += _table(columns, [row for one in found for row in rows(one)])
        lines += ["", *sorted({f"* {_where(one)}" for one in found}), ""]
    return "\n".join(lines)


def in_words(found: Found) -> str:
    """One measurement as a table; empty for what has none."""
    if found.get("kind") not in TABLES:
        return ""
    _, _, columns, rows = TABLES[found["kind"]]
    return "\n".join(_table(columns, rows(found)))
