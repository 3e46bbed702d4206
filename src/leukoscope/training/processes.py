"""Several processes in one fit: how they meet, what they tell each other, what happens when one ends.

The first process of a machine starts the others of that machine. They meet in a store that the first process
of the first machine opens, and begin when all are there, so that a process which never comes is an error and
no wait.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from leukoscope.core.parallel import how_it_ended
from leukoscope.core.progress import say
from leukoscope.errors import TrainingError
from leukoscope.training.job import SEVERAL_MACHINES, Job
from leukoscope.training.place import Place

T = TypeVar("T")

FOLLOWER = "leukoscope.training.follower"
ALL_THERE_WITHIN = 1800.0
"""Seconds: machines may take long to prepare their cells."""
STORE_WITHIN = 60.0
"""Seconds in which a process finds the store that was there before it was started."""
NOTICED_WITHIN = 5.0
"""Seconds in which a process that ended is seen to have ended after its connection broke."""
LEAVES_WITHIN = 30.0
TICK = 0.05
ON = "finished epochs are kept; --resume goes on"


@contextmanager
def company(job: Job, number: int = 0) -> Iterator[Place | None]:
    """Be one of the processes of a fit while the block lasts; ``None`` where there is one process.

    Args:
        job: the fit.
        number: of this process on this machine; 0 starts the others.

    Raises:
        TrainingError: when another process does not come, or ends before its time.
    """
    if job.hardware.num_processes == 1:
        yield None
        return
    place = Place(job.hardware, number)
    store = _store(place)
    followers = Followers(job, store.port) if number == 0 else None
    try:
        with _threads_as_they_were(), _connections_explained(followers):
            _meet(store, place, job.fingerprint(), followers)
            cuda = job.hardware.accelerator == "cuda"
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if cuda else "gloo",
                store=PrefixStore("fit", store),
                rank=place.global_rank(),
                world_size=place.world_size(),
            )
            yield place
            in_any(False)  # none leaves before all are done
        if followers is not None:
            followers.wait()
    finally:
        if followers is not None:
            followers.end()
        if dist.is_initialized():
            dist.destroy_process_group()


def told_by_the_first(value: T) -> T:
    """What the first process has here, in all of them."""
    if not dist.is_initialized():
        return value
    told = [value]
    dist.broadcast_object_list(told, src=0)
    return told[0]


def in_any(flag: bool) -> bool:
    """Whether it is so in any process."""
    if not dist.is_initialized():
        return flag
    found = torch.tensor([int(flag)])
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found.item())


def in_order(own: list[T], count: int) -> list[T]:
    """All ``count`` parts of a work in every process, of which each did every so manieth, beginning with its
    rank."""
    if not dist.is_initialized():
        return own
    everybody: list[list[T]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(everybody, own)
    return [everybody[part % len(everybody)][part // len(everybody)] for part in range(count)]


class Followers:
    """The processes of this machine that the first one starts, each in a session of its own, so that Ctrl-C
    on a terminal reaches the first alone, which tells them."""

    def __init__(self, job: Job, port: int) -> None:
        self._all: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        found = replace(job, hardware=replace(job.hardware, port=port))
        for number in range(1, job.hardware.devices):
            words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
            with tempfile.TemporaryFile() as message:
                pickle.dump((found, number), message)
                message.seek(0)
                process = subprocess.Popen(
                    [sys.executable, "-m", FOLLOWER],
                    stdin=message,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    start_new_session=True,
                )
            self._all.append((process, words))

    def check(self) -> None:
        """Raises TrainingError: when one has ended before its time, with its last words."""
        for number, (process, words) in enumerate(self._all, 2):
            if code := process.poll():
                words.seek(0)
                text = words.read().decode(errors="replace").strip()
                reason = f": {text.splitlines()[-1]}" if text and code > 0 else ""
                message = f"process {number} of {len(self._all) + 1} {how_it_ended(code)}{reason}"
                raise TrainingError(message, hint=ON) from (RuntimeError(text) if text else None)

    def check_for(self, seconds: float) -> None:
        """:meth:`check`, until one has ended, and no longer than so many seconds."""
        _until(lambda: any(process.poll() for process, _ in self._all), seconds)
        self.check()

    def wait(self) -> None:
        """Until all have left, which they do by themselves."""
        _until(lambda: all(process.poll() is not None for process, _ in self._all), LEAVES_WITHIN)

    def end(self) -> None:
        """End those that are still there; they keep nothing that could be lost."""
        for process, words in self._all:
            process.kill()
            process.wait()
            words.close()


@contextmanager
def _connections_explained(followers: Followers | None) -> Iterator[None]:
    """A connection breaks because somebody ended: say who, if it was one of this machine."""
    try:
        yield
    except RuntimeError as error:
        if followers is not None:
            followers.check_for(NOTICED_WITHIN)
        if isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection" in str(error):
            line = str(error).splitlines()[0]
            raise TrainingError(
                f"the connection to the other processes broke: {line}",
                hint=f"see what the other machines say; {ON}",
            ) from error
        raise


def _until(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(TICK)
    return True


def _store(place: Place) -> TCPStore:
    hardware = place.hardware
    if place.global_rank() == 0:
        try:
            return TCPStore(hardware.address, hardware.port, is_master=True, wait_for_workers=False)
        except dist.DistNetworkError as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(
                f"cannot listen at port {hardware.port} of {hardware.address}: {reason}",
                hint="MASTER_PORT=ANOTHER and MASTER_ADDR=THE FIRST MACHINE'S NAME, on every machine",
            ) from None
    if place.number == 0:
        say(f"machine {hardware.node + 1} of {hardware.nodes} looks for {hardware.address}:{hardware.port}")
    patience = ALL_THERE_WITHIN if place.number == 0 else STORE_WITHIN
    where = (hardware.address, hardware.port)
    if not _until(lambda: _listens(*where), patience):
        raise TrainingError(
            f"nothing listened at {where[0]}:{where[1]} for {patience:.0f} seconds", hint=SEVERAL_MACHINES
        )
    return TCPStore(*where, is_master=False, wait_for_workers=False)


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def _meet(store: TCPStore, place: Place, fingerprint: str, followers: Followers | None) -> None:
    """Come together; the first process says when all are there."""
    if place.global_rank() == 0:
        store.set("job", fingerprint)
    elif store.get("job").decode() != fingerprint:
        store.set("other", str(place.node_rank() + 1))
        raise _other_job(place.node_rank() + 1)
    store.add("here", 1)

    def there() -> bool:
        if followers is not None:
            followers.check()
        if store.check(["other"]):
            raise _other_job(int(store.get("other")))
        return bool(store.add("here", 0) >= place.world_size())

    if not _until(there, ALL_THERE_WITHIN):
        raise TrainingError(
            f"{store.add('here', 0)} of {place.world_size()} processes came "
            f"within {ALL_THERE_WITHIN:.0f} seconds",
            hint=SEVERAL_MACHINES,
        )


def _other_job(machine: int) -> TrainingError:
    return TrainingError(
        f"machine {machine} was given another recipe, setting or split than the first",
        hint="the same --recipe, --set, --data, --fold, --devices and --nodes on every machine",
    )


@contextmanager
def _threads_as_they_were() -> Iterator[None]:
    """Lightning parts the processors among the processes of a machine, and leaves it so."""
    threads, told = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if told is None:
            os.environ.pop("OMP_NUM_THREADS", None)
