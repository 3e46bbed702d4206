"""What some work took: memory of this process, and energy of the machine where the system tells it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from leukoscope.studies.outcome import Energy

POWERCAP = Path("/sys/class/powercap")
MICROJOULES, MILLIJOULES = 1e-6, 1e-3


def processor_joules(folder: Path = POWERCAP) -> dict[str, tuple[float, float]]:
    """Energy counters of the processor packages (RAPL): name -> joules now, joules at which it starts again.

    Empty where there are none, or only an administrator may read them.
    """
    found = {}
    for zone in sorted(folder.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:  # parts of a package are counted in it
            continue
        try:
            now, most = (
                int((zone / name).read_text()) * MICROJOULES for name in ("energy_uj", "max_energy_range_uj")
            )
        except (OSError, ValueError):
            continue
        found[zone.name] = (now, most)
    return found


def spent(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> float | None:
    """Joules between two readings of :func:`processor_joules`; a counter may have started again once.

    >>> spent({"intel-rapl:0": (90.0, 100.0)}, {"intel-rapl:0": (15.0, 100.0)})
    25.0
    """
    both = before.keys() & after.keys()
    if not both:
        return None
    return float(sum((after[name][0] - before[name][0]) % after[name][1] for name in both))


def gpu_joules() -> float | None:
    """Energy that all NVIDIA devices have taken since their driver was loaded; ``None`` where NVML or its
    Python package is not there, or the device does not count."""
    try:
        import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]

        pynvml.nvmlInit()
    except Exception:  # whatever the driver says: no counter
        return None
    try:
        devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return float(sum(map(pynvml.nvmlDeviceGetTotalEnergyConsumption, devices))) * MILLIJOULES
    except Exception:
        return None
    finally:
        pynvml.nvmlShutdown()


def peak_memory(status: Path = Path("/proc/self/status")) -> int | None:
    """The most main memory that this process has held, in bytes; ``None`` where the system does not tell.

    Linux's own count for this program: ``getrusage`` hands down that of the program which started it.
    """
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return _peak_by_usage()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _peak_by_usage() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


@dataclass
class Meter:
    """Reads the energy counters around a block of work.

    >>> with Meter() as meter:
    ...     _ = sum(range(10))
    >>> meter.energy is None or meter.energy.joules >= 0
    True
    """

    energy: Energy | None = None
    _before: tuple[Any, ...] = field(default=(), repr=False)

    def __enter__(self) -> Self:
        self._before = (processor_joules(), gpu_joules())
        return self

    def __exit__(self, *_: object) -> None:
        processor, gpu = self._before
        parts: dict[str, float] = {}
        if (joules := spent(processor, processor_joules())) is not None:
            parts["processor"] = joules
        if gpu is not None and (now := gpu_joules()) is not None:
            parts["GPU"] = now - gpu
        if parts:
            self.energy = Energy(joules=sum(parts.values()), source=" and ".join(parts))
