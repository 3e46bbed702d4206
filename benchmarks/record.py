"""What was measured, on which machine, with which versions: one JSON file for each measurement.

``page.py`` makes one page of all of them.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from leukoscope.core.files import write_json

BENCHMARKS = Path(__file__).parent
RESULTS = BENCHMARKS / "results"
PACKAGES = ("leukoscope", "torch", "lightning", "timm", "numpy", "onnxruntime", "openvino", "nncf", "ray")


def machine() -> dict[str, Any]:
    """Name of the processor, number of cores that this process may use, memory in GiB."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": _processor(), "cores": cores, "memory_gib": _memory_gib()}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def versions() -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    installed = {name: version(name) for name in PACKAGES if find_spec(name)}
    return {"python": platform.python_version()} | installed


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least and greatest of the ratios of the pairs, and how many pairs there were."""
    return {"median": median(values), "least": min(values), "greatest": max(values), "num": len(values)}


def once(value: float) -> dict[str, Any]:
    """The spread of a single value."""
    return spread([value])


def keep(kind: str, name: str, found: dict[str, Any], *, folder: Path = RESULTS) -> Path:
    """Write ``KIND-NAME.json``."""
    head = {
        "kind": kind,
        "name": name,
        "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
    }
    path = folder / f"{kind}-{name}.json"
    write_json(path, head | found)
    return path


def kept(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """All measurements there are, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
