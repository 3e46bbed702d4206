"""Work on many items at once, in order, with bounded memory; and beside an event loop."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

KILLED = 9
"""The signal by which Linux ends a process when the memory is not enough."""

T = TypeVar("T")
R = TypeVar("R")


def num_cpus() -> int:
    """Processors this process may run on.

    >>> num_cpus() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def how_it_ended(code: int) -> str:
    """What became of a process, by its return code.

    >>> how_it_ended(1), how_it_ended(-15)
    ('ended with code 1', 'was ended by signal 15')
    """
    if code == -KILLED:
        return "was ended by the system, most likely because the memory was not enough"
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def ordered_map(
    work: Callable[[T], R], items: Iterable[T], *, workers: int = 0, ahead: int = 4
) -> Generator[R, None, None]:
    """``map`` on threads: results in the order of ``items``, at most ``workers * ahead`` of them waiting.

    Threads suit work that releases the interpreter lock (decoding, hashing, resizing, reading).

    Args:
        work: called once for each item; what it raises is raised here, at that item's turn.
        items: read only as fast as results are taken.
        workers: threads; 0 means one for each processor.
        ahead: items under way for each worker.

    >>> list(ordered_map(abs, [-2, 1, -3]))
    [2, 1, 3]
    """
    workers = workers or num_cpus()
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= workers * ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


async def on_thread(work: Callable[..., R], *arguments: Any, **settings: Any) -> R:
    """What ``work`` gives, worked out on a thread while the event loop goes on."""
    import asyncio  # takes a twentieth of the time in which a model is loaded

    return await asyncio.to_thread(work, *arguments, **settings)


async def beside_loop(items: Generator[T, None, None]) -> AsyncGenerator[T, None]:
    """The items of a generator that blocks, each worked out on a thread while the event loop goes on.

    The next one is begun when it is asked for. When the reader leaves early or is cancelled, it goes at once;
    ``items`` is closed behind the step under way, on the same thread, which then ends.

    >>> import asyncio
    >>> async def collect() -> list[int]:
    ...     return [item async for item in beside_loop(item for item in (1, 2))]
    >>> asyncio.run(collect())
    [1, 2]
    """
    import asyncio

    loop, end = asyncio.get_running_loop(), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="leukoscope")
    try:
        while (item := await loop.run_in_executor(pool, next, items, end)) is not end:
            yield item  # type: ignore[misc]  # it is no end, so it is an item
    finally:
        pool.submit(items.close)
        pool.shutdown(wait=False)
