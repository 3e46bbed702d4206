"""Typed results: the rows of the table, one by one."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import threading
import typing
from pathlib import Path

import numpy as np
import pytest

from leukoscope.cells.decode import decode
from leukoscope.errors import UsageError
from leukoscope.evaluation.table import COLUMNS
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predictor import Predictor, load
from leukoscope.inference.results import CellResult, results

PYTHON = {"String": str, "Int32": int, "Float64": float, "Float32": float}


@pytest.fixture(scope="module")
def predictor(tiny_bundle) -> Predictor:
    return load(tiny_bundle)


@pytest.fixture(scope="module")
def files(tiny_cohort) -> list[Path]:
    return sorted(tiny_cohort.rglob("*.bmp"))[:10]


def worker_threads() -> list[threading.Thread]:
    """Threads of pools, alive."""
    return [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


def test_the_fields_are_the_columns_with_their_types():
    hints = typing.get_type_hints(CellResult)
    assert list(hints) == [*COLUMNS, "probabilities", "logits", "origin"]
    for name, column in COLUMNS.items():
        if name in ("decision", "quality"):
            continue
        alternatives = set(typing.get_args(hints[name])) or {hints[name]}
        assert alternatives - {type(None)} == {PYTHON[str(column())]}, name
    assert set(typing.get_args(hints["decision"])) == {"blast", "normal", "indeterminate"}


def test_results_are_the_rows_of_the_table(predictor, files, tmp_path):
    broken = tmp_path / "broken.bmp"
    broken.write_bytes(b"no image")
    inputs = [*files, broken, np.zeros((450, 450, 3), np.uint8)]
    rows = predictor.predict(inputs).frame.to_dicts()
    found = list(predictor.predict_each(inputs))
    assert len(found) == len(rows) == 12
    for result, row in zip(found, rows, strict=True):
        for name in set(COLUMNS) - {"quality"}:
            assert getattr(result, name) == row[name], name
        assert ",".join(result.quality) == (row["quality"] or "")
        if result.error is None:
            assert result.probabilities == {name: row[f"probability_{name}"] for name in ("normal", "blast")}
            assert result.logits == {name: row[f"logit_{name}"] for name in ("normal", "blast")}
            assert sum(result.probabilities.values()) == pytest.approx(1)
    unread, black = found[-2:]
    assert unread.decision == "indeterminate" and unread.reason == f"unreadable: {unread.error}"
    assert unread.probabilities == unread.logits == {} and unread.blast_probability is None
    assert black.quality == ("blank",) and black.cell_width is None


def test_a_result_is_frozen_and_goes_through_json(predictor, files):
    result = predictor.predict_one(files[0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.decision = "normal"
    kept = json.loads(json.dumps(result.to_dict()))
    assert CellResult(**kept | {"quality": tuple(kept["quality"])}) == result


def test_a_table_from_a_file_gives_the_same_results(predictor, files, tmp_path):
    from leukoscope.evaluation.table import PredictionTable

    table = predictor.predict(files)
    again = PredictionTable.read(table.write(tmp_path / "t.parquet"))
    assert list(results(again.frame, ["normal", "blast"])) == list(predictor.predict_each(files))


def test_one_image_of_each_kind_is_one_result(predictor, files):
    expected = predictor.predict(files[0]).frame["blast_probability"].item()
    pixels, data = decode(files[0]), files[0].read_bytes()
    for image in (files[0], str(files[0]), data, bytearray(data), memoryview(data), pixels, pixels[None]):
        assert predictor.predict_one(image).blast_probability == pytest.approx(expected, abs=1e-6)
    named = predictor.predict_one(files[0], subject_id="P-17")
    assert named.subject_id == "P-17" and named.path == files[0].as_posix()
    missing = predictor.predict_one("nowhere.bmp")
    assert missing.error == "no such file" and missing.decision == "indeterminate"


@pytest.mark.parametrize("many", ["folder", "list", "stack"])
def test_more_than_one_image_is_not_one(predictor, files, many):
    pixels = decode(files[0])
    given = {"folder": files[0].parent, "list": files[:2], "stack": np.stack([pixels, pixels])}[many]
    with pytest.raises(UsageError, match="expected one image"):
        predictor.predict_one(given)


@pytest.mark.parametrize("nothing", [7, None, 1.5, object()])
def test_what_is_no_image_at_all_is_an_error_that_names_it(predictor, nothing):
    with pytest.raises(UsageError, match=f"Received: {type(nothing).__name__}"):
        predictor.predict(nothing)


class Refuses:
    """An object that numpy cannot take."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("not today")


def test_an_object_that_gives_no_pixels_is_a_row_among_others(predictor, files):
    rows = list(predictor.predict_each([files[0], Refuses(), [[1], [2, 3]], files[1]]))
    assert [row.error is None for row in rows] == [True, False, False, True]
    assert "Received: Refuses" in rows[1].error and "Received: list" in rows[2].error


def test_errors_of_the_inputs_come_before_the_first_result(predictor):
    with pytest.raises(UsageError, match="nothing to predict"):
        predictor.predict_each([])


def test_a_stream_reads_a_few_batches_ahead_and_no_more(tiny_bundle, files):
    taken = itertools.count()
    image = decode(files[0])
    predictor = Predictor(tiny_bundle, batch_size=4, workers=2)
    stream = predictor.predict_each(image for _ in taken)
    first = [next(stream) for _ in range(6)]
    assert [result.cell_id for result in first] == [f"image_{place}" for place in range(6)]
    assert next(taken) <= 6 + 4 * 4
    stream.close()


def test_who_leaves_a_stream_early_leaves_no_thread(tiny_bundle, files):
    before = worker_threads()
    image = decode(files[0])
    for _ in Predictor(tiny_bundle, batch_size=2).predict_each(image for _ in itertools.count()):
        break
    gc.collect()
    assert worker_threads() == before


def test_an_exception_of_the_inputs_arrives(predictor, files):
    def images():
        yield files[0]
        raise OSError("the camera is gone")

    with pytest.raises(OSError, match="the camera is gone"):
        list(predictor.predict_each(images()))


def test_a_closed_model_answers_no_more(tiny_bundle, files):
    with load(tiny_bundle) as model:
        assert model.predict_one(files[0]).decision
        stream = Predictor.predict_each(model, [decode(files[0])] * 200)
        next(stream)
    for ask in (model.predict, model.predict_one, model.predict_each):
        with pytest.raises(UsageError, match="was closed"):
            ask(files[0])
    with pytest.raises(UsageError, match="was closed"):
        list(stream)
    with pytest.raises(UsageError, match="was closed"):
        list(model.rows(resolve(files)))
    with pytest.raises(UsageError, match="was closed"), model:
        pass
    model.close()


def test_the_model_closes_when_its_block_fails(tiny_bundle):
    with pytest.raises(RuntimeError, match="mine"), load(tiny_bundle) as model:
        raise RuntimeError("mine")
    with pytest.raises(UsageError, match="was closed"):
        model.predict_one("a.bmp")
