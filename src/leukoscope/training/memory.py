"""Memory of the processor between two steps: kept, rather than given back and asked for again."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of ``mallopt`` in glibc's ``malloc.h``."""
MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; whether the system's allocator could be told so.

    glibc gives large blocks back to the system at once, and the system clears every page of the next one. A
    step of training frees and allocates the same maps of tens of megabytes again and again: half of its time
    went there for ``cnn-32x4`` (docs/decisions/0612). The peak of memory stays what it was; between steps the
    process holds on to it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(tell(MMAP_MAX, 0)) and bool(tell(TRIM_THRESHOLD, MOST))
