"""What the tests of every room share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

# Some tests import onnxruntime themselves: it tells nobody what it runs, and leaves the home folder alone.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# How long an example takes says how busy the machine is, not whether the law holds.
settings.register_profile("leukoscope", deadline=None)
settings.load_profile("leukoscope")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests keep for later, they keep away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKOSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real C-NMC cells (it holds ``C-NMC_Leukemia``); skips where there is none."""
    named = os.environ.get("LEUKOSCOPE_REAL_DATA", "")
    if not named:
        pytest.skip("LEUKOSCOPE_REAL_DATA names no folder of real cells")
    folder = Path(named)
    if not (folder / "C-NMC_Leukemia").is_dir():
        pytest.fail(f"LEUKOSCOPE_REAL_DATA={named}: expected a folder that holds C-NMC_Leukemia")
    return folder


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic cohort of 8 subjects with 6 cells each and 5 unlabelled ones. Never write into it."""
    from leukoscope.cohort.synth import synthesize

    return synthesize(
        tmp_path_factory.mktemp("cohort") / "tiny", subjects=8, cells_per_subject=6, unlabelled=5, seed=7
    )


@pytest.fixture(scope="session")
def tiny_split(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny cohort, split by ``official``. Never write into it."""
    from leukoscope.cohort.index import index
    from leukoscope.cohort.splits import split

    path = tmp_path_factory.mktemp("split") / "split.parquet"
    return split(index(tiny_cohort), protocol="official").write(path)


TINY_SIZE = 32


def tiny_graph() -> bytes:
    """A model small enough to be worked out by hand: brighter upper left corners are less like blasts.

    ``embedding`` is the mean colour (0..1) under a ramp that falls from the upper left to the lower right, so
    that turning a cell matters; ``logits`` is that times a matrix, plus a bias.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    ramp = np.linspace(2, 0, TINY_SIZE)[:, None] * np.linspace(1, 0.5, TINY_SIZE)[None, :]
    constants = {
        "ramp": (ramp[..., None] / 255).astype(np.float32),
        "weights": np.array([[4, -4], [1, -1], [-2, 2]], np.float32),
        "bias": np.array([-0.2, 0.2], np.float32),
        "axes": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["cells"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "ramp"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted", "axes"], ["embedding"], keepdims=0),
        helper.make_node("Gemm", ["embedding", "weights", "bias"], ["logits"]),
    ]
    side = TINY_SIZE
    inputs = [helper.make_tensor_value_info("cells", TensorProto.UINT8, ["batch", side, side, 3])]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Path]:
    """``make_bundle(path, private=False, **fields)`` writes a tiny bundle with these fields of its info.

    ``onnx``, ``embeddings`` and ``references`` take the place of the tiny graph and of its references."""
    import numpy as np
    import polars as pl

    from leukoscope.bundle.format import Architecture, BundleInfo, NoveltyLimit
    from leukoscope.bundle.write import write_bundle
    from leukoscope.cells.preprocess import Preprocess
    from leukoscope.evaluation.calibration import Calibration
    from leukoscope.evaluation.operating_points import OperatingPoint
    from leukoscope.evaluation.ruler import Ruler

    def make(path: Path, *, private: bool = False, **changes: Any) -> Path:
        onnx, embeddings = changes.pop("onnx", None), changes.pop("embeddings", np.eye(3, dtype=np.float32))
        references = changes.pop("references", None)
        point = {"criterion": "sensitivity at least", "target": 0.95, "normal_below": 0.4, "blast_from": 0.6}
        fields: dict[str, Any] = {
            "name": "tiny",
            "created_at": "2026-01-01T00:00:00+00:00",
            "architecture": Architecture(name="tiny"),
            "classes": ("normal", "blast"),
            "positive_classes": ("blast",),
            "preprocess": Preprocess(field=384, size=TINY_SIZE),
            "calibration": Calibration(temperature=2.0, subjects="nobody"),
            "operating_points": (OperatingPoint(name="sensitivity-0.95", fitted_on="nobody", **point),),
            "novelty": NoveltyLimit(distance=1.5, k=2),
            "ruler": Ruler(
                features=("log_area", "log_aspect"),
                mean=(10.5, 0.0),
                scale=(0.4, 0.1),
                coefficients=(1.2, 0.1),
                intercept=0.3,
            ),
        }
        rows = {"subject_id": ["1", "1", "H2"], "sha256": ["a" * 64, "b" * 64, "c" * 64]}
        info = BundleInfo(**fields | changes)
        return write_bundle(
            path,
            info,
            onnx=onnx or tiny_graph(),
            subjects=pl.DataFrame(rows | {"role": ["train", "validation", "calibration"]}),
            novelty=None if info.novelty is None else embeddings,
            references=references,
            private=private,
        )

    return make


@pytest.fixture(scope="session")
def tiny_bundle(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that answers without being trained. Never write into it."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny.leuko")


def fire_graph(weights: Any = None) -> bytes:
    """A small network as NNCF meets them: convolutions, one fire module, pooling, one linear layer.

    It weighs the mean of 8 maps; with ``weights`` (8,) the logits are (0, weights . embedding).
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng, side = np.random.default_rng(5), TINY_SIZE
    last = np.zeros((8, 2), np.float32)
    if weights is not None:
        last[:, 1] = weights
    constants = {
        "unit": np.array(1 / 255, np.float32),
        "stem": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "squeeze": rng.normal(0, 0.4, (6, 8, 1, 1)).astype(np.float32),
        "narrow": rng.normal(0, 0.5, (4, 6, 1, 1)).astype(np.float32),
        "wide": rng.normal(0, 0.2, (4, 6, 3, 3)).astype(np.float32),
        "after": rng.normal(0, 0.5, (8, 8, 1, 1)).astype(np.float32),
        "axes": np.array([2, 3], np.int64),
        "last": last,
        "bias": np.zeros(2, np.float32),
    }
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Transpose", ["cells"], "turned", {"perm": [0, 3, 1, 2]}),
        ("Cast", ["turned"], "floats", {"to": TensorProto.FLOAT}),
        ("Mul", ["floats", "unit"], "pixels", {}),
        ("Conv", ["pixels", "stem"], "a", same),
        ("Relu", ["a"], "b", {}),
        ("MaxPool", ["b"], "c", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["c", "squeeze"], "d", {}),
        ("Relu", ["d"], "e", {}),
        ("Conv", ["e", "narrow"], "f", {}),
        ("Conv", ["e", "wide"], "g", same),
        ("Concat", ["f", "g"], "h", {"axis": 1}),
        ("Relu", ["h"], "i", {}),
        ("Conv", ["i", "after"], "j", {}),
        ("Relu", ["j"], "k", {}),
        ("ReduceMean", ["k", "axes"], "embedding", {"keepdims": 0}),
        ("Gemm", ["embedding", "last", "bias"], "logits", {}),
    ]
    nodes = [helper.make_node(kind, into, [out], f"{kind} {out}", **more) for kind, into, out, more in steps]
    inputs = [helper.make_tensor_value_info("cells", TensorProto.UINT8, ["batch", side, side, 3])]
    shapes = {"logits": 2, "embedding": 8}
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in shapes.items()
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "fire", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


