"""What predicting has on the page."""

from __future__ import annotations

from statistics import median

from record import once
from tables import Found, Table, Target, in_pairs, limit_words

OURS = "leukoscope-s"
OVERLAP = "share of 1 / sum of (1 / rate of each stage)"
SCALE_LIMIT = 1.25
"""How many times the local engine's time Ray may take."""


def _within(spread: Found, form: str) -> str:
    return f"{spread['median']:{form}} ({spread['least']:{form}} to {spread['greatest']:{form}})"


def _predict(found: Found) -> list[list[str]]:
    """A row for each stage alone, the whole, and what was measured besides."""
    spent = found["processor_ms_a_cell"]
    limits = {
        one.label.removeprefix(f"{found['name']}, "): limit_words(one) for one in _predict_targets(found)
    }
    rows = [
        (stage, f"{_within(rate, ',.0f')} cells a second", f"{spent[stage]['median']:.2f}")
        for stage, rate in found["cells_a_second"].items()
    ]
    rows.append((OVERLAP, _within(found["efficiency"], ".2f"), ""))
    rows += [
        (f"first answer, {way}", f"{_within(taken, '.2f')} s", "")
        for way, taken in found["first_answer_seconds"].items()
    ]
    return [[found["name"], *row, limits.get(row[0], "")] for row in rows]


def _predict_targets(found: Found) -> list[Target]:
    """What was asked for of leukoscope-s; of other networks, that stages overlap."""
    name, limits = found["name"], found["limits"]
    targets = [Target(f"{name}, stages overlap", found["efficiency"], limits["efficiency"])]
    if name.startswith(OURS):
        rate = found["cells_a_second"]["whole"]
        targets.insert(0, Target(f"{name}, whole", rate, limits["cells_a_second"], "cells a second"))
    return targets


def _many(found: Found) -> list[list[str]]:
    return [
        [found["name"], f"{int(num):,}", f"{peak:,.0f} MB", f"at most {found['limit_mb']} MB"]
        for num, peak in found["memory_mb"].items()
    ]


def _many_targets(found: Found) -> list[Target]:
    return [
        Target(
            f"{found['name']}, memory, {int(num):,} cells", once(peak), found["limit_mb"], "MB", at_most=True
        )
        for num, peak in found["memory_mb"].items()
    ]


def _throughput(found: Found) -> list[list[str]]:
    rates = {name for row in found["rounds"] for name in row}
    rate = {name: median(row[name] for row in found["rounds"] if name in row) for name in rates}
    return [
        [
            f"{found['name']}, {one['precision']}, {found['backends'][one['precision']]}",
            f"{found['cells']:,}",
            f"{rate[one['precision']]:,.1f}",
            one["peer"],
            f"{rate[one['peer']]:,.1f}",
            in_pairs(one["times"]),
            f"{one['limit']:g}",
        ]
        for one in found["ratios"]
    ]


def _throughput_targets(found: Found) -> list[Target]:
    return [
        Target(
            f"predict {found['name']} {one['precision']}, {one['peer']}", one["times"], one["limit"], "times"
        )
        for one in found["ratios"]
    ]


def _start(found: Found) -> list[list[str]]:
    ours = found["seconds"]
    alone = [found["name"], f"{ours['median']:.2f}", "", "", "", f"at most {found['limit_seconds']:g} s"]
    return [alone] + [
        [
            found["name"],
            f"{ours['median']:.2f}",
            one["peer"],
            f"{median(row[one['peer']] for row in found['rounds']):.2f}",
            in_pairs(one["times"]),
            f"{one['limit']:g}",
        ]
        for one in found["ratios"]
    ]


def _start_targets(found: Found) -> list[Target]:
    alone = Target("one image, cold", found["seconds"], found["limit_seconds"], "s", at_most=True)
    beside = [
        Target(f"one image, cold, {one['peer']}", one["times"], one["limit"], "times")
        for one in found["ratios"]
    ]
    return [alone, *beside]


