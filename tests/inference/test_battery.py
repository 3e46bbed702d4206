"""What every backend must do, whichever it is: the registry is asked, so that none can be forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from leukoscope.bundle.format import Architecture
from leukoscope.bundle.read import Bundle, open_bundle
from leukoscope.bundle.write import write_bundle
from leukoscope.cells.preprocess import Preprocess
from leukoscope.errors import UsageError
from leukoscope.evaluation.calibration import blast_probability
from leukoscope.evaluation.operating_points import OperatingPoint
from leukoscope.inference import backends as backends_module
from leukoscope.inference.backends import Backend, known_backends, make_backend, named_backend, what_ran
from leukoscope.inference.predictor import Predictor
from leukoscope.inference.views import run_views

NAMES = known_backends().names()
CLOSE = 1e-4
"""How far probabilities of two backends may be apart."""


def make(bundle: Bundle, name: str, *, threads: int = 0) -> Backend:
    """The backend, where it is installed."""
    package = known_backends().get(name).package
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return make_backend(bundle, name, threads=threads)


def probabilities(bundle: Bundle, logits: np.ndarray) -> np.ndarray:
    info = bundle.info
    return blast_probability(info.calibration.apply(logits), info.classes, info.positive_classes)


@pytest.fixture(scope="module")
def small(tmp_path_factory, tiny_bundle) -> Bundle:
    """A small network, exported from torch, with random weights that tell cells well apart."""
    torch = pytest.importorskip("torch")
    from leukoscope.models.create import create_model
    from leukoscope.models.export import to_onnx

    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = create_model("leukoscope-s", size=32).eval()
        with torch.no_grad():
            network.head.linear.weight.normal_(std=0.5)
    original = open_bundle(tiny_bundle)
    changes = {
        "architecture": Architecture(name="leukoscope-s", arguments={"num_classes": 2}),
        "preprocess": Preprocess(size=32),
        "novelty": None,
    }
    path = write_bundle(
        tmp_path_factory.mktemp("small") / "small.leuko",
        original.info.model_copy(update=changes),
        onnx=to_onnx(network, 32),
        subjects=original.subjects,
        weights={key: value.numpy() for key, value in network.state_dict().items()},
    )
    return open_bundle(path)


@pytest.fixture(params=["starter", "small"])
def bundle(request) -> Bundle:
    return open_bundle("starter") if request.param == "starter" else request.getfixturevalue("small")


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def load() -> Callable[[Bundle, str], Backend]:
    """``load(bundle, name)``: made once for all tests, since a run leaves nothing that another could see."""
    made: dict[tuple[str, str], Backend] = {}

    def loaded(bundle: Bundle, name: str) -> Backend:
        key = (bundle.bundle_id, name)
        if key not in made:
            made[key] = make(bundle, name)
        return made[key]

    return loaded


@pytest.fixture
def backend(bundle, name, load) -> Backend:
    return load(bundle, name)


@pytest.fixture(scope="module")
def drawn(tiny_cohort) -> list[np.ndarray]:
    """Some drawn cells."""
    from leukoscope.cells.decode import decode

    return [decode(file) for file in sorted(tiny_cohort.rglob("*.bmp"))[:26]]


@pytest.fixture
def cells(bundle, drawn) -> np.ndarray:
    """The drawn cells as the bundle sees them, and some noise."""
    side = bundle.info.preprocess.size
    noise = np.random.default_rng(0).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    return np.concatenate([np.stack([bundle.info.preprocess.apply(cell) for cell in drawn]), noise])


def test_every_file_of_a_backend_is_in_the_registry():
    files = Path(backends_module.__file__).parent.glob("*_backend.py")
    registered = {getattr(known_backends().get(name), "__module__", "") for name in NAMES}
    assert {f"leukoscope.inference.{file.stem}" for file in files} == registered
    assert backends_module.DEFAULT_BACKEND in NAMES


def test_it_says_what_it_is(backend, name):
    assert backend.name == name
    assert backend.version.startswith(sys.modules[known_backends().get(name).package].__version__[:4])
    assert named_backend(what_ran(backend)) == name


@pytest.mark.parametrize("other", ["onnxruntime", "torch"])
def test_probabilities_and_decisions_are_those_of_the_others(bundle, backend, cells, load, other):
    ours, theirs = backend.run(cells), load(bundle, other).run(cells)
    assert ours.logits.dtype == ours.embedding.dtype == np.float32
    p, q = (probabilities(bundle, outputs.logits) for outputs in (ours, theirs))
    np.testing.assert_allclose(p, q, atol=CLOSE)
    # The starter is sure of drawn cells, and near 0 and 1 anything agrees: also about the middle.
    middle = np.median(theirs.logits, axis=0)
    p, q = (probabilities(bundle, outputs.logits - middle) for outputs in (ours, theirs))
    assert q.std() > 0.1
    np.testing.assert_allclose(p, q, atol=CLOSE)
    scale = np.abs(theirs.embedding).max()
    np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-4 * max(scale, 1))
    assert (ours.cam is None) == (theirs.cam is None)
    if ours.cam is not None and theirs.cam is not None:
        np.testing.assert_allclose(ours.cam, theirs.cam, atol=1e-4 * max(np.abs(theirs.cam).max(), 1))
    for point in (bundle.info.operating_points[0], on_two_cells(q)):
        close = np.minimum(abs(q - point.normal_below), abs(q - point.blast_from)) <= CLOSE
        assert not ((point.decide(p) != point.decide(q)) & ~close).any()
    assert close.sum() >= 2, "rounding may decide there"


def on_two_cells(q: np.ndarray) -> OperatingPoint:
    """Thresholds on two cells' probabilities, where rounding may decide."""
    low, high = np.quantile(q, [0.3, 0.7], method="nearest")
    fields = {"name": "on two cells", "criterion": "youden", "target": None, "fitted_on": "nobody"}
    return OperatingPoint(**fields, normal_below=float(low), blast_from=float(high))


