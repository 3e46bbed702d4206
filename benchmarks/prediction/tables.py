"""What predicting has on the page."""

from __future__ import annotations

from statistics import median

from tables import Found, Table, Target, in_pairs


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


TABLES = {
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
}