def _scale(found: Found) -> list[list[str]]:
    rate = {side: in_pairs(each) for side, each in found["cells_per_second_per_core"].items()}
    return [
        [
            f"{found['bundle']}, {found['cells']} cells",
            f"{found['num_cells']:,}",
            rate["local"],
            rate["ray"],
            in_pairs(found["ratio"]),
            f"at most {SCALE_LIMIT:g}",
        ]
    ]


def _scale_targets(found: Found) -> list[Target]:
    label = f"{found['num_cells']:,} cells on Ray, time"
    return [Target(label, found["ratio"], SCALE_LIMIT, "times", at_most=True)]


def _backends(found: Found) -> list[list[str]]:
    """``rates``: batch size -> backend -> cells a second; ``times``: batch size -> backend -> spread."""
    return [
        [
            found["bundle"],
            batch,
            name,
            f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
            in_pairs(found["times"][batch][name]) if name in found["times"][batch] else "",
        ]
        for batch, each in found["rates"].items()
        for name, rates in each.items()
    ]


def _int8(found: Found) -> list[list[str]]:
    """``rates``: backend -> ``fp32`` and ``int8`` -> cells a second; ``times``: backend -> spread."""
    return [
        [
            found["bundle"],
            name,
            f"{median(rates['fp32']):,.0f}",
            f"{median(rates['int8']):,.0f}",
            in_pairs(found["times"][name]),
        ]
        for name, rates in found["rates"].items()
    ]


TABLES = {
    "predict": Table(
        "Predicting, stage by stage",
        "From 450x450 BMP files to a CSV on disk, quality on, one view (`python benchmarks/predict.py`): "
        "each stage alone on all cores, then the whole, in turn; milliseconds of processor a cell. "
        "Medians (least to most).",
        ("bundle", "what", "measured", "processor ms", "limit"),
        _predict,
        _predict_targets,
    ),
    "many": Table(
        "Memory, however many",
        "The whole of `leukoscope predict`, peak of its resident memory, over so many links to the cells "
        "(`python benchmarks/predict.py --many 1000 1000000`).",
        ("bundle", "cells", "peak", "limit"),
        _many,
        _many_targets,
    ),
    "throughput": Table(
        "Predicting beside the documents' way and plain torch",
        "A ResNet50 at 224 pixels, from 450x450 BMP files to a CSV on disk, the same weights on all sides: "
        "`leukoscope predict` with quality and novelty, Keras's `predict` over "
        "`image_dataset_from_directory`, torchvision's network over a `DataLoader` in channels-last with two "
        "workers. Cells a second from the end of the first batch to the file, medians; no start counts.",
        ("ours", "cells", "cells a second", "peer", "its cells a second", "times", "limit"),
        _throughput,
        _throughput_targets,
    ),
    "start": Table(
        "One image, from a cold process to the answer",
        "`leukoscope predict starter cell.bmp`, a saved network of Keras that is read and asked (the "
        "documents' smallest), and torchvision's SqueezeNet 1.1 with a state dict. Seconds of the whole "
        "process, medians; the disk's cache is warm, modules are compiled.",
        ("bundle", "seconds", "peer", "its seconds", "times", "limit"),
        _start,
        _start_targets,
    ),
    "backends": Table(
        "Runtimes, the model alone",
        "Each installed runtime beside ONNX Runtime, in turn (`python benchmarks/backends.py`). Cells a "
        "second, median (least to most).",
        ("bundle", "batch", "runtime", "cells a second", "times ONNX Runtime"),
        _backends,
    ),
    "int8": Table(
        "INT8, the model alone",
        "The graph of `leukoscope export --int8` beside the one that it was made of, on each runtime, in "
        "turn (`python benchmarks/int8.py`). Cells a second, medians.",
        ("bundle", "runtime", "fp32", "int8", "times"),
        _int8,
    ),
    "scale": Table(
        "On Ray, beside the local engine",
        "`--engine ray` with two workers on the two cores that the local engine has (`python "
        "benchmarks/scale.py`): cells a second and core, and the time as a multiple of the local engine's, "
        "from the first worker that is ready to the last row on disk.",
        ("cells", "number", "local", "on Ray", "time, times the local engine's", "limit"),
        _scale,
        _scale_targets,
    ),
}