def test_company_order_and_batch_size_change_nothing(bundle, backend, cells):
    whole = probabilities(bundle, backend.run(cells).logits)
    order = np.random.default_rng(1).permutation(len(cells))
    shuffled = np.empty_like(whole)
    shuffled[order] = probabilities(bundle, backend.run(cells[order]).logits)
    np.testing.assert_allclose(shuffled, whole, atol=1e-5)
    for size in (1, 7, 17):
        parts = [backend.run(cells[start : min(start + size, 20)]).logits for start in range(0, 20, size)]
        np.testing.assert_allclose(probabilities(bundle, np.concatenate(parts)), whole[:20], atol=1e-5)


def test_the_same_batch_gives_the_same_bits(backend, cells):
    first, second = backend.run(cells), backend.run(cells)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True) if a is not None)


def test_what_was_given_back_stays(backend, cells):
    """A runtime may lend out its own memory, which the next run overwrites."""
    outputs = backend.run(cells[:16])
    kept = [None if values is None else values.copy() for values in outputs]
    backend.run(cells[16:32])
    assert all(np.array_equal(a, b) for a, b in zip(outputs, kept, strict=True) if a is not None)


def test_memory_in_any_order_will_do(backend, cells):
    expected = backend.run(np.ascontiguousarray(cells[::2, :, ::-1])).logits
    np.testing.assert_allclose(backend.run(cells[::2, :, ::-1]).logits, expected, atol=1e-5)
    np.testing.assert_allclose(
        backend.run(np.asfortranarray(cells)[::2, :, ::-1]).logits, expected, atol=1e-5
    )
    frozen = cells.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(backend.run(frozen).logits, backend.run(cells).logits)


def test_what_is_no_batch_of_cells_is_refused(backend, cells):
    for wrong in (cells[:0], cells[0], cells.astype(np.float32), cells[:, :-1], cells[..., :1]):
        with pytest.raises(UsageError, match="expected cells of uint8"):
            backend.run(wrong)


def test_eight_views_are_those_of_the_others(bundle, backend, cells, load):
    ours = run_views(backend, cells[:6], 8)
    theirs = run_views(load(bundle, "onnxruntime"), cells[:6], 8)
    np.testing.assert_allclose(
        probabilities(bundle, ours.logits), probabilities(bundle, theirs.logits), atol=CLOSE
    )


def test_the_number_of_threads_changes_no_answer(bundle, name, backend, cells):
    many, one = backend.run(cells), make(bundle, name, threads=1).run(cells)
    np.testing.assert_allclose(
        probabilities(bundle, many.logits), probabilities(bundle, one.logits), atol=1e-5
    )


def test_several_threads_may_ask_at_once(backend, cells):
    alone = [backend.run(cells[start : start + 5]).logits for start in range(8)]

    def ask(start: int) -> np.ndarray:
        return [backend.run(cells[start : start + 5]).logits for _ in range(3)][-1]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(8)))
    np.testing.assert_allclose(np.concatenate(together), np.concatenate(alone), atol=1e-5)


AT_ONCE = """
import sys, threading
import numpy as np
from leukoscope.bundle.read import open_bundle
from leukoscope.inference.backends import make_backend

bundle, name = open_bundle(sys.argv[1]), sys.argv[2]
side = bundle.info.preprocess.size
made = [make_backend(bundle, name) for _ in range(2)]
start, cells = threading.Barrier(6), np.zeros((20, side, side, 3), np.uint8)

def ask(backend):
    start.wait()
    for _ in range(5):
        backend.run(cells)

threads = [threading.Thread(target=ask, args=(made[place % 2],)) for place in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.parametrize("runtime", [name for name in NAMES if known_backends().get(name).runs_graph])
def test_the_first_runs_may_come_all_at_once(small, load, runtime):
    """In a process of its own: what a runtime sets up in its first run, it does once."""
    load(small, runtime)
    words = [sys.executable, "-c", AT_ONCE, str(small.path), runtime]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    assert ran.stdout == "done\n"


@pytest.mark.parametrize("threads", [0, 1])
def test_it_leaves_the_process_as_it_was(bundle, name, cells, threads):
    """Whoever trains in the same process gets the processors and the threads that it had, at any moment."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    backend = make(bundle, name, threads=threads)
    caller, seen, ready = threading.get_native_id(), set(), threading.Event()

    def watch() -> None:
        while not ready.wait(0.0005):
            seen.add(frozenset(os.sched_getaffinity(caller)) if hasattr(os, "sched_getaffinity") else None)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            backend.run(cells)
    finally:
        ready.set()
        watcher.join()
    assert len(seen) == 1
    assert (torch.get_num_threads() if torch else None) == before


def test_a_predictor_gives_the_same_rows(bundle, name, drawn):
    make(bundle, name)
    ours = Predictor(bundle, backend=name).predict(drawn).frame
    theirs = Predictor(bundle, backend="onnxruntime").predict(drawn).frame
    for column in ("blast_probability", "raw_probability"):
        np.testing.assert_allclose(ours[column], theirs[column], atol=CLOSE)
    np.testing.assert_allclose(ours["novelty"].fill_null(0), theirs["novelty"].fill_null(0), rtol=1e-3)
    assert ours["decision"].equals(theirs["decision"])
