"""Losses against torch's, torchvision's and the sums written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from leukoscope.training.losses import cell_loss, class_weights

EXACT = {"rtol": 1e-5, "atol": 1e-6}


def draw(seed: int, count: int, classes: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets, weights of the classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, classes, generator=generator)
    targets = torch.randint(0, classes, (count,), generator=generator)
    return logits, targets, torch.rand(classes, generator=generator) + 0.1


seeds, counts, numbers_of_classes = st.integers(0, 1000), st.integers(1, 9), st.integers(2, 5)
smoothings = st.sampled_from([0.0, 0.1, 0.3])


@given(seeds, counts, numbers_of_classes, smoothings, st.booleans())
@settings(max_examples=40, deadline=None)
def test_cross_entropy_is_torchs(seed, count, classes, smoothing, weighted):
    logits, targets, weights = draw(seed, count, classes)
    chosen = weights if weighted else None
    truth = functional.cross_entropy(logits, targets, chosen, label_smoothing=smoothing)
    ours = cell_loss(logits, targets, class_weights=chosen, label_smoothing=smoothing)
    assert torch.equal(ours, truth)
    one_hot = functional.one_hot(targets, classes).float()
    mixed = cell_loss(logits, one_hot, class_weights=chosen, label_smoothing=smoothing)
    torch.testing.assert_close(mixed, truth, **EXACT)
    barely = cell_loss(logits, targets, class_weights=chosen, label_smoothing=smoothing, focal=1e-9)
    torch.testing.assert_close(barely, truth, **EXACT)


@given(seeds, counts, numbers_of_classes, smoothings)
@settings(max_examples=30, deadline=None)
def test_mixed_targets_are_torchs_too(seed, count, classes, smoothing):
    logits, _, _ = draw(seed, count, classes)
    shares = torch.softmax(draw(seed + 1, count, classes)[0], 1)
    truth = functional.cross_entropy(logits, shares, label_smoothing=smoothing)
    torch.testing.assert_close(cell_loss(logits, shares, label_smoothing=smoothing), truth, **EXACT)


@given(seeds, counts, st.floats(0.1, 5))
@settings(max_examples=30, deadline=None)
def test_of_two_classes_the_focal_loss_is_torchvisions(seed, count, gamma):
    logits, targets, _ = draw(seed, count, 2)
    z = logits[:, 1]
    truth = sigmoid_focal_loss(z, targets.float(), alpha=-1, gamma=gamma, reduction="mean")
    ours = cell_loss(torch.stack([torch.zeros_like(z), z], 1), targets, focal=gamma)
    torch.testing.assert_close(ours, truth, **EXACT)


@given(seeds, counts, numbers_of_classes, st.floats(0.1, 4), smoothings)
@settings(max_examples=30, deadline=None)
def test_it_is_the_sum_written_out(seed, count, classes, gamma, smoothing):
    logits, _, weights = draw(seed, count, classes)
    shares = torch.softmax(draw(seed + 1, count, classes)[0], 1)
    p, total, mass = torch.softmax(logits.double(), 1).numpy(), 0.0, 0.0
    for cell in range(count):
        for k in range(classes):
            w, q = float(weights[k]), float(shares[cell, k])
            smoothed = (1 - smoothing) * q + smoothing / classes
            total -= w * smoothed * (1 - p[cell, k]) ** gamma * np.log(p[cell, k])
            mass += w * q
    ours = cell_loss(logits, shares, class_weights=weights, focal=gamma, label_smoothing=smoothing)
    assert float(ours) == pytest.approx(total / mass, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_sure_cells_have_finite_gradients(gamma):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    cell_loss(logits, torch.tensor([0, 0]), focal=gamma).backward()
    assert torch.isfinite(logits.grad).all()
    assert float(logits.grad[1].abs().sum()) > 0, "the cell that was told wrong still teaches"


def test_the_easy_cell_counts_less_in_focal_loss():
    easy, hard = torch.tensor([[4.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    label = torch.tensor([0])
    shares = [cell_loss(easy, label, focal=g) / cell_loss(hard, label, focal=g) for g in (0.0, 1.0, 2.0)]
    assert shares[0] > shares[1] > shares[2]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 100), st.integers(4, 6))
@settings(max_examples=40, deadline=None)
def test_weighted_classes_count_the_same(labels, seed, num_classes):
    labels = np.array(labels)
    drawn = np.random.default_rng(seed).random(len(labels)) + 0.1
    weights = class_weights(labels, drawn, num_classes=num_classes)
    present = np.unique(labels)
    sums = [(drawn * weights[labels])[labels == k].sum() for k in present]
    assert sums == pytest.approx([sums[0]] * len(present))
    assert np.average(weights[labels], weights=drawn) == pytest.approx(1)
    assert not weights[np.setdiff1d(np.arange(num_classes), present)].any()