class Int8Case(NamedTuple):
    """A bundle of 32 bits that tells drawn cells apart, and labelled cells of people it has not met."""

    bundle: Path
    cells: Path


@pytest.fixture(scope="session")
def int8_case(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Int8Case:
    """What an int8 bundle is made of in seconds. Never write into it."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from leukoscope.bundle.read import open_bundle
    from leukoscope.cohort.index import index
    from leukoscope.cohort.synth import synthesize
    from leukoscope.inference.inputs import resolve
    from leukoscope.inference.predictor import Predictor

    folder = tmp_path_factory.mktemp("int8")
    people = synthesize(folder / "people", subjects=12, cells_per_subject=12, unlabelled=4, seed=2)
    cells = index(people)
    known = cells.frame["label"].is_not_null()
    predictor = Predictor(open_bundle(make_bundle(folder / "blank.leuko", onnx=fire_graph(), novelty=None)))
    judged = [predictor.judge(batch) for batch in predictor.batches(resolve(cells))]
    found = np.concatenate([one.outputs.embedding for one in judged if one.outputs])[known.to_numpy()]
    spread = found.std(axis=0)
    fitted = LogisticRegression(C=0.1).fit(found / spread, cells.labels[known.to_numpy()])
    references = cells.frame.filter(known).head(16).select("sha256", "subject_id", "label")
    bundle = make_bundle(
        folder / "fire.leuko",
        onnx=fire_graph(fitted.coef_[0] / spread),
        references=references,
        embeddings=found[:16],
    )
    return Int8Case(bundle, cells.write(folder / "cells.parquet"))


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Callable[[], None]]:
    """``breaking(n)``: the rows of the n-th batch from now on are not made, since the user stops the run."""

    from leukoscope.inference import predictor

    def at(number: int) -> Callable[[], None]:
        make_rows = predictor.make_rows
        left = [number]

        def make_some(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return make_rows(*arguments, **named)

        monkeypatch.setattr(predictor, "make_rows", make_some)
        return lambda: monkeypatch.setattr(predictor, "make_rows", make_rows)

    return at
