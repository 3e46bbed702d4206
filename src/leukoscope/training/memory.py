"""Memory of the processor between two steps: kept, rather than given back and asked for again."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import cast

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of ``mallopt`` in glibc's ``malloc.h``."""
MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; whether the system's allocator could be told so.

    glibc gives large blocks back to the system at once, and the system clears every page of the next one. A
    step of training frees and allocates the same maps of tens of megabytes again and again: half of its time
    went there for ``cnn-32x4`` (docs/decisions/0612). Between steps the process holds on to its peak, until
    :func:`give_back_freed_memory`.
    """
    tell = _of_glibc("mallopt")
    return tell is not None and bool(tell(MMAP_MAX, 0)) and bool(tell(TRIM_THRESHOLD, MOST))


def give_back_freed_memory() -> bool:
    """Give the system back what this process has freed and kept; whether there was anything."""
    trim = _of_glibc("malloc_trim")
    return trim is not None and bool(trim(0))


def _of_glibc(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return cast("Callable[..., int]", getattr(ctypes.CDLL(None), name))
    except (OSError, AttributeError):  # another C library
        return None
