"""auto: nothing is asked for few inputs, each runtime is timed once for many, the winner is remembered."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from PIL import Image

from leukoscope.bundle.read import open_bundle
from leukoscope.core import files
from leukoscope.errors import BundleError, UsageError
from leukoscope.inference import fastest
from leukoscope.inference.backends import known_backends
from leukoscope.inference.fastest import MANY, choose
from leukoscope.inference.inputs import resolve
from leukoscope.inference.predict import predict


class Timed:
    """A backend that takes as long as it says, by a clock of its own."""

    def __init__(self, clock: list[float], seconds: list[float]) -> None:
        self._clock, self._seconds, self.num_runs = clock, seconds, 0

    def run(self, batch: np.ndarray) -> None:
        self._clock[0] += self._seconds[min(self.num_runs, len(self._seconds) - 1)]
        self.num_runs += 1


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(fastest.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LEUKOSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def two(monkeypatch, clock):
    """``two["openvino"]`` is a backend that is twice as fast as the default, both installed."""
    made = {"onnxruntime": Timed(clock, [0.02]), "openvino": Timed(clock, [0.01])}
    monkeypatch.setattr(fastest, "runtimes", lambda: list(made))
    monkeypatch.setattr(fastest, "make_backend", lambda bundle, name, threads: made[name])
    return made


@pytest.fixture
def bundle(tiny_bundle):
    return open_bundle(tiny_bundle)


@pytest.fixture
def cells(tiny_cohort):
    return resolve(tiny_cohort)


def needs_openvino() -> None:
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed")


def num_runs(made) -> int:
    return sum(backend.num_runs for backend in made.values())


def test_the_rate_is_that_of_the_best_round_and_the_first_run_does_not_count(clock):
    made = {"a": Timed(clock, [9.0, 0.5, 0.2, 0.4]), "b": Timed(clock, [0.01, 0.1])}
    rates = fastest.measure(made, np.zeros((20, 2, 2, 3), np.uint8))
    assert rates == {"a": pytest.approx(100), "b": pytest.approx(200)}


def test_a_slow_model_is_not_asked_for_ever(clock):
    made = {"a": Timed(clock, [60.0]), "b": Timed(clock, [40.0])}
    rates = fastest.measure(made, np.zeros((20, 2, 2, 3), np.uint8))
    assert rates == {"a": pytest.approx(20 / 60), "b": pytest.approx(20 / 40)}
    assert [backend.num_runs for backend in made.values()] == [2, 2]


@pytest.mark.parametrize("num", [None, 1, MANY - 1])
def test_for_few_or_unknown_many_it_is_the_default(two, bundle, cells, num):
    assert choose("auto", bundle, cells, num) == "onnxruntime"
    assert num_runs(two) == 0


@pytest.mark.parametrize("name", ["onnxruntime", "torch", "abacus"])
def test_what_was_asked_for_is_taken(two, bundle, cells, name):
    assert choose(name, bundle, cells, 10**6) == name
    assert num_runs(two) == 0


def test_the_fastest_is_taken_and_remembered(two, bundle, cells, cache):
    assert choose("auto", bundle, cells, MANY) == "openvino"
    asked = num_runs(two)
    assert asked
    (note,) = cache.rglob("*.json")
    assert json.loads(note.read_text()) == {
        "fastest": "openvino",
        "cells_per_second": {"onnxruntime": 1600.0, "openvino": 3200.0},
    }
    assert choose("auto", bundle, cells, MANY) == "openvino"
    assert num_runs(two) == asked


def test_it_is_remembered_for_this_bundle_machine_and_number_of_threads(
    two, bundle, cells, make_bundle, tmp_path, monkeypatch
):
    seen = {num_runs(two)}

    def asks_again(bundle, **more) -> bool:
        choose("auto", bundle, cells, MANY, **more)
        again = num_runs(two) not in seen
        seen.add(num_runs(two))
        return again

    other = open_bundle(make_bundle(tmp_path / "other.leuko", name="other"))
    assert asks_again(bundle) and asks_again(other) and asks_again(bundle, threads=1)
    assert not asks_again(bundle) and not asks_again(other)
    for name, value in (("_processor", "Abacus 1"), ("num_cpus", 77), ("_version", "0.0.1")):
        monkeypatch.setattr(fastest, name, lambda *_, value=value: value)
        assert asks_again(bundle) and not asks_again(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"fastest": 3}', b'{"fastest": "abacus"}', b"\xff"])
def test_a_note_that_cannot_be_read_is_none(two, bundle, cells, cache, content):
    choose("auto", bundle, cells, MANY)
    (note,) = cache.rglob("*.json")
    note.write_bytes(content)
    assert choose("auto", bundle, cells, MANY) == "openvino"
    assert json.loads(note.read_text())["fastest"] == "openvino"


def test_a_cache_that_cannot_be_written_is_no_error(two, bundle, cells, cache, monkeypatch):
    cache.write_text("a file, no folder")
    assert choose("auto", bundle, cells, MANY) == "openvino"

    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(fastest, "cache_folder", homeless)
    assert choose("auto", bundle, cells, MANY) == "openvino"


def test_one_runtime_alone_is_not_timed(two, bundle, cells, monkeypatch):
    monkeypatch.setattr(fastest, "runtimes", lambda: ["onnxruntime"])
    assert choose("auto", bundle, cells, MANY) == "onnxruntime"
    assert num_runs(two) == 0


def test_a_runtime_that_cannot_run_this_graph_is_left_out(two, bundle, cells, monkeypatch):
    def make(bundle, name, threads):
        if name == "openvino":
            raise BundleError("unknown operation")
        return two[name]

    monkeypatch.setattr(fastest, "make_backend", make)
    assert choose("auto", bundle, cells, MANY) == "onnxruntime"


def test_no_cell_that_can_be_read_is_no_reason_to_fail(two, bundle, cache, tmp_path):
    files = [tmp_path / f"none_{place}.png" for place in range(MANY)]
    assert choose("auto", bundle, resolve(files), MANY) == "onnxruntime"
    assert num_runs(two) == 0 and not cache.exists()


def test_what_is_installed_is_found_and_torch_is_never_timed(monkeypatch):
    found = fastest.runtimes()
    assert "onnxruntime" in found and "torch" not in found and set(found) <= set(known_backends())
    monkeypatch.setattr(fastest, "find_spec", lambda package: package != "openvino" or None)
    assert fastest.runtimes() == [name for name in found if name != "openvino"]


def test_the_cache_folder_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LEUKOSCOPE_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
    assert files.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("LEUKOSCOPE_CACHE")
    assert files.cache_folder() == tmp_path / "there" / "leukoscope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / ".cache" / "leukoscope"


@pytest.fixture
def winner(monkeypatch):
    """``winner("openvino")``: from now on that is the fastest, whatever was remembered."""

    def wins(name: str) -> None:
        monkeypatch.setattr(fastest, "_remembered", lambda key: "")
        monkeypatch.setattr(
            fastest, "measure", lambda made, pixels: {one: float(one == name) for one in made}
        )

    return wins


@pytest.fixture
def many(tmp_path):
    """More cells than it takes to ask."""
    folder = tmp_path / "cells"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(MANY):
        cell = np.zeros((40, 40, 3), np.uint8)
        cell[8:32, 8:32] = chance.integers(40, 200, 3)
        Image.fromarray(cell).save(folder / f"cell_{number}.bmp")
    return folder


def ran(path) -> str:
    return pl.read_parquet_metadata(path)["backend"].split()[0]


def test_the_table_says_which_backend_ran(tmp_path, tiny_bundle, many, winner):
    needs_openvino()
    winner("openvino")
    predict(tiny_bundle, many, out=tmp_path / "many.parquet")
    assert ran(tmp_path / "many.parquet") == "openvino"
    predict(tiny_bundle, sorted(many.iterdir())[: MANY - 1], out=tmp_path / "few.parquet")
    assert ran(tmp_path / "few.parquet") == "onnxruntime"
    predict(tiny_bundle, iter(sorted(many.iterdir())), out=tmp_path / "stream.parquet")
    assert ran(tmp_path / "stream.parquet") == "onnxruntime"
    metadata = pl.read_parquet_metadata(tmp_path / "many.parquet")
    import cv2

    import leukoscope
    from leukoscope.core.runtimes import import_openvino

    version = import_openvino().__version__.split("-")[0]
    assert metadata["backend"] == f"openvino {version} on cpu"
    assert json.loads(metadata["versions"]) == {
        "leukoscope": leukoscope.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "openvino": version,
    }


@pytest.mark.parametrize("name", ["cells.csv", "cells.parquet"])
@pytest.mark.parametrize("first", ["openvino", "onnxruntime"])
def test_an_interrupted_run_goes_on_with_the_backend_that_it_had(
    tmp_path, tiny_bundle, many, winner, breaking, monkeypatch, name, first
):
    """Though another is the fastest by now."""
    needs_openvino()
    from leukoscope.inference import journal, sinks

    monkeypatch.setattr(journal, "SECONDS", 0.0)
    monkeypatch.setattr(sinks, "ROWS_PER_PART", 40)
    whole, out = tmp_path / f"whole_{name}", tmp_path / name
    predict(tiny_bundle, many, out=whole, backend=first)

    winner(first)
    mend = breaking(3)
    with pytest.raises(KeyboardInterrupt):
        predict(tiny_bundle, many, out=out)
    mend()
    other = "openvino" if first == "onnxruntime" else "onnxruntime"
    winner(other)
    with pytest.raises(UsageError, match=f"its backend is {first} .*, not {other} "):
        predict(tiny_bundle, many, out=out, backend=other, resume=True)
    assert predict(tiny_bundle, many, out=out, resume=True).num_cells == MANY
    if out.suffix == ".csv":
        assert out.read_bytes() == whole.read_bytes()
    else:
        assert pl.read_parquet(out).equals(pl.read_parquet(whole))
        assert pl.read_parquet_metadata(out) == pl.read_parquet_metadata(whole) | {
            "ARROW:schema": pl.read_parquet_metadata(out)["ARROW:schema"]
        }
        assert ran(out) == first
