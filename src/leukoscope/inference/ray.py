"""The same predictor as actors of Ray, on the cores of one machine or of a cluster.

The driver names the cells, shard by shard, and hands each to an actor that is free. The actor reads the
images, judges them and writes the shard; only what the manifest says of it comes back. An actor that dies is
started again, and its shard with it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from leukoscope.core.parallel import num_cpus
from leukoscope.errors import LeukoscopeError, MissingExtraError

if TYPE_CHECKING:
    from leukoscope.bundle.read import Bundle
    from leukoscope.evaluation.shards import Shard
    from leukoscope.inference.predictor import Predictor
    from leukoscope.inference.shards import Job

_CLUSTER = "RAY_ADDRESS"
RETRIES = 3
"""How often a shard is begun again after its actor died. More often, and it is the shard that kills them."""
OBJECT_STORE_BYTES = 256 << 20
"""Of a Ray started here. Names of cells go through it, and of images only those in this process's memory."""


class Judge:
    """An actor: a predictor that makes shards.

    The bundle comes with every call, as a reference in a list, since an actor that was started again has
    forgotten it; it is fetched once.

    Args:
        options: of the predictor.
        threads: processors it may use.
    """

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        self._options, self._threads = options, threads
        self._predictor: Predictor | None = None

    def ready(self, bundle: list[Any]) -> None:
        """Return once the model is loaded."""
        self._load(bundle)

    def judge(self, bundle: list[Any], job: Job) -> tuple[int, Shard]:
        """Make one shard; see :func:`~leukoscope.inference.shards.judge_shard`."""
        from leukoscope.inference.shards import judge_shard

        return job.number, judge_shard(self._load(bundle), job)

    def _load(self, bundle: list[Any]) -> Predictor:
        import ray

        from leukoscope.inference.predictor import Predictor

        if self._predictor is None:
            opened, threads = ray.get(bundle[0]), self._threads
            self._predictor = Predictor(opened, workers=threads, threads=threads, **self._options)
        return self._predictor


def judge_on_ray(
    jobs: Iterable[Job], bundle: Bundle, options: Mapping[str, Any], *, actors: int = 0
) -> Iterator[tuple[int, Shard]]:
    """Make all shards, in whatever order they get ready.

    Uses the cluster that the program is connected to, else the one that ``RAY_ADDRESS`` names, else starts a
    Ray on this machine, which it stops afterwards.

    Args:
        jobs: asked for one by one, when an actor is about to be free.
        bundle: an open bundle; it is sent to the actors.
        options: ``backend``, ``views`` and ``batch_size`` of the predictors.
        actors: how many; 0 means one for each processor. They share the processors.

    Yields:
        number of the shard, and what the manifest says of it.

    Raises:
        MissingExtraError: without the extra ``scale``.
        LeukoscopeError: what an actor raised, or a shard that no actor outlives.
    """
    with _connected() as ray:
        crew, shared = _crew(ray, options, actors), [ray.put(bundle)]
        try:
            yield from _conduct(ray, crew, shared, jobs)
        finally:
            for actor in crew:
                ray.kill(actor)


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected; what it says goes to standard error, since results go to standard output."""
    ray = _import_ray()
    with redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield ray
            return
        with tempfile.TemporaryDirectory(prefix="leukoscope-ray-", ignore_cleanup_errors=True) as folder:
            here = {
                "address": "local",
                "num_cpus": num_cpus(),
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": folder,
            }
            ray.init(log_to_driver=False, logging_level="ERROR", **({} if os.environ.get(_CLUSTER) else here))
            try:
                yield ray
            finally:
                ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what is run
    if not os.environ.get(_CLUSTER):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # listen on 127.0.0.1 alone
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--engine ray", "scale") from None
    return ray


def _crew(ray: Any, options: Mapping[str, Any], actors: int) -> list[Any]:
    """Actors that share the processors of all machines."""
    processors = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    wanted = actors or max(1, sum(processors))
    share = min(sum(processors) / wanted, max(processors))
    threads = max(1, int(share))
    remote = ray.remote(Judge).options(
        num_cpus=threads if share >= 1 else share,
        max_restarts=-1,
        max_task_retries=RETRIES,
        runtime_env={"env_vars": {"POLARS_MAX_THREADS": str(threads)}},
    )
    return [remote.remote(dict(options), threads) for _ in range(wanted)]


def _conduct(
    ray: Any, crew: list[Any], bundle: list[Any], jobs: Iterable[Job]
) -> Iterator[tuple[int, Shard]]:
    """Give each actor a job when it is ready, so that one that finds no room holds up nothing."""
    busy = {actor.ready.remote(bundle): (actor, False) for actor in crew}
    idle: list[Any] = []
    for job in jobs:
        while not idle:
            yield from _finished(ray, busy, idle)
        actor = idle.pop()
        busy[actor.judge.remote(bundle, job)] = (actor, True)
        del job  # its cells need not be held here until the next one
    while any(working for _, working in busy.values()):
        yield from _finished(ray, busy, idle)


def _finished(ray: Any, busy: dict[Any, tuple[Any, bool]], idle: list[Any]) -> list[tuple[int, Shard]]:
    done, _ = ray.wait(list(busy), num_returns=1)
    found = []
    for ref in done:
        result = _result(ray, ref)
        actor, _ = busy.pop(ref)
        idle.append(actor)
        if result is not None:
            found.append(result)
    return found


def _result(ray: Any, ref: Any) -> tuple[int, Shard] | None:
    try:
        result: tuple[int, Shard] | None = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise LeukoscopeError(
            f"a shard was begun {RETRIES + 1} times, and its worker died each time: "
            f"{str(error).splitlines()[0]}",
            hint="look at the memory of the machines; --resume goes on with what is there",
        ) from None
    return result
