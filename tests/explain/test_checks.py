"""The checks find what they are there to find: a right map, a blind one, a model that is deaf."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from leukoscope.bundle.read import open_bundle
from leukoscope.explain.checks import (
    Sample,
    check,
    gains,
    order_of,
    rank_correlation,
    share_on_cell,
)
from leukoscope.explain.evidence import evidence_of
from leukoscope.explain.foreground import foreground
from leukoscope.explain.methods import Method, make_method
from leukoscope.inference.backends import make_backend
from leukoscope.inference.views import dihedral, upright

whole_numbers = arrays(np.float32, (4, 5), elements=st.integers(-3, 3).map(float))


def checked(path, cells, name="auto"):
    bundle = open_bundle(path)
    backend = make_backend(bundle)
    method = make_method(bundle, backend, name)[0]
    sample = Sample(cells, method.mapper(cells) if len(cells) else np.empty((0, 8, 8), np.float32))
    found = check(method, evidence_of(backend, bundle.info, 1), sample, views=1)
    return {one.name: one for one in found}


@pytest.mark.parametrize("name", ["cam", "occlusion"])
def test_a_map_of_the_place_that_matters_passes(spot_bundle, cells_of, name):
    cells = cells_of(6)
    cells[:, 12:20, 16:24] = 255  # the spot is bright, so that blurring takes something away
    found = checked(spot_bundle, cells, name)
    for question in ("deletion", "deletion to black", "insertion"):
        assert found[question].holds is True
        assert found[question].figures["num_better"] >= 5
        assert found[question].figures["mean_gain"] > 0.1
    assert found["share on the cell"].holds is True
    assert found["share on the cell"].figures["mean_share"] > 0.9


def test_a_map_of_another_place_fails(spot_bundle, cells_of):
    cells, bundle = cells_of(6), open_bundle(spot_bundle)
    backend = make_backend(bundle)
    elsewhere = np.zeros((6, 8, 8), np.float32)
    elsewhere[:, 0, 0] = 1
    elsewhere[:, 3:5, 4:6] = -1
    method = Method(
        "blind", "blind", "", "", lambda some: elsewhere[: len(some)], lambda _seed: lambda _: elsewhere
    )
    found = check(method, evidence_of(backend, bundle.info, 1), Sample(cells, elsewhere), views=1)
    holds = {one.name: one.holds for one in found}
    assert holds["deletion"] is holds["insertion"] is False
    assert holds["randomised weights"] is False  # the same map whatever the network has learned


def test_a_model_that_always_says_the_same_is_found_out(with_graph, graph_of, tmp_path, cells_of):
    path = with_graph(tmp_path / "deaf.leuko", graph_of(strength=0.0))
    for name in ("cam", "occlusion"):
        found = checked(path, cells_of(3), name)
        assert found["deletion"].holds is found["insertion"].holds is None
        assert "the same whatever is taken away" in found["deletion"].answer
        assert found["share on the cell"].holds is None and "empty" in found["share on the cell"].answer
        assert found["randomised weights"].holds is None


def test_without_onnx_the_weights_are_said_to_be_unchecked(spot_bundle, cells_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    found = checked(spot_bundle, cells_of(2))["randomised weights"]
    assert found.holds is None
    assert "Not checked" in found.answer and "leukoscope[explain]" in found.answer


def test_a_map_that_adds_up_is_told_from_one_that_does_not(network_bundle, cells_of):
    bundle, cells = open_bundle(network_bundle[0]), cells_of(3)
    backend = make_backend(bundle)
    method, evidence = make_method(bundle, backend, "cam")[0], evidence_of(backend, bundle.info, 1)
    maps = method.mapper(cells)
    for factor, holds in ((1.0, True), (1.5, False)):
        found = check(method, evidence, Sample(cells, maps * np.float32(factor)), views=1)[-1]
        assert found.name == "sum of the map" and found.holds is holds
        lacking = abs(factor - 1) * found.figures["mean_difference"]
        assert found.figures["mean_gap"] == pytest.approx(lacking, abs=1e-3)


def test_nothing_to_check_is_no_check(spot_bundle):
    assert checked(spot_bundle, np.empty((0, 32, 32, 3), np.uint8)) == {}


@given(whole_numbers, whole_numbers)
def test_rank_correlation_is_scipy_s(first, second):
    value = rank_correlation(first, second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert value is None
    else:
        assert value == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic, abs=1e-9)


def test_gains_are_those_of_curves_drawn_by_hand(cells_of):
    cell = cells_of(1)[0]
    mask = foreground(cell)
    ramp = np.arange(64, dtype=np.float32).reshape(8, 8)

    def upper_half(pictures):
        return pictures[:, :16].astype(np.float64).sum((1, 2, 3)) / 1e4

    def blackened(order):
        values = []
        for step in range(5):
            picture = cell.copy().reshape(-1, 3)
            picture[order[: len(order) * step // 4]] = 0
            values.append(upper_half(picture.reshape(1, *cell.shape))[0])
        return np.trapezoid(values) / 4

    found = gains(upper_half, cell, ramp, mask, rng=np.random.default_rng(0), orders=1, steps=4)
    on_cell = cv2.resize(mask.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA) > 0
    mixed = ramp.copy()
    mixed[on_cell] = np.random.default_rng(0).permutation(ramp[on_cell])
    by_hand = blackened(order_of(mixed, mask)) - blackened(order_of(ramp, mask))
    assert found[1] == pytest.approx(by_hand) and found[1] < 0  # the ramp begins below, where nothing counts
    best = gains(upper_half, cell, -ramp, mask, rng=np.random.default_rng(0), orders=1, steps=4)
    assert best[1] > 0


def test_the_order_begins_where_the_map_is_highest_and_stays_on_the_cell(cells_of):
    cell = cells_of(1)[0]
    mask = foreground(cell)
    ramp = np.tile(np.arange(32, dtype=np.float32), (32, 1))
    order = order_of(ramp, mask)
    assert sorted(order) == list(np.flatnonzero(mask))
    assert (np.diff(order % 32) <= 0).all()


def test_the_share_on_the_cell_by_hand():
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    found = np.array([[1, -2], [3, 0]], np.float32)
    assert share_on_cell(found, mask) == pytest.approx(0.5)
    mask[4:6] = True  # half of the lower places
    assert share_on_cell(found, mask) == pytest.approx((1 + 2 + 1.5) / 6)
    assert share_on_cell(np.zeros((2, 2), np.float32), mask) is None


def test_pictures_without_a_cell_on_black_are_all_foreground():
    assert foreground(np.full((8, 8, 3), 90, np.uint8)).all()
    assert not foreground(np.zeros((8, 8, 3), np.uint8)).any()


@given(st.integers(0, 7), st.integers(0, 50))
def test_a_turned_cell_has_the_turned_foreground(view, seed):
    noise = np.random.default_rng(seed).integers(0, 60, (1, 24, 24, 3), dtype=np.uint8)
    noise[:, :4] = noise[:, :, :4] = 0
    turned = list(dihedral(noise))[view]
    assert (upright(foreground(turned[0])[None], view)[0] == foreground(noise[0])).all()
