"""An int8 bundle: what it holds, what it cost, and when there is none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from leukoscope.bundle.export import export_bundle
from leukoscope.bundle.format import MODEL_DATA, REFERENCES
from leukoscope.bundle.read import open_bundle, verify_bundle
from leukoscope.cohort.manifest import Manifest
from leukoscope.errors import BundleError, MissingExtraError, UsageError
from leukoscope.evaluation.evaluate import evaluate
from leukoscope.evaluation.metrics import auroc
from leukoscope.evaluation.quantisation import Budget
from leukoscope.evaluation.report import render
from leukoscope.explain.random_graph import shuffled
from leukoscope.inference import int8, quantise
from leukoscope.inference.backends import make_backend
from leukoscope.inference.inputs import resolve
from leukoscope.inference.int8 import export_int8
from leukoscope.inference.int8_people import known_roles, share_out
from leukoscope.inference.predictor import Predictor

onnx = pytest.importorskip("onnx")
pytest.importorskip("nncf")

LOOSE = Budget(decisions=0.2, auroc=0.05)
"""For a small network with few cells, on any processor."""


@pytest.fixture(scope="module")
def made(int8_case, tmp_path_factory):
    """An int8 bundle, open, and what was measured."""
    out = tmp_path_factory.mktemp("made") / "int8.leuko"
    path, found = export_int8(int8_case.bundle, int8_case.cells, out, budget=LOOSE)
    assert path == out and found.holds
    return open_bundle(path), found


@pytest.fixture(scope="module")
def people(int8_case):
    cells = Manifest.read(int8_case.cells)
    return share_out(cells, known_roles(open_bundle(int8_case.bundle), cells.frame))


@pytest.fixture
def spoilt(monkeypatch):
    """Quantising gives a graph that answers at random; the names of the ways that were tried."""
    tried = []

    def quantise(graph, cells, way):
        tried.append(way.name)
        model = onnx.load_from_string(graph)
        for tensor in model.graph.initializer:
            if tensor.name == "last":
                values = onnx.numpy_helper.to_array(tensor)[::-1]
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), "last"))
        return model.SerializeToString()

    monkeypatch.setattr(int8, "quantise", quantise)
    return tried


class TestWhatItHolds:
    def test_it_is_whole_and_runs_in_8_bits(self, made):
        bundle, _ = made
        assert verify_bundle(bundle.path).holds
        model = onnx.load_from_string(bundle.onnx)
        kinds = [node.op_type for node in model.graph.node]
        assert kinds.count("QuantizeLinear") >= 4 and "weights.safetensors" not in bundle.info.files
        weights = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
        steps = [onnx.numpy_helper.to_array(tensor) for tensor in weights]
        assert max(np.abs(values).max() for values in steps) <= 64, (
            "seven bits: no sum overflows without VNNI"
        )
        batch = model.graph.input[0].type.tensor_type.shape.dim[0]
        assert batch.dim_param == "batch" and not batch.dim_value

    def test_it_says_what_it_was_made_of(self, made, int8_case):
        bundle, found = made
        assert bundle.info.quantisation == found and bundle.info.schema_version == 2
        assert found.of_bundle == open_bundle(int8_case.bundle).bundle_id
        assert found.way == "plain" and found.given_up == () and "nncf" in found.versions
        assert bundle.info.training_data.synthetic, "its thresholds are fitted on drawn cells"
        card = bundle.card
        for words in ("## What 8 bits cost", found.of_bundle, "decisions changed", "who fitted nothing"):
            assert words in card

    def test_its_weights_can_be_shuffled(self, made):
        """So that a map is compared with that of a graph which knows nothing."""
        ours, other = (onnx.load_from_string(one).graph for one in (made[0].onnx, shuffled(made[0].onnx, 0)))
        moved = [
            one.name
            for one, two in zip(ours.initializer, other.initializer, strict=True)
            if one.data_type == onnx.TensorProto.INT8 and one.raw_data != two.raw_data
        ]
        layers = [node for node in ours.node if node.op_type == "Conv"]
        assert len(moved) == len(layers) == 5

    def test_everybody_who_fitted_it_is_named_and_nobody_who_judged(self, made, people, int8_case):
        bundle, found = made
        rows = bundle.subjects
        assert rows.head(3).equals(open_bundle(int8_case.bundle).subjects)
        fresh = rows[3:]
        assert set(fresh["role"]) == {"calibration"} and fresh.is_unique().all()
        assert set(people.fitting.frame["subject_id"]) <= set(fresh["subject_id"])
        assert not bundle.overlap(people.judging.frame["subject_id"], people.judging.frame["sha256"])
        assert found.num_fitting_cells == len(people.fitting)

    def test_references_are_read_by_the_graph_that_is_there(self, made, int8_case):
        bundle, found = made
        assert found.references == "recomputed"
        cells = Manifest.read(int8_case.cells)
        order = bundle.references.select("sha256").join(
            cells.frame, on="sha256", how="left", maintain_order="left"
        )
        predictor = Predictor(bundle)
        judged = [predictor.judge(batch) for batch in predictor.batches(resolve(cells.with_frame(order)))]
        embedding = np.concatenate([one.outputs.embedding for one in judged])
        assert np.array_equal(bundle.novelty, embedding.astype(np.float16))
        assert open_bundle(int8_case.bundle).novelty.shape == bundle.novelty.shape


class TestWhatItCost:
    def test_is_what_the_two_bundles_say_of_the_judges(self, made, people, int8_case):
        bundle, found = made
        before, after = (Predictor(one).predict(people.judging) for one in (int8_case.bundle, bundle))
        measured = found.measured
        changed = before.frame["decision"] != after.frame["decision"]
        assert measured.changed_in_all.estimate == pytest.approx(changed.mean())
        assert measured.decisions_changed.estimate < measured.changed_in_all.estimate
        assert measured.decisions_changed.num_cells == len(people.judging)
        lost = auroc(before.y, before.p) - auroc(after.y, after.p)
        assert measured.differences["auroc"].difference == pytest.approx(lost, abs=1e-12)
        assert measured.num_novel == (after.frame["reason"] == "novel").sum()

    def test_stands_in_the_report_of_its_predictions(self, made, people):
        bundle, found = made
        table = Predictor(bundle).predict(people.judging)
        info = bundle.info.model_dump() | {"bundle_id": bundle.bundle_id}
        report = evaluate(table, bundle_info=info, train=bundle.subjects, draws=20)
        assert report.model.quantisation == found
        assert not report.leak.found
        page = render(report, {})
        assert "What 8 bits cost" in page and found.of_bundle in page
        other = evaluate(table, bundle_info=info | {"bundle_id": "0" * 16}, draws=0)
        assert "What 8 bits cost" not in render(other, {}), "the rows are another bundle's"

    def test_beyond_the_budget_nothing_is_written(self, int8_case, tmp_path, spoilt):
        path, found = export_int8(int8_case.bundle, int8_case.cells, tmp_path / "no.leuko")
        assert path is None and not found.holds and list(tmp_path.iterdir()) == []
        assert spoilt == [way.name for way in quantise.WAYS], "all ways were tried"
        assert set(found.given_up) | {found.way} == set(spoilt)
        assert found.measured.differences["auroc"].difference > found.budget.auroc

    def test_a_wider_budget_lets_it_pass_at_once(self, int8_case, tmp_path, spoilt):
        wide = Budget(decisions=1, auroc=1)
        path, found = export_int8(int8_case.bundle, int8_case.cells, tmp_path / "yes.leuko", budget=wide)
        assert path is not None and found.holds and spoilt == ["plain"]


class TestPrivate:
    def test_names_nobody_and_still_finds_who_fitted(self, int8_case, people, tmp_path, spoilt):
        wide = Budget(decisions=1, auroc=1)
        path, _ = export_int8(
            int8_case.bundle, int8_case.cells, tmp_path / "p.zip", budget=wide, private=True
        )
        bundle = open_bundle(path)
        fitting = people.fitting.frame["subject_id"].unique(maintain_order=True).to_list()
        assert bundle.info.privacy.hashed and not set(fitting) & set(bundle.subjects["subject_id"])
        assert bundle.overlap(fitting, []).subjects == tuple(fitting)

    def test_made_of_a_private_bundle_keeps_its_salt(self, int8_case, people, tmp_path, spoilt):
        private = open_bundle(export_bundle(int8_case.bundle, tmp_path / "private.leuko", private=True))
        wide = Budget(decisions=1, auroc=1)
        path, found = export_int8(private, int8_case.cells, tmp_path / "p.leuko", budget=wide)
        bundle = open_bundle(path)
        assert bundle.info.privacy == private.info.privacy and found.references == "recomputed"
        everybody = ["1", "H2", *people.fitting.frame["subject_id"].unique(maintain_order=True)]
        assert bundle.overlap(everybody, []).subjects == tuple(everybody)
        assert bundle.read(REFERENCES) and set(bundle.references["sha256"]) == set(
            private.references["sha256"]
        )


class TestRefused:
    def test_int8_of_int8(self, made, int8_case, tmp_path):
        with pytest.raises(UsageError, match="int8 already"):
            export_int8(made[0], int8_case.cells, tmp_path / "x.leuko")

    def test_tensors_in_a_file_of_their_own(self, int8_case, tmp_path):
        bundle = open_bundle(int8_case.bundle)
        large = bundle.info.model_copy(update={"files": bundle.info.files | {MODEL_DATA: "0" * 64}})
        with pytest.raises(UsageError, match="2 GB"):
            export_int8(replace(bundle, info=large), int8_case.cells, tmp_path / "x.leuko")

    def test_labels_that_the_bundle_does_not_know(self, make_bundle, int8_case, tmp_path):
        other = make_bundle(tmp_path / "m.leuko", classes=("benign", "pro-B"), positive_classes=("pro-B",))
        with pytest.raises(UsageError, match="label 'blast'"):
            export_int8(other, int8_case.cells, tmp_path / "x.leuko")

    def test_fewer_cells_than_the_budget_can_tell(self, int8_case, tmp_path):
        with pytest.raises(UsageError, match="too few"):
            export_int8(
                int8_case.bundle, int8_case.cells, tmp_path / "x.leuko", budget=Budget(decisions=1e-3)
            )

    def test_a_graph_without_layers(self, tiny_bundle, int8_case, tmp_path):
        with pytest.raises(BundleError, match="no layer"):
            export_int8(tiny_bundle, int8_case.cells, tmp_path / "x.leuko")
        assert list(tmp_path.iterdir()) == []

    def test_without_the_extra(self, int8_case, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "nncf", None)
        with pytest.raises(MissingExtraError, match="'int8'"):
            export_int8(int8_case.bundle, int8_case.cells, tmp_path / "x.leuko")

    def test_torch_would_run_another_model(self, made):
        pytest.importorskip("torch")
        with pytest.raises(BundleError, match="torch would run another model"):
            make_backend(made[0], "torch")


def test_both_runtimes_run_it_and_agree(made, people):
    openvino = pytest.importorskip("openvino")
    bundle, _ = made
    predictor = Predictor(bundle)
    cells = np.stack([cell.pixels for batch in predictor.batches(resolve(people.judging)) for cell in batch])
    ours = predictor.backend.run(cells)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(bundle.path / "model.onnx", "CPU", exact)
    theirs = model({"cells": cells})
    apply = bundle.info.calibration.apply
    assert np.abs(apply(ours.logits) - apply(theirs["logits"])).max() < 0.05
    alone = model({"cells": cells[:1]})["logits"]
    assert np.allclose(alone, theirs["logits"][:1], atol=1e-4)


def test_the_same_cells_give_the_same_bundle(made, int8_case, tmp_path):
    path, found = export_int8(int8_case.bundle, int8_case.cells, tmp_path / "again.leuko", budget=LOOSE)
    assert open_bundle(path).onnx == made[0].onnx and found == made[1]
    assert pl.DataFrame(open_bundle(path).subjects).equals(made[0].subjects)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["openvino"] = None
import numpy as np
from leukoscope.bundle.read import open_bundle
from leukoscope.inference.quantise import WAYS, quantise
cells = list(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
for way in WAYS:
    assert b"QuantizeLinear" in quantise(open_bundle(sys.argv[1]).onnx, cells, way), way
"""


@pytest.mark.slow
def test_every_way_works_without_torch_and_openvino(int8_case):
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(int8_case.bundle)], check=True)
