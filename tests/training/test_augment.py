"""Augmentation: reproducible, black stays black, and nothing happens that was not asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from leukoscope.recipes import load_recipe
from leukoscope.recipes.schema import Augmentation
from leukoscope.training.augment import augment, mix
from leukoscope.training.chance import beta

EVERYTHING = {
    "rotation": 180,
    "flip": True,
    "vertical_flip": True,
    "shift": 0.05,
    "scale": 0.3,
    "stretch": 0.1,
    "shear": 0.1,
    "stain": 0.3,
    "density": 0.3,
    "hue": 60,
    "brightness": 0.2,
    "contrast": 0.2,
    "blur": 1.0,
    "sharpen": 1.0,
    "noise": 16,
    "jpeg": 90,
    "cutout": 0.5,
}


def discs(count: int, size: int = 48, seed: int = 0) -> torch.Tensor:
    """Textured purple discs on black."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    inside = np.hypot(x, y) < size * 0.3
    cells = rng.integers(60, 200, (count, size, size, 3)) * inside[..., None]
    return torch.from_numpy(cells.astype(np.uint8))


def greys(level: int, count: int = 64, size: int = 32) -> torch.Tensor:
    """Pictures of one grey, the whole field."""
    return torch.full((count, size, size, 3), level, dtype=torch.uint8)


def as_floats(cells: torch.Tensor) -> torch.Tensor:
    return cells.permute(0, 3, 1, 2).float()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_off_means_unchanged():
    cells = discs(4)
    assert torch.equal(augment(cells, Augmentation(), seeded()), as_floats(cells))


