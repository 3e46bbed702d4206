"""Gradient maps against what can be worked out by hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from leukoscope.bundle.read import open_bundle
from leukoscope.errors import MissingExtraError, UsageError
from leukoscope.explain import gradients
from leukoscope.explain.evidence import log_odds
from leukoscope.explain.foreground import plain
from leukoscope.explain.methods import make_method
from leukoscope.inference.backends import make_backend

torch = pytest.importorskip("torch")
pytest.importorskip("captum")
SIDES = np.array([False, True])


class Said(NamedTuple):
    logits: torch.Tensor


class Toy(torch.nn.Module):
    """Two maps of 4 x 4 places by a convolution, their means, two logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.maps = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 8, stride=8), torch.nn.ReLU())
        self.linear = torch.nn.Linear(2, 2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[0.0, 0.5], [0.3, 0.1]]))

    def read(self, pixels):
        return Said(self.linear(self.maps(pixels / 255).mean((2, 3))))

    def forward(self, cells):
        return self.read(cells.permute(0, 3, 1, 2).float())


def test_grad_cam_is_its_formula(cells_of):
    toy, cells = Toy(), cells_of(5)
    with torch.no_grad():
        maps = toy.maps(torch.from_numpy(cells).permute(0, 3, 1, 2).float() / 255).numpy()
    slope = np.array([0.3, 0.1 - 0.5]) / 16  # of the log-odds with respect to each value of a map
    expected = np.zeros((5, 4, 4))
    for number, own in enumerate(maps):
        for channel, gradient in zip(own, slope, strict=True):
            alpha = gradient**2 / (2 * gradient**2 + gradient**3 * channel.sum())
            expected[number] += 16 * alpha * max(gradient, 0) * channel
    expected = np.maximum(expected, 0)
    expected /= np.maximum(expected.max((1, 2), keepdims=True), 1e-12)
    layer = gradients.last_layer(toy, 32)
    assert layer == "maps"
    np.testing.assert_allclose(gradients.grad_cam_maps(toy, layer, cells, SIDES), expected, atol=1e-5)


def test_integrated_gradients_of_a_linear_model_are_its_weights(cells_of):
    toy, cells = Toy(), cells_of(3)
    toy.maps[1] = torch.nn.Identity()
    references = plain(cells)
    found = gradients.integrated_maps(toy, cells, references, SIDES, side=8, steps=4)
    with torch.no_grad():
        kernels = toy.maps[0].weight
        weight = 0.3 * kernels[0] + (0.1 - 0.5) * kernels[1]
        moved = torch.from_numpy((cells.astype(np.float32) - references) / 255).permute(0, 3, 1, 2)
        expected = (moved * weight.repeat(1, 4, 4)).unfold(2, 8, 8).unfold(3, 8, 8).sum((1, 4, 5)) / 16
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_integrated_gradients_are_complete_and_those_that_a_sum_gives(network_bundle, cells_of):
    network, cells = network_bundle[1], cells_of(2)
    references = plain(cells)
    found = gradients.integrated_maps(network, cells, references, SIDES, side=4, steps=64)
    with torch.no_grad():
        odds = [
            log_odds(network(torch.from_numpy(batch)).logits.numpy(), SIDES) for batch in (cells, references)
        ]
    np.testing.assert_allclose(
        found.sum((1, 2)), odds[0] - odds[1], atol=0.05 * np.abs(odds[0] - odds[1]).max()
    )
    start, end = (torch.from_numpy(batch).permute(0, 3, 1, 2).float() for batch in (references, cells))
    total = torch.zeros_like(end)
    for step in range(64):  # the middle of each step
        here = (start + (end - start) * (step + 0.5) / 64).requires_grad_()
        logits = network.read(here).logits
        total += torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), here)[0]
    by_hand = ((end - start) * total / 64).reshape(2, 3, 8, 4, 8, 4).sum((1, 3, 5))
    np.testing.assert_allclose(found, by_hand, atol=0.05 * float(by_hand.abs().max()))


def test_methods_of_a_bundle_are_those_of_its_network(network_bundle, cells_of):
    path, network = network_bundle
    bundle, cells = open_bundle(path), cells_of(2)
    backend = make_backend(bundle)
    grad_cam = make_method(bundle, backend, "grad-cam++")[0]
    layer = gradients.last_layer(network, 32)
    np.testing.assert_allclose(
        grad_cam.mapper(cells), gradients.grad_cam_maps(network, layer, cells, SIDES), atol=1e-5
    )
    assert layer in grad_cam.title and grad_cam.mapper(cells).min() >= 0
    integrated = make_method(bundle, backend, "integrated-gradients")[0]
    for method in (grad_cam, integrated):
        one, again, other = (method.randomised(seed)(cells) for seed in (0, 0, 1))
        assert np.array_equal(one, again) and not np.allclose(one, other)
        assert not np.allclose(one, method.mapper(cells))


def test_a_disc_has_the_cell_s_outline_and_colour(cells_of):
    cells = cells_of(2)
    for cell, disc in zip(cells, plain(cells), strict=True):
        on = cell.any(axis=2)
        assert (disc.any(axis=2) == on).all()
        np.testing.assert_allclose(disc[on], np.broadcast_to(cell[on].mean(0), disc[on].shape), atol=0.51)


def test_what_is_missing_is_named(network_bundle, tiny_bundle, monkeypatch):
    bundle = open_bundle(tiny_bundle)
    with pytest.raises(UsageError, match="keeps no weights"):
        make_method(bundle, make_backend(bundle), "grad-cam++")
    import sys

    monkeypatch.setitem(sys.modules, "captum", None)
    whole = open_bundle(network_bundle[0])
    for name in ("grad-cam++", "integrated-gradients"):
        with pytest.raises(MissingExtraError, match=f"'{name.replace('+', '.')}' needs the extra 'explain'"):
            make_method(whole, make_backend(whole), name)


def test_a_network_without_maps_is_refused():
    with pytest.raises(UsageError, match="no layer with maps"):
        gradients.last_layer(torch.nn.Sequential(torch.nn.Flatten()), 32)
