"""Augmentation: reproducible, black stays black, and nothing happens that was not asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoscope.recipes import load_recipe
from leukoscope.recipes.schema import Augmentation
from leukoscope.training.augment import augment

EVERYTHING = {
    "rotation": 180,
    "flip": True,
    "shift": 0.05,
    "scale": 0.3,
    "stretch": 0.1,
    "shear": 0.1,
    "stain": 0.3,
    "density": 0.3,
    "brightness": 0.2,
    "contrast": 0.2,
    "blur": 1.0,
    "sharpen": 1.0,
}


def discs(count: int, size: int = 48, seed: int = 0) -> torch.Tensor:
    """Textured purple discs on black."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    inside = np.hypot(x, y) < size * 0.3
    cells = rng.integers(60, 200, (count, size, size, 3)) * inside[..., None]
    return torch.from_numpy(cells.astype(np.uint8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_off_means_unchanged():
    cells = discs(4)
    assert torch.equal(augment(cells, Augmentation(), seeded()), cells.permute(0, 3, 1, 2).float())


def test_the_seed_decides():
    cells, chosen = discs(6), Augmentation(**EVERYTHING)
    first, same, other = (augment(cells, chosen, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, same) and not torch.equal(first, other)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_variation_does_something(name):
    changed = augment(discs(8), Augmentation(**{name: EVERYTHING[name]}), seeded())
    assert not torch.equal(changed, discs(8).permute(0, 3, 1, 2).float())


@given(seed=st.integers(0, 10_000), part=st.sets(st.sampled_from(sorted(EVERYTHING))))
@settings(max_examples=30, deadline=None)
def test_black_stays_black_and_pixels_stay_pixels(seed, part):
    cells = discs(3, seed=seed)
    changed = augment(cells, Augmentation(**{name: EVERYTHING[name] for name in part}), seeded(seed))
    assert changed.shape == (3, 3, 48, 48) and changed.dtype == torch.float32
    assert float(changed.min()) >= 0 and float(changed.max()) <= 255
    assert torch.equal(changed[:, :, :3, :3], torch.zeros(3, 3, 3, 3)), "the corners lie outside every disc"


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_exact_cells_are_one_of_the_eight_views(seed):
    cells = discs(5, seed=seed)
    turned = augment(cells, Augmentation(rotation=180, flip=True, exact=1.0), seeded(seed)).byte().numpy()
    for cell, out in zip(cells.numpy(), turned, strict=True):
        views = [np.rot90(side, k) for side in (cell, cell[:, ::-1]) for k in range(4)]
        assert any(np.array_equal(out.transpose(1, 2, 0), view) for view in views)


def test_half_of_the_cells_can_stay_sharp():
    cells = discs(8)
    out = augment(cells, Augmentation(rotation=30, exact=0.5), seeded())
    same = [torch.equal(a, b) for a, b in zip(out, cells.permute(0, 3, 1, 2).float(), strict=True)]
    assert same == [False] * 4 + [True] * 4


def test_zoom_changes_the_size_of_a_cell():
    chosen = Augmentation(scale=0.3)
    areas = (augment(discs(64), chosen, seeded()).amax(1) > 5).float().sum((1, 2))
    original = float((discs(1)[0].amax(2) > 5).sum())
    assert float(areas.min()) < 0.8 * original and float(areas.max()) > 1.25 * original
    assert float(areas.min()) > 0.5 * original and float(areas.max()) < 2 * original


@pytest.mark.gpu
def test_on_a_gpu_the_laws_hold():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = torch.Generator("cuda").manual_seed(0)
    changed = augment(discs(4).cuda(), load_recipe("leukoscope-s").augmentation, generator)
    assert changed.is_cuda and float(changed[:, :, :3, :3].abs().max()) == 0
