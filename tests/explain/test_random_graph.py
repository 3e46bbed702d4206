"""A shuffled graph keeps its numbers and forgets what they were for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukoscope.bundle.format import MODEL_DATA
from leukoscope.bundle.read import open_bundle
from leukoscope.errors import UsageError
from leukoscope.explain.random_graph import LAYERS, random_backend, shuffled
from leukoscope.inference.backends import make_backend

onnx = pytest.importorskip("onnx")


def tensors(graph):
    model = onnx.load_from_string(graph)
    used = {name for node in model.graph.node if node.op_type in LAYERS for name in node.input}
    return {one.name: (onnx.numpy_helper.to_array(one), one.name in used) for one in model.graph.initializer}


def test_numbers_stay_and_change_places(network_bundle):
    graph = open_bundle(network_bundle[0]).onnx
    before, after = tensors(graph), tensors(shuffled(graph, 0))
    assert before.keys() == after.keys()
    moved = 0
    for name, (values, is_weight) in before.items():
        assert np.array_equal(np.sort(values, axis=None), np.sort(after[name][0], axis=None))
        changed = not np.array_equal(values, after[name][0])
        moved += changed
        assert not changed or is_weight
    assert moved > 20


def test_the_answer_is_another_and_the_same_every_time(network_bundle, cells_of):
    bundle, cells = open_bundle(network_bundle[0]), cells_of(2)
    ours = make_backend(bundle).run(cells)
    first, again, other = (random_backend(bundle, seed).run(cells) for seed in (0, 0, 1))
    assert np.array_equal(first.cam, again.cam)
    assert np.isfinite(first.cam).all() and not np.allclose(first.cam, other.cam)
    assert not np.allclose(first.cam, ours.cam) and not np.allclose(first.logits, ours.logits)


def test_tensors_in_a_file_of_their_own_are_not_shuffled(tiny_bundle):
    bundle = open_bundle(tiny_bundle)
    large = replace(bundle, info=bundle.info.model_copy(update={"files": {MODEL_DATA: "0" * 64}}))
    with pytest.raises(UsageError, match="file of their own"):
        random_backend(large, 0)
