"""Beside an event loop: the same rows, a loop that never waits, threads that go when nobody reads on."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leukoscope.cells.decode import decode
from leukoscope.core.parallel import beside_loop
from leukoscope.errors import UsageError
from leukoscope.inference.predictor import Predictor, load


@pytest.fixture(scope="module")
def predictor(tiny_bundle) -> Predictor:
    return load(tiny_bundle)


@pytest.fixture(scope="module")
def files(tiny_cohort) -> list[Path]:
    return sorted(tiny_cohort.rglob("*.bmp"))[:10]


def our_threads() -> list[str]:
    """Threads of streams and of their pools; those of asyncio stay for its next call."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("leukoscope", "ThreadPoolExecutor"))
    ]


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes true while nothing but other threads works."""
    for _ in range(500):
        if holds():
            return True
        time.sleep(0.02)
    return False


class Held:
    """An endless series of one picture that stops, on its thread, until it is let go."""

    def __init__(self, image: np.ndarray, *, free: int = 0) -> None:
        self.image, self.free = image, free
        self.reached, self.go, self.taken = threading.Event(), threading.Event(), 0

    def __iter__(self):
        for place in itertools.count():
            self.taken = place
            if place >= self.free:
                self.reached.set()
                assert self.go.wait(30)
            yield self.image


def test_the_same_rows_as_without_a_loop(predictor, files):
    async def ask():
        async with predictor.__class__(predictor.bundle) as model:
            table = await model.apredict(files)
            one = await model.apredict_one(files[3])
            each = [result async for result in model.apredict_each(files)]
        return table, one, each

    table, one, each = asyncio.run(ask())
    expected = predictor.predict(files)
    assert table.frame.equals(expected.frame) and table.metadata == expected.metadata
    assert each == list(predictor.predict_each(files))
    assert one == predictor.predict_one(files[3])


def test_many_single_images_at_once(predictor, files):
    async def ask():
        return await asyncio.gather(*(predictor.apredict_one(file) for file in files * 5))

    assert asyncio.run(ask()) == [predictor.predict_one(file) for file in files] * 5


@pytest.mark.parametrize("way", ["apredict", "apredict_each"])
def test_the_loop_goes_on_while_an_input_is_waited_for(predictor, files, way):
    """The inputs stop until the loop itself lets them go on: a loop that waits would never get there."""
    held = Held(decode(files[0]))

    async def ask():
        asking = asyncio.ensure_future(collect(predictor, way, itertools.islice(iter(held), 5)))
        assert await asyncio.to_thread(held.reached.wait, 30)
        await asyncio.sleep(0)
        assert not asking.done()
        held.go.set()
        return await asking

    assert asyncio.run(ask()) == 5


async def collect(model: Predictor, way: str, inputs) -> int:
    if way == "apredict":
        return (await model.apredict(inputs)).frame.height
    return len([result async for result in model.apredict_each(inputs)])


@pytest.mark.parametrize("way", ["apredict", "apredict_each"])
def test_a_cancelled_call_returns_at_once_and_lets_its_threads_go(tiny_bundle, files, way):
    before, held = our_threads(), Held(decode(files[0]), free=7)
    model = Predictor(tiny_bundle, batch_size=2, workers=2)

    async def ask():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                task = asyncio.ensure_future(asyncio.to_thread(held.reached.wait, 30))
                task.add_done_callback(lambda _: limit.reschedule(asyncio.get_running_loop().time()))
                await collect(model, way, iter(held))
        assert not held.go.is_set(), "it did not wait for the input that hangs"
        held.go.set()

    asyncio.run(ask())
    assert eventually(lambda: our_threads() == before)
    assert held.taken <= 7 + 8, "nothing goes on behind the batch under way"


def test_who_leaves_a_stream_early_leaves_no_thread(tiny_bundle, files):
    before, image = our_threads(), decode(files[0])
    model = Predictor(tiny_bundle, batch_size=2)

    async def ask():
        async for result in model.apredict_each(image for _ in itertools.count()):
            assert result.cell_id == "image_0"
            break
        with pytest.raises(RuntimeError, match="mine"):
            async for _ in model.apredict_each(image for _ in itertools.count()):
                raise RuntimeError("mine")

    asyncio.run(ask())
    assert eventually(lambda: our_threads() == before)


def test_a_stream_waits_for_its_reader(tiny_bundle, files):
    taken, image = itertools.count(), decode(files[0])
    model = Predictor(tiny_bundle, batch_size=2, workers=1)

    async def ask():
        stream = model.apredict_each(image for _ in taken)
        for _ in range(3):
            await anext(stream)
        await asyncio.sleep(0.1)
        await stream.aclose()

    asyncio.run(ask())
    assert next(taken) <= 4 + 4 * 2


def test_exceptions_arrive_of_the_inputs_and_of_the_call(predictor, files):
    def images():
        yield files[0]
        raise OSError("the camera is gone")

    async def ask():
        for way in ("apredict", "apredict_each"):
            with pytest.raises(OSError, match="the camera is gone"):
                await collect(predictor, way, images())
            with pytest.raises(UsageError, match="nothing to predict"):
                await collect(predictor, way, [])
        with pytest.raises(UsageError, match="expected one image"):
            await predictor.apredict_one(files)
        assert (await predictor.apredict_one("nowhere.bmp")).error == "no such file"

    asyncio.run(ask())


def test_a_closed_model_answers_no_more(tiny_bundle, files):
    async def ask():
        async with load(tiny_bundle) as model:
            stream = model.apredict_each([decode(files[0])] * 200)
            await anext(stream)
        for asking in (
            model.apredict(files),
            model.apredict_one(files[0]),
            anext(model.apredict_each(files)),
        ):
            with pytest.raises(UsageError, match="was closed"):
                await asking
        with pytest.raises(UsageError, match="was closed"):
            [result async for result in stream]

    asyncio.run(ask())


def test_a_loop_that_ends_before_its_stream_leaves_no_thread(tiny_bundle, files):
    before, image = our_threads(), decode(files[0])
    model = Predictor(tiny_bundle, batch_size=2)
    kept = []

    async def ask():
        kept.append(model.apredict_each(image for _ in itertools.count()))
        await anext(kept[0])

    asyncio.run(ask())
    assert eventually(lambda: our_threads() == before)


def test_beside_a_loop_steps_are_begun_when_they_are_asked_for():
    begun = []

    def steps():
        try:
            for place in range(9):
                begun.append(place)
                yield place
        finally:
            begun.append("closed")

    async def ask():
        stream = beside_loop(steps())
        assert await anext(stream) == 0 and begun == [0]
        assert await anext(stream) == 1 and begun == [0, 1]
        await stream.aclose()

    asyncio.run(ask())
    assert eventually(lambda: begun == [0, 1, "closed"])