def test_the_seed_decides():
    cells, chosen = discs(6), Augmentation(**EVERYTHING)
    first, same, other = (augment(cells, chosen, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, same) and not torch.equal(first, other)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_variation_does_something(name):
    changed = augment(discs(8), Augmentation(**{name: EVERYTHING[name]}), seeded())
    assert not torch.equal(changed, as_floats(discs(8)))


@given(seed=st.integers(0, 10_000), part=st.sets(st.sampled_from(sorted(EVERYTHING))))
@settings(max_examples=30, deadline=None)
def test_black_stays_black_and_pixels_stay_pixels(seed, part):
    cells = discs(3, seed=seed)
    changed = augment(cells, Augmentation(**{name: EVERYTHING[name] for name in part}), seeded(seed))
    assert changed.shape == (3, 3, 48, 48) and changed.dtype == torch.float32
    assert float(changed.min()) >= 0 and float(changed.max()) <= 255
    assert torch.equal(changed[:, :, :3, :3], torch.zeros(3, 3, 3, 3)), "the corners lie outside every disc"


def test_black_stays_black_around_the_cell_itself():
    cells = discs(4)
    everything_but_moves = {name: EVERYTHING[name] for name in list(EVERYTHING)[7:]}
    changed = augment(cells, Augmentation(**everything_but_moves), seeded())
    outside = (cells.amax(3) <= 5)[:, None].expand(-1, 3, -1, -1)
    assert float(changed[outside].abs().max()) == 0
    assert not torch.equal(changed, as_floats(cells))


def test_half_precision_of_the_network_is_not_that_of_the_pixels():
    chosen = Augmentation(**EVERYTHING)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = augment(discs(4), chosen, seeded())
    assert inside.dtype == torch.float32
    assert torch.equal(inside, augment(discs(4), chosen, seeded()))


@pytest.mark.parametrize("exact", [0.0, 1.0])
@pytest.mark.parametrize(
    ("flips", "axes"), [({"flip": True}, [2]), ({"vertical_flip": True}, [1]), (None, [1, 2])]
)
def test_flips_are_numpys(flips, axes, exact):
    cells = discs(64)
    chosen = Augmentation(exact=exact, **(flips or {"flip": True, "vertical_flip": True}))
    out = augment(cells, chosen, seeded()).byte().permute(0, 2, 3, 1).numpy()
    views = [cells.numpy(), *(np.flip(cells.numpy(), axis) for axis in axes)]
    views += [np.flip(cells.numpy(), (1, 2))] if len(axes) == 2 else []
    which = [[np.array_equal(cell, view) for view in views] for cell, *views in zip(out, *views, strict=True)]
    assert all(map(any, which))
    assert np.mean(which, axis=0) == pytest.approx(1 / len(views), abs=0.15)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_resampled_cells_are_flipped_too(seed):
    """Flips come before an all but empty shear, so a mirrored cell is nearly one of four views."""
    cells = discs(6, seed=seed)
    chosen = Augmentation(shear=1e-6, flip=True, vertical_flip=True)
    out = augment(cells, chosen, seeded(seed)).permute(0, 2, 3, 1).numpy()
    for cell, moved in zip(cells.numpy().astype(float), out, strict=True):
        views = [np.flip(cell, axes) for axes in ((), (0,), (1,), (0, 1))]
        assert min(abs(moved - view).max() for view in views) < 1


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
    same = [torch.equal(a, b) for a, b in zip(out, as_floats(cells), strict=True)]
    assert same == [False] * 4 + [True] * 4


def test_zoom_changes_the_size_of_a_cell():
    chosen = Augmentation(scale=0.3)
    areas = (augment(discs(64), chosen, seeded()).amax(1) > 5).float().sum((1, 2))
    original = float((discs(1)[0].amax(2) > 5).sum())
    assert float(areas.min()) < 0.8 * original and float(areas.max()) > 1.25 * original
    assert float(areas.min()) > 0.5 * original and float(areas.max()) < 2 * original


@pytest.mark.parametrize(("fill", "low", "high"), [("black", 0, 0), ("edge", 120, 120), ("mirror", 120, 120)])
def test_what_a_move_brings_in(fill, low, high):
    moved = augment(greys(120), Augmentation(shift=0.5, fill=fill), seeded())
    brought = moved[..., [0, 0, -1, -1], [0, -1, 0, -1]].amin((1, 2))
    assert float(brought.min()) == pytest.approx(low, abs=1e-3)
    assert float(brought.max()) == pytest.approx(high, abs=1e-3)


def test_a_mirrored_edge_is_not_a_repeated_one():
    cells = discs(8).roll(20, 2)
    edge, mirror = (
        augment(cells, Augmentation(shift=0.5, fill=fill), seeded()) for fill in ("edge", "mirror")
    )
    assert not torch.equal(edge, mirror)


@given(level=st.integers(6, 255), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_hue_leaves_grey(level, seed):
    turned = augment(greys(level, 3, 8), Augmentation(hue=180), seeded(seed))
    assert torch.allclose(turned, torch.full_like(turned, level), atol=2e-3)


def test_hue_turns_colours_about_grey_by_the_angle():
    colour = np.array([180, 120, 200])
    cells = torch.from_numpy(np.broadcast_to(colour.astype(np.uint8), (256, 2, 2, 3)).copy())
    turned = augment(cells, Augmentation(hue=30), seeded())[:, :, 0, 0].double().numpy()
    before, after = -np.log(colour / 255), -np.log(turned / 255)
    assert after.sum(1) == pytest.approx(before.sum(), abs=1e-4), "as dark as before"
    before, after = before - before.mean(), after - after.mean(1, keepdims=True)
    cosine = after @ before / np.linalg.norm(after, axis=1) / np.linalg.norm(before)
    angle = np.degrees(np.arccos(cosine.clip(-1, 1)))
    assert 25 < angle.max() <= 30.01
    assert angle.mean() == pytest.approx(15, abs=2), "uniform to either side"


def test_noise_has_the_deviation_that_was_asked_for():
    noise = augment(greys(128, 200), Augmentation(noise=12), seeded()) - 128
    deviations = noise.std((1, 2, 3))
    assert float(deviations.max()) < 12.5
    assert float(deviations.mean()) == pytest.approx(6, abs=1), "uniform from 0"
    assert abs(float(noise.mean())) < 0.1


@given(share=st.floats(0.01, 1), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_cutout_is_a_square_no_larger_than_asked_for(share, seed):
    size = 32
    gone = augment(greys(128, 40, size), Augmentation(cutout=share), seeded(seed)).amax(1) == 0
    for cell in gone:
        rows, columns = cell.any(1), cell.any(0)
        side = int(rows.sum())
        assert int(columns.sum()) == side and int(cell.sum()) == side**2
        assert side <= max(share * size, 1)
    assert 5 < int(gone.any(2).any(1).sum()) < 35, "half of the cells"


def test_cutout_of_all_sides_in_all_places():
    gone = augment(greys(128, 4000, 16), Augmentation(cutout=0.5), seeded()).amax(1) == 0
    sides = gone.any(2).sum(1)
    counts = np.bincount(sides.numpy(), minlength=9)
    assert len(counts) == 9 and counts[0] == pytest.approx(2000, abs=150)
    assert counts[1:] == pytest.approx(250, abs=70)
    single = gone[sides == 1]
    assert single.any(0)[0].any() and single.any(0)[-1].any() and single.any(0)[:, -1].any()


@given(seed=st.integers(0, 1000), count=st.integers(1, 9), alpha=st.floats(0.05, 4))
@settings(max_examples=30, deadline=None)
def test_labels_are_mixed_in_the_shares_of_the_pixels(seed, count, alpha):
    """Where a cell is its own target, drawn as a picture, both must come out the same."""
    targets = torch.eye(count)
    pixels = targets[:, None, None, :].expand(-1, 3, count, -1).contiguous()
    mixed, shares = mix(pixels, targets, alpha, seeded(seed))
    assert torch.allclose(mixed, shares[:, None, None, :].expand_as(mixed), atol=1e-6)
    assert torch.allclose(shares.sum(1), torch.ones(count)) and float(shares.min()) >= 0
    assert int((shares > 0).sum(1).max()) <= 2, "pairs"
    assert float(shares.diagonal().min()) >= 0.5, "the larger share is the cell's own"
    again = mix(pixels, targets, alpha, seeded(seed))
    assert torch.equal(mixed, again[0]) and torch.equal(shares, again[1])


def test_of_a_pair_the_shares_are_betas():
    shares = torch.cat(
        [mix(torch.zeros(9, 3, 1, 1), torch.eye(9), 0.5, seeded(seed))[1] for seed in range(900)]
    )
    own = shares.amax(1)[shares.amax(1) < 1].double().numpy()
    truth = stats.beta(0.5, 0.5)
    assert own.mean() == pytest.approx(truth.expect(lambda x: max(x, 1 - x)), abs=0.01)
    assert np.mean(own > 0.9) == pytest.approx(2 * truth.sf(0.9), abs=0.02)


def test_mixing_keeps_black_black():
    mixed, _ = mix(as_floats(discs(6)), torch.eye(6), 0.4, seeded())
    assert float(mixed[:, :, :3, :3].abs().max()) == 0


@pytest.mark.parametrize("alpha", [0.02, 0.2, 1.0, 3.0])
def test_shares_are_betas(alpha):
    shares = beta(40_000, alpha, seeded()).double().numpy()
    truth = stats.beta(alpha, alpha)
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(truth.var(), rel=0.03)
    assert np.mean(shares < 0.1) == pytest.approx(truth.cdf(0.1), abs=0.01)


def test_every_setting_is_told_from_none():
    assert Augmentation(exact=1.0, fill="edge").is_off
    assert not any(Augmentation(**{name: value}).is_off for name, value in EVERYTHING.items())


@pytest.mark.gpu
def test_the_gpu_varies_by_its_own_generator_alone():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    chosen = Augmentation(**EVERYTHING)
    first, same = (augment(discs(4).cuda(), chosen, torch.Generator("cuda").manual_seed(3)) for _ in range(2))
    assert torch.equal(first, same) and float(first[:, :, :3, :3].abs().max()) == 0
    targets = torch.eye(4, device="cuda")
    _, shares = mix(first, targets, 0.2, torch.Generator("cuda").manual_seed(3))
    assert torch.allclose(shares.sum(1), torch.ones(4, device="cuda"))


@pytest.mark.gpu
def test_on_a_gpu_the_laws_hold():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = torch.Generator("cuda").manual_seed(0)
    changed = augment(discs(4).cuda(), load_recipe("leukoscope-s").augmentation, generator)
    assert changed.is_cuda and float(changed[:, :, :3, :3].abs().max()) == 0
