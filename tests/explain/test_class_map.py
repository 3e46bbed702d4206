"""Class maps say what torch says, add up to the answer, and show the place that a model reads."""

from __future__ import annotations

import numpy as np
import pytest

from leukoscope.bundle.read import open_bundle
from leukoscope.errors import UsageError
from leukoscope.explain.evidence import log_odds, positive
from leukoscope.explain.foreground import plain
from leukoscope.explain.methods import make_method, over_views
from leukoscope.inference.backends import make_backend
from leukoscope.inference.views import dihedral, run_views, upright


def made(path, name="cam"):
    bundle = open_bundle(path)
    backend = make_backend(bundle)
    method, why = make_method(bundle, backend, name)
    return method, why, backend, positive(bundle.info)


def test_it_is_what_torch_works_out_of_weights_and_maps(network_bundle, cells_of):
    import torch

    path, network = network_bundle
    cells = cells_of(4)
    with torch.no_grad():
        pixels = torch.from_numpy(np.concatenate([cells, plain(cells)])).permute(0, 3, 1, 2).float()
        features = network.encode(pixels)
        norm, linear = network.head.norm, network.head.linear
        standard = (features - norm.running_mean[:, None, None]) / (norm.running_var + norm.eps)[
            :, None, None
        ] ** 0.5
        weight = ((linear.weight[1] - linear.weight[0]) * network.head.gains)[:, None, None]
        places = (standard * weight).sum(1)
    expected = (places[:4] - places[4:]) / places[0].numel()
    np.testing.assert_allclose(made(path)[0].mapper(cells), expected, atol=1e-4)


def test_it_adds_up_to_the_answer_less_that_of_the_plain_cell(network_bundle, cells_of):
    method, _, backend, sides = made(network_bundle[0])
    cells = cells_of(6, seed=1)
    for views in (1, 8):
        whole, without = (
            log_odds(run_views(backend, some, views).logits, sides) for some in (cells, plain(cells))
        )
        maps = over_views(method.mapper, cells, views)
        np.testing.assert_allclose(maps.sum((1, 2)), whole - without, atol=1e-3)


def test_it_shows_the_place_that_the_model_reads(spot_bundle, cells_of):
    cells = cells_of(3)
    maps = made(spot_bundle)[0].mapper(cells)
    spot = np.zeros((8, 8))
    spot[3:5, 4:6] = 1
    assert ((maps != 0) == spot.astype(bool)).all()
    brightness = (cells.astype(float) - plain(cells)).mean(3) / 255
    expected = brightness[:, 12:16, 16:20].sum((1, 2)) * 400 / 32**2
    np.testing.assert_allclose(maps[:, 3, 4], expected, rtol=1e-3, atol=1e-5)


def test_several_classes_are_weighed_by_their_share(with_graph, graph_of, tmp_path, cells_of):
    changes = {"classes": ("a", "b", "c"), "positive_classes": ("b", "c"), "calibration": {}}
    from leukoscope.evaluation.calibration import Calibration

    path = with_graph(
        tmp_path / "three.leuko", graph_of(classes=3), **changes | {"calibration": Calibration()}
    )
    method, _, backend, _ = made(path)
    cells = cells_of(3)
    z = backend.run(cells).logits[:, 2]
    share = np.exp(z) / (1 + np.exp(z))  # of class c in b (logit 0) and c
    binary = made(with_graph(tmp_path / "two.leuko", graph_of()))[0].mapper(cells)
    np.testing.assert_allclose(method.mapper(cells), binary * share[:, None, None], rtol=1e-4)


@pytest.mark.parametrize("view", range(8))
def test_with_eight_views_a_turned_cell_has_the_turned_map(network_bundle, cells_of, view):
    mapper, cells = made(network_bundle[0])[0].mapper, cells_of(2)
    turned = list(dihedral(cells))[view]
    found = upright(over_views(mapper, turned, 8), view)
    np.testing.assert_allclose(found, over_views(mapper, cells, 8), atol=1e-4)
    assert np.abs(over_views(mapper, turned, 8) - found).max() > 1e-3 or view == 0


def test_a_bundle_without_one_is_told_what_to_do(tiny_bundle, spot_bundle):
    with pytest.raises(UsageError, match="has no class map") as caught:
        made(tiny_bundle)
    assert "occlusion" in caught.value.hint
    assert made(tiny_bundle, "auto")[0].name == "occlusion"
    assert made(spot_bundle, "auto")[:2][1] == "the bundle has a class map"
    with pytest.raises(UsageError, match="unknown method 'kam'"):
        made(tiny_bundle, "kam")
