"""A picture that comes again is not shown to the model again, and its row is what it would be otherwise."""

from __future__ import annotations

import tracemalloc

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from polars.testing import assert_frame_equal

from leukoscope.inference import predictor as predictor_module
from leukoscope.inference.backends import Outputs
from leukoscope.inference.copies import MOST_PICTURES, Copies, answer
from leukoscope.inference.parts import CellInput
from leukoscope.inference.predict import predict
from leukoscope.inference.predictor import Predictor
from leukoscope.inference.prepare import Prepared, prepare


class Counting:
    """A model that counts the pictures it is shown, and the shapes of its runs."""

    def __init__(self, backend) -> None:
        self._backend, self.shown, self.shapes = backend, [], []

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def run(self, batch: np.ndarray) -> Outputs:
        self.shown += [cell.tobytes() for cell in batch]
        self.shapes.append(len(batch))
        return self._backend.run(batch)


def pictures(num: int) -> list[np.ndarray]:
    chance = np.random.default_rng(5)
    cells = np.zeros((num, 90, 90, 3), np.uint8)
    for cell in cells:
        side = int(chance.integers(30, 80))
        cell[5 : 5 + side, 5 : 5 + side] = chance.integers(30, 220, (side, side, 3))
    return list(cells)


@pytest.fixture(scope="module")
def cells() -> list[np.ndarray]:
    return pictures(40)


@pytest.fixture
def predictor(tiny_bundle):
    made = Predictor(tiny_bundle, batch_size=16)
    made.backend = Counting(made.backend)
    return made


def test_a_picture_is_shown_once_however_often_it_comes(predictor, cells):
    order = [*range(40), *range(40), *([3] * 20), *range(40)]
    table = predictor.predict([cells[place] for place in order]).frame
    shown = predictor.backend.shown
    assert len(set(shown)) == 40
    assert len(shown) == 48, "two batches of 16 new pictures, and eight that are filled up to 16"
    alone = predictor.predict(cells).frame
    same = [name for name in table.columns if name not in ("cell_id", "path")]
    assert_frame_equal(table.select(same), alone[order].select(same))


def test_another_run_asks_again(predictor, cells):
    predictor.predict(cells[:5])
    predictor.predict(cells[:5])
    assert len(predictor.backend.shown) == 10


def test_the_same_picture_in_another_file_format_is_the_same(predictor, cells, tmp_path):
    for name in ("a.png", "b.bmp", "c.tif"):
        Image.fromarray(cells[0]).save(tmp_path / name)
    table = predictor.predict(tmp_path).frame
    assert table["sha256"].n_unique() == 3 and table["logit_blast"].n_unique() == 1
    assert len(set(predictor.backend.shown)) == 1


@settings(max_examples=30)
@given(data=st.data())
def test_a_run_that_forgot_gives_the_same_bits_in_runs_of_the_same_shape(tiny_bundle, cells, data):
    """What an unbroken run remembers and a resumed one does not changes neither numbers nor shapes."""
    order = data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=40))
    batch_size, begin = data.draw(st.integers(1, 20)), data.draw(st.integers(0, 3))
    info = Predictor(tiny_bundle).bundle.info
    ready = [prepare(CellInput("", "", lambda place=place: cells[place]), info) for place in order]
    batches = [ready[start : start + batch_size] for start in range(0, len(ready), batch_size)]
    begin = min(begin, len(batches) - 1)
    backend = Predictor(tiny_bundle).backend

    def through(some: list[list[Prepared]]) -> list[tuple[bytes, set[int]]]:
        copies, found = Copies(), []
        for batch in some:
            counting = Counting(backend)
            done = answer(copies.ask(batch), counting.run, lambda rows: rows.mean(axis=1))
            logits, novelty = done.answers()
            step = min(16, len(batch))
            assert all(num % step == 0 for num in counting.shapes)
            assert len(logits) == len(novelty) == len(batch)
            found.append(logits.tobytes() + novelty.tobytes())
        return found

    assert through(batches[begin:]) == through(batches)[begin:]


@pytest.mark.parametrize("name", ["cells.csv", "cells.jsonl"])
def test_a_resumed_run_with_copies_is_equal_to_the_byte(tmp_path, cells, monkeypatch, name):
    """By the starter, whose sums are long enough to depend on their order."""
    order = [place % 7 for place in range(30)] + list(range(20))
    folder = tmp_path / "cells"
    folder.mkdir()
    for number, place in enumerate(order):
        Image.fromarray(cells[place]).save(folder / f"{number}.png")
    predict("starter", folder, out=tmp_path / f"whole_{name}", batch_size=16)
    make_rows, left = predictor_module.make_rows, [2]

    def stopped(*arguments, **named):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return make_rows(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(predictor_module, "make_rows", stopped)
        with pytest.raises(KeyboardInterrupt):
            predict("starter", folder, out=tmp_path / name, batch_size=16)
    predict("starter", folder, out=tmp_path / name, batch_size=16, resume=True)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole_{name}").read_bytes()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_a_picture_gets_the_same_bits_in_any_company_of_the_same_number(backend):
    """What the design leans on, of every program that runs the starter."""
    pytest.importorskip(backend)
    from leukoscope.bundle.read import open_bundle
    from leukoscope.inference.backends import make_backend

    model = make_backend(open_bundle("starter"), backend)
    chance = np.random.default_rng(1)
    batch = chance.integers(0, 255, (24, 112, 112, 3), dtype=np.uint8)
    first = model.run(batch[:16])
    for _ in range(3):
        order = chance.permutation(24)[:16]
        known = order < 16
        found = model.run(batch[order])
        assert np.array_equal(found.logits[known], first.logits[order[known]])
        assert np.array_equal(found.embedding[known], first.embedding[order[known]])


def test_what_is_remembered_is_bounded_and_small():
    picture = np.zeros((1, 1, 3), np.uint8)
    copies = Copies(most=1_000)

    def ask(numbers: range) -> int:
        batch = [
            Prepared(CellInput("", "", bytes), pixels=picture, picture=number.to_bytes(32, "big"))
            for number in numbers
        ]
        asked = copies.ask(batch)
        answer(
            asked,
            lambda pixels: Outputs(np.zeros((len(pixels), 2), np.float32), np.zeros((len(pixels), 8)), None),
            lambda rows: rows.mean(axis=1),
        )
        return len(asked.fresh)

    ask(range(1_000))
    assert ask(range(500)) == 0, "remembered, and seen last now"
    tracemalloc.start()
    assert ask(range(1_000, 1_500)) == 500, "these push out the other half"
    before = tracemalloc.get_traced_memory()[0]
    assert ask(range(500)) == 0
    assert ask(range(500, 1_000)) == 500
    for start in range(2_000, 22_000, 1_000):
        ask(range(start, start + 1_000))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1_000 * 400, f"{grown} bytes more for a thousand pictures"
    assert MOST_PICTURES * 400 < 30e6


def test_broken_files_among_copies_stay_where_they_are(predictor, cells):
    table = predictor.predict([cells[0], b"no image", cells[0], cells[1]]).frame
    assert table["error"].is_null().to_list() == [True, False, True, True]
    assert table["logit_blast"][0] == table["logit_blast"][2] != table["logit_blast"][3]
    assert table.filter(pl.col("error").is_not_null())["logit_blast"].null_count() == 1
