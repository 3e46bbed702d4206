"""Threads inside of libraries, kept still while there are threads of our own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def no_inner_threads() -> Iterator[None]:
    """OpenCV and OpenBLAS do what they are asked for on the thread that asks, until the block ends.

    For work that is on all processors anyhow, one item a thread. Their own threads would wait for more work
    by spinning, OpenBLAS's for 25 ms after each product, on processors that others need. The setting is of
    the whole process, as these libraries have it; blocks may overlap on any threads, and the last one to end
    puts back what was there before the first.
    """
    _blocks.begin()
    try:
        yield
    finally:
        _blocks.end()


class _Blocks:
    """How many blocks there are now, and what ends the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num = 0
        self._restore: Callable[[], None] = lambda: None

    def begin(self) -> None:
        with self._lock:
            if not self._num:
                self._restore = _still()
            self._num += 1

    def end(self) -> None:
        with self._lock:
            self._num -= 1
            if not self._num:
                self._restore()


def _still() -> Callable[[], None]:
    import cv2
    from threadpoolctl import ThreadpoolController

    # Of BLAS only this one: that of torch is asked from one thread and needs all of its own.
    limits = ThreadpoolController().select(internal_api="openblas").limit(limits=1)
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)

    def restore() -> None:
        cv2.setNumThreads(num_threads)
        limits.restore_original_limits()

    return restore


_blocks = _Blocks()
