"""What made a file: versions, machine, command, time."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from leukoscope.core.parallel import num_cpus

RESEARCH_USE_ONLY = "Research use only. Not a medical device, not for diagnosis."

PACKAGES = (
    "leukoscope",
    "numpy",
    "opencv-python-headless",
    "polars",
    "onnxruntime",
    "openvino",
    "torch",
    "timm",
    "lightning",
)


def now() -> str:
    """The time now, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of those packages that are installed and shape results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def provenance(**more: Any) -> dict[str, Any]:
    """A record of this process for ``provenance.json``; ``more`` is added to it."""
    return {
        "created_at": now(),
        "command": ["leukoscope", *sys.argv[1:]],
        "versions": versions(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "num_cpus": num_cpus(),
        **more,
    }
