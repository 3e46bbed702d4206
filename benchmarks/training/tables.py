"""What training and explaining have on the page."""

from __future__ import annotations

from statistics import median

from record import once, spread
from tables import Found, Table, Target, in_pairs


def _ratio(found: Found) -> list[list[str]]:
    frozen = "frozen: " + ", ".join(found["frozen"]) if found["frozen"] else ""
    return [
        [
            found["recipe"] + (f", phase {found['phase'] + 1}" if found["phase"] else ""),
            f"{found['size']} px, {found['batch']}",
            f"{found['steps']}",
            f"{median(found['plain_ms_a_step']):,.1f}",
            f"{median(found['ours_ms_a_step']):,.1f}",
            in_pairs(found["ratio"]),
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
                in_pairs(peer["later_epochs"]),
            ]
        )
    return rows


def _variants(found: Found) -> list[list[str]]:
    return [
        [
            found["recipe"],
            word,
            found["device"],
            f"{median(way['ms_a_step']):,.1f}",
            in_pairs(way["ratio"]),
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
            f"{median(found['seconds']):.1f}",
            f"{median(found['processor_seconds']):.1f}",
            f"{found['limit_seconds']:g}",
        ]
    ]


def _peer_targets(found: Found) -> list[Target]:
    return [
        Target(f"train {found['recipe']}, Keras reads {reads}", once(peer["times"]), peer["limit"], "times")
        for reads, peer in found["peers"].items()
        if peer["limit"] is not None
    ]


def _memory_targets(found: Found) -> list[Target]:
    label = f"memory to train {found['recipe']}"
    return [Target(label, once(found["beyond_cache_gb"]), found["limit_gb"], "GB", at_most=True)]


def _explain_targets(found: Found) -> list[Target]:
    label = f"maps of {found['cells']:,} cells"
    return [Target(label, spread(found["seconds"]), found["limit_seconds"], "s", at_most=True)]


TABLES = {
    "ratio": Table(
        "The fit beside a plain loop",
        "The same network, optimiser and batch on a float tensor in memory, nothing varied, beside the fit "
        "with its cache, augmentation, average and records. 1 is the speed of the plain loop; the limit is "
        "0.9. Milliseconds a step are medians. Weights are random; what is frozen is frozen on both sides. "
        "The fit works out once what a wholly frozen trunk says, and so overtakes the plain loop.",
        ("recipe", "size, batch", "steps an epoch", "plain", "ours", "ratio", ""),
        _ratio,
    ),
    "peers": Table(
        "The fit beside the documents' way",
        "Keras on TensorFlow: the same cells, network, batch and epochs, on the same cores in turn. Seconds "
        "of the whole training, worked out from what is done once (ours: indexing and decoding; a peer that "
        "reads once: reading), the first epoch, and the mean of the later ones measured. Weights are random.",
        ("recipe", "cells", "epochs", "peer", "its seconds", "ours", "times", "limit", "later epochs alone"),
        _peers,
        _peer_targets,
    ),
    "variants": Table(
        "What makes a plain loop faster",
        "Speed as a multiple of the loop with none of them, which is in float32 and contiguous.",
        ("recipe", "with", "device", "ms a step", "times"),
        _variants,
    ),
    "memory": Table(
        "Memory",
        "Peak of the resident set of `leukoscope train` on the CPU, in GB, with and without the cache.",
        ("recipe", "cells", "peak", "cache", "beyond it", "limit"),
        _memory,
        _memory_targets,
    ),
    "gpu": Table(
        "On a GPU",
        "Generated cells on the card; the share of the peak counts two operations for each multiply-add and "
        "three times the forward pass; busy is the time of kernels over wall time.",
        ("recipe", "card", "size, batch", "precision", "cells a second", "share of peak", "busy"),
        _gpu,
    ),
    "explain": Table(
        "Maps of what an answer rests on",
        "`leukoscope explain` by the starter on synthetic cells, from the command to the page with all "
        "checks (`python benchmarks/explain.py`). Seconds, medians; of the processors: what both spent.",
        ("method", "cells", "seconds", "of the processors", "limit"),
        _explain,
        _explain_targets,
    ),
}
