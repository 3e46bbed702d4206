"""The sheet of augmented cells."""

import json

import numpy as np
import pytest
from PIL import Image

from leukoscope.cells.decode import decode
from leukoscope.cli.main import main
from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.splits import split
from leukoscope.errors import TrainingError
from leukoscope.recipes import load_recipe
from leukoscope.studies.preview import GAP, GROUND, LINE, MARGIN, NUM_VERSIONS, _drawn, write_preview
from leukoscope.studies.run import train

SIZE = 72
SIDE = 2 * SIZE
SETTINGS = [f"preprocess.size={SIZE}", "preprocess.field=432"]
VARIED = [*SETTINGS, "augmentation.rotation=90", "augmentation.stain=0.2"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEUKOSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from leukoscope.cohort.synth import synthesize

    out = tmp_path_factory.mktemp("cohort") / "people"
    cohort = synthesize(out, subjects=14, cells_per_subject=4, unlabelled=3, seed=3)
    return split(open_cohort(cohort), protocol="grouped-holdout")


def tiles(path, num):
    """The cells of a sheet, (num, 8, side, side, 3): it ends with them, whatever the heading's height."""
    page = np.asarray(Image.open(path))
    step = SIDE + GAP
    top = page.shape[0] - MARGIN - num * step
    lefts = [MARGIN, *(MARGIN + GAP + column * step for column in range(1, NUM_VERSIONS + 1))]
    return np.stack([[page[top + row * step :, left:][:SIDE, :SIDE] for left in lefts] for row in range(num)])


def test_it_shows_the_cells_as_the_network_gets_them_and_varied(made, tmp_path):
    recipe = load_recipe("cnn-45px", VARIED)
    path = write_preview(recipe, made, tmp_path / "not" / "yet", 3)
    assert path == tmp_path / "not" / "yet" / "preview.png"
    shown = tiles(path, 3)
    paths = _drawn(made, 3, recipe.training.seed)["path"]
    for row, name in zip(shown, paths, strict=True):
        cell = recipe.preprocess.apply(decode(made.read_bytes(name)))
        enlarged = cell.repeat(2, 0).repeat(2, 1)
        assert np.array_equal(row[0][LINE:], enlarged[LINE:]), "below the label of the tile"
        assert all(not np.array_equal(row[0][LINE:], varied[LINE:]) for varied in row[1:])
        assert all(varied.max() > 20 for varied in row)


def test_the_recipe_decides_and_nothing_else(made, tmp_path):
    pages = []
    for name, more in (("a", []), ("b", []), ("c", ["training.seed=1"])):
        path = write_preview(load_recipe("cnn-45px", VARIED + more), made, tmp_path / name, 2)
        pages.append(path.read_bytes())
    assert pages[0] == pages[1] != pages[2]


def test_without_augmentation_all_are_as_they_are(made, tmp_path):
    recipe = load_recipe("cnn-45px", SETTINGS)
    assert recipe.augmentation.is_off
    shown = tiles(write_preview(recipe, made, tmp_path, 2), 2)
    assert (shown[:, 1:] == shown[:, 1:2]).all()
    assert abs(shown[:, :1, LINE:].astype(int) - shown[:, 1:, LINE:]).max() <= 5, (
        "what is nearly black is black"
    )


def test_mixed_cells_are_mixed(made, tmp_path):
    recipe = load_recipe("cnn-45px", [*SETTINGS, "augmentation.mixup=1"])
    shown = tiles(write_preview(recipe, made, tmp_path, 2), 2)
    assert (shown[:, :1, LINE:] != shown[:, 1:, LINE:]).any()


def test_classes_take_turns_and_only_training_cells_are_shown(made):
    rows = _drawn(made, 8, 0)
    assert rows["label"].to_list() == ["blast", "normal"] * 4
    assert rows["split"].unique().to_list() == ["train"]
    assert len(_drawn(made, 10_000, 0)) == made.part("train").frame.height


def test_large_and_small_cells_fit_on_a_page(made, tmp_path):
    for size, side in ((30, 150), (144, 144), (400, 288)):
        recipe = load_recipe("cnn-45px", [f"preprocess.size={size}"])
        page = Image.open(write_preview(recipe, made, tmp_path / str(size), 1))
        assert page.width == 8 * (side + GAP) + GAP + 2 * MARGIN
        assert page.getpixel((1, 1)) == GROUND


def test_without_training_cells_it_says_so(made, tmp_path):
    empty = made.with_frame(made.frame.clear())
    with pytest.raises(TrainingError, match="no training cell"):
        write_preview(load_recipe("cnn-45px"), empty, tmp_path / "out", 2)
    assert not (tmp_path / "out").exists()


def test_training_takes_the_folder_afterwards(made, tmp_path):
    made.write(tmp_path / "split.parquet")
    settings = ["training.epochs=1"]
    write_preview(load_recipe("cnn-45px", settings), made, tmp_path / "run", 2)
    run = train("cnn-45px", tmp_path / "split.parquet", tmp_path / "run", settings=settings)
    assert run.bundle.is_dir() and (tmp_path / "run" / "preview.png").is_file()


def test_the_command_draws_it_and_trains_nothing(made, tmp_path, capsys):
    made.write(tmp_path / "split.parquet")
    words = ["train", "--recipe", "cnn-45px", "--data", str(tmp_path / "split.parquet"), "--preview", "2"]
    settings = [word for setting in VARIED for word in ("--set", setting)]
    assert main([*words, "--out", str(tmp_path / "run"), *settings, "--json"]) == 0
    path = tmp_path / "run" / "preview.png"
    assert json.loads(capsys.readouterr().out) == {"preview": str(path)}
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["preview.png"]
    same = write_preview(load_recipe("cnn-45px", VARIED), made, tmp_path / "same", 2)
    assert path.read_bytes() == same.read_bytes()


def test_of_folds_the_one_that_was_asked_for_is_drawn_from(made, tmp_path, capsys):
    whole = made.with_frame(made.frame.drop("split", "fold").with_columns(fold=None))
    folds = split(whole, protocol="grouped-kfold").write(tmp_path / "folds.parquet")
    words = ["train", "--recipe", "cnn-45px", "--data", str(folds), "--preview", "3"]
    pages = []
    for fold in ("0", "2", "all"):
        assert main([*words, "--out", str(tmp_path / fold), "--fold", fold]) == 0
        assert capsys.readouterr().out == f"{tmp_path / fold / 'preview.png'}\n"
        pages.append((tmp_path / fold / "preview.png").read_bytes())
    assert pages[0] != pages[1]
