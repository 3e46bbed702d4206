"""What the measurements of speed stand on: the same networks on both sides, sums, the page, the cohort."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from leukoscope.cohort.open import open_cohort
from leukoscope.cohort.synth import synthesize
from leukoscope.recipes import load_recipe

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COUNTED = json.loads((BENCHMARKS / "keras" / "parameters.json").read_text())


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def biases_of_convolutions(name: str, phase: int) -> int:
    """Keras's ResNet50 has one for each filter, timm's has none; only those that the phase trains."""
    from leukoscope.models.create import create_model
    from leukoscope.training.phases import Phases

    recipe = load_recipe(name)
    with torch.device("meta"):
        network = create_model(recipe.model.name, size=recipe.preprocess.size)
    learnt = {
        id(p)
        for p in Phases(network, [recipe.training.phases[phase]], recipe.augmentation, started=True).learnt
    }
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    return sum(part.out_channels for part in convolutions if id(part.weight) in learnt)


@pytest.mark.parametrize("name", COUNTED)
def test_keras_trains_as_many_parameters_as_we_do(name):
    from training.counts import our_trained

    recipe = load_recipe(name)
    assert len(COUNTED[name]) == len(recipe.training.phases)
    for phase, counted in enumerate(COUNTED[name]):
        more = biases_of_convolutions(name, phase) if recipe.model.name.startswith("resnet50") else 0
        assert counted - more == our_trained(recipe, phase)


def test_whole_trainings_are_worked_out_from_a_few_epochs():
    from training.peers import compare, whole

    assert whole([5.0, 2.0, 4.0], 11) == 5 + 10 * 3
    peer = {"once_seconds": 10.0, "seconds": [9.0, 6.0, 6.0], "versions": {}}
    phase = {"ours": {"seconds": [4.0, 2.0, 2.0]}, "peers": {"every epoch": peer, "once": peer}}
    found = compare("cnn-45px", {"index": 1.0, "decode": 1.0}, [3, 3], [phase, phase])
    assert found["ours"]["total_seconds"] == 2 + 2 * 8
    assert found["peers"]["once"]["total_seconds"] == 10 + 2 * 21
    assert found["peers"]["once"]["times"] == 52 / 18
    assert found["peers"]["every epoch"]["limit"] == 1.5
    assert found["peers"]["every epoch"]["later_epochs"] == {"median": 3, "least": 3, "greatest": 3, "num": 4}


def test_the_page_has_a_row_for_every_measurement(tmp_path):
    from page import TABLES, in_words, render
    from record import keep, kept, spread

    pairs = spread([0.5, 2.0, 1.0])
    assert pairs == {"median": 1.0, "least": 0.5, "greatest": 2.0, "num": 3}
    row = {"recipe": "cnn-45px", "phase": 1, "size": 45, "batch": 32, "steps": 7, "frozen": ["backbone"]}
    keep(
        "ratio",
        "a",
        row | {"plain_ms_a_step": [1.0], "ours_ms_a_step": [2.0], "ratio": pairs},
        folder=tmp_path,
    )
    memory = {"recipe": "cnn-32x4", "cells": 10_661, "limit_gb": 1.5}
    memory |= {"peak_gb": 1.25, "cache_gb": 0.5, "beyond_cache_gb": 0.75}
    keep("memory", "b", memory, folder=tmp_path)
    keep("unheard-of", "c", {}, folder=tmp_path)
    (tmp_path / "memory.md").write_text("Why it is so.\n")
    page = render(kept(tmp_path), tmp_path)
    assert "| cnn-45px, phase 2 | 45 px, 32 | 7 | 1.0 | 2.0 | 1.00 (0.50 to 2.00, 3 pairs) |" in page
    assert "| cnn-32x4 | 10,661 | 1.25 | 0.50 | 0.75 | 1.5 |\n\nWhy it is so.\n\n* " in page
    assert TABLES["gpu"].title not in page
    for found in kept(tmp_path):
        assert len({line.count("|") for line in in_words(found).splitlines()}) <= 1


def test_the_page_says_which_targets_are_missed():
    from page import render, targets
    from prediction.throughput import compared

    rounds = [{"Keras": 20.0, "torch": 25.0, "fp32": 30.0}, {"Keras": 20.0, "torch": 25.0, "fp32": 32.0}]
    more = {"kind": "throughput", "name": "resnet50", "cells": 320, "at": "2026-11-22T00:00:00+00:00"}
    more |= {"machine": {"processor": "one", "cores": 2}, "versions": {}}
    rounds.append({"Keras": 20.0})
    found = more | {"rounds": rounds, "ratios": compared(rounds), "backends": {"fp32": "one 2.0 on cpu"}}
    keras, torch_ = targets([found])
    assert keras.spread == {"median": 1.55, "least": 1.5, "greatest": 1.6, "num": 2}
    assert keras.met
    assert not torch_.met
    page = render([found])
    assert (
        "| resnet50, fp32, one 2.0 on cpu | 320 | 31.0 | torch | 25.0 | 1.24 (1.20 to 1.28, 2 pairs) | 1.4 |"
        in page
    )
    assert "Missed: predict resnet50 fp32, torch.*" in page


def test_a_cold_start_is_judged_by_seconds_and_beside_both_peers():
    from page import targets
    from prediction.start import compared

    found = {"kind": "start", "name": "starter"}
    found |= compared([{"Keras": 9.0, "torch": 3.0, "ours": 1.0}, {"Keras": 9.0, "torch": 3.0, "ours": 0.9}])
    alone, keras, torch_ = targets([found])
    assert (alone.spread["median"], alone.met) == (0.95, True)
    assert (keras.spread["least"], keras.met) == (9.0, True)
    assert (torch_.spread["greatest"], torch_.met) == (3.0 / 0.9, False)


def test_the_page_of_the_results_that_are_kept_is_up_to_date():
    """Whoever measures something runs page.py; the page has nothing that is not in the files of results."""
    from chart import numbers
    from page import CHART, PAGE, render, targets
    from record import kept

    assert (BENCHMARKS / PAGE).read_text() == render(kept())
    drawn = (BENCHMARKS / CHART).read_text()
    for target in targets(kept()):
        assert target.label in drawn
        assert numbers(target) in drawn


def test_the_page_shows_what_the_runtimes_int8_and_ray_measured(tmp_path):
    from page import render, targets
    from record import keep, kept, spread

    rates = {"onnxruntime": [100.0, 300.0, 200.0], "openvino": [400.0, 200.0, 300.0]}
    faster = {"openvino": spread([4.0, 2.0, 1.5])}
    keep(
        "backends",
        "s",
        {"bundle": "starter", "rates": {"64": rates}, "times": {"64": faster}},
        folder=tmp_path,
    )
    both = {"onnxruntime": {"fp32": [10.0], "int8": [30.0]}}
    times = {"onnxruntime": spread([3.0])}
    keep("int8", "r", {"bundle": "resnet50", "rates": both, "times": times}, folder=tmp_path)
    sides = {side: spread([100.0]) for side in ("local", "ray")}
    found = {"bundle": "starter", "cells": "real", "num_cells": 20_000, "ratio": spread([1.5])}
    keep("scale", "a", found | {"cells_per_second_per_core": sides}, folder=tmp_path)
    staged = {
        "name": "leukoscope-s-onnxruntime",
        "efficiency": spread([0.7]),
    }
    keep("many", "leukoscope-s", {"memory_mb": {"1000000": 500.0}, "limit_mb": 600}, folder=tmp_path)
    staged |= {"cells_a_second": {"model": spread([900.0]), "whole": spread([650.0, 550.0, 700.0])}}
    staged |= {"processor_ms_a_cell": {"model": spread([2.0]), "whole": spread([3.0])}}
    staged |= {"first_answer_seconds": {"command": spread([0.9])}}
    limits = {"cells_a_second": 600, "efficiency": 0.8}
    keep("predict", "leukoscope-s-onnxruntime", staged | {"limits": limits}, folder=tmp_path)
    page = render(kept(tmp_path), tmp_path)
    whole = "650 (550 to 700) cells a second | 3.00 | at least 600 cells a second |"
    assert f"| leukoscope-s-onnxruntime | whole | {whole}" in page
    assert "| leukoscope-s | 1,000,000 | 500 MB | at most 600 MB |" in page
    assert "| starter | 64 | onnxruntime | 200 (100 to 300) |  |" in page
    assert "| starter | 64 | openvino | 300 (200 to 400) | 2.00 (1.50 to 4.00, 3 pairs) |" in page
    assert "| resnet50 | onnxruntime | 10 | 30 | 3.00 (3.00 to 3.00, 1 pair) |" in page
    assert "| starter, real cells | 20,000 | 100.00" in page
    assert [target.met for target in targets(kept(tmp_path))] == [True, False, True, False]


def test_the_chart_has_a_row_for_every_target():
    from chart import draw, shares
    from record import spread
    from tables import Target

    met = Target("speed", spread([3.0, 6.0]), limit=2.0, unit="times")
    missed = Target("seconds", spread([1.0, 2.0, 4.0]), limit=1.0, unit="s", at_most=True)
    assert shares(met) == (2.25, 1.5, 3.0)
    assert shares(missed) == (0.5, 0.25, 1.0)
    drawn = draw([met, missed])
    for words in ("speed", "4.5 times (at least 2)", "seconds", "2 s (at most 1)"):
        assert words in drawn
    assert drawn == draw([met, missed])


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    """Our ResNet50 with statistics of batch norm that matter, its weights as a bundle keeps them, cells, and
    their logits of the second class."""
    from safetensors.torch import save_file

    from leukoscope.models.create import create_model

    size = 96
    generator = torch.Generator().manual_seed(0)
    network = create_model("resnet50", size=size)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values, low, high in (
                (part.weight.data, 0.5, 1),
                (part.bias.data, -0.2, 0.2),
                (part.running_mean, -0.2, 0.2),
                (part.running_var, 0.5, 1.5),
            ):
                values.uniform_(low, high, generator=generator)
    network.head.linear.weight.data.normal_(generator=generator)
    weights = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, weights)
    rows, columns = np.indices((size, size))
    cells = np.zeros((4, size, size, 3), np.uint8)
    for number, cell in enumerate(cells):
        cell[np.hypot(rows - 40, columns - 50) < 12 + 8 * number] = (200 - 40 * number, 60, 120 + 30 * number)
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(cells)).logits[:, 1].numpy()
    assert np.ptp(logits) > 0.1
    return weights, cells, logits


def test_torchvisions_network_answers_as_ours_with_the_weights_of_a_bundle(resnet50):
    from plain_torch.predict import DEVIATION, MEAN
    from plain_torch.predict import resnet50 as plain

    weights, cells, logits = resnet50
    pixels = torch.from_numpy(cells).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        theirs = plain(weights)(
            (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
        )
    assert np.abs(theirs[:, 0].numpy() - logits).max() < 1e-4


def answered(main, words, monkeypatch, capsys):
    """What a program of the comparison prints."""
    monkeypatch.setattr("sys.argv", ["program", *map(str, words)])
    main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_both_programs_say_when_each_batch_ended_and_write_every_cell(
    resnet50, tiny_cohort, tmp_path, monkeypatch, capsys
):
    from plain_torch.predict import main as plain
    from prediction.ours import main as ours
    from prediction.throughput import linked, rate

    folder = linked(tiny_cohort, tmp_path / "cells", 70)
    assert len({file.resolve() for file in folder.iterdir()}) == len(list(tiny_cohort.rglob("*.bmp")))
    few = linked(tiny_cohort, tmp_path / "few", 5)
    for main, cells, words, sizes in (
        (ours, folder, ["starter", folder, tmp_path / "ours.csv"], [64, 6]),
        (plain, few, [resnet50[0], few, tmp_path / "plain.csv", "--workers", 0, "--batch", 3], [3, 2]),
    ):
        reply = answered(main, words, monkeypatch, capsys)
        assert [size for size, _ in reply["batches"]] == sizes
        assert rate(reply) == sizes[1] / (reply["written"] - reply["batches"][0][1])
        with Path(words[2]).open(newline="") as table:
            rows = list(csv.DictReader(table))
        assert [Path(row["path"]).name for row in rows] == sorted(file.name for file in cells.iterdir())
        assert all(0 <= float(row["blast_probability"]) <= 1 for row in rows)


needs_keras = pytest.mark.skipif(
    not (BENCHMARKS / "keras" / ".venv" / ".ready").is_file(),
    reason="NOT CHECKED: Keras's network against ours; make benchmarks/keras/.venv/.ready brings Keras",
)


@needs_keras
def test_keras_answers_as_ours_with_the_weights_of_a_bundle(resnet50, tmp_path):
    from prediction.throughput import KERAS

    weights, cells, logits = resnet50
    np.save(tmp_path / "cells.npy", cells)
    script = BENCHMARKS / "keras" / "logits.py"
    command = [KERAS, script, weights, tmp_path / "cells.npy", tmp_path / "logits.npy"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert np.abs(np.load(tmp_path / "logits.npy") - logits).max() < 1e-3


def test_few_drawn_cells_make_a_cohort_of_any_size(tmp_path):
    from training.cohort import FOLD, cohort

    drawn = synthesize(tmp_path / "drawn", subjects=4, cells_per_subject=1, unlabelled=0)
    made = cohort(tmp_path / "many", 301, drawn=drawn)
    assert len(list((made / FOLD / "all").iterdir())) == 151
    manifest = open_cohort(made)
    assert len(manifest) == 301
    assert sorted(manifest.classes) == ["blast", "normal"]
    assert manifest.frame["subject_id"].n_unique() == 2 * 72


def test_the_fit_pauses_behind_every_epoch_and_the_plain_loop_trains_what_is_not_frozen():
    from training.steps import PlainLoop, Way, fit_with_pauses, generated_cells, phase_recipe

    recipe = phase_recipe("cnn-45px", 0, epochs=2, weights=None)
    with generated_cells(64, 45) as data:
        plain = PlainLoop(recipe, data, way=Way(channels_last=False))
        before = [parameter.clone() for parameter in plain.network.parameters()]
        seconds: list[float] = []
        history = fit_with_pauses(recipe, data, lambda: seconds.append(plain.epoch())).history
    assert [row["batches"] for row in history] == [2, 2]
    assert len(seconds) == 2
    assert all(not torch.equal(a, b) for a, b in zip(before, plain.network.parameters(), strict=True))


def test_a_card_is_known_by_its_name():
    from train_gpu import operations, peak_of

    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("another") is None
    recipe = load_recipe("cnn-baseline")
    by_hand = 64 * 64 * 8 * 27 + 32 * 32 * 16 * 72 + 16 * 16 * 16 * 32 + 32
    assert operations(recipe) == 2 * by_hand


def test_mahalanobis_is_scikit_learns_and_the_relative_one_a_difference_of_two():
    from sklearn.covariance import LedoitWolf

    from strange.distances import mahalanobis, relative_mahalanobis

    rng = np.random.default_rng(0)
    classes = np.repeat(["blast", "normal"], [60, 40])
    known = rng.normal(0, 1, (100, 6)) * [1, 2, 1, 0.3, 1, 1] + (classes == "blast")[:, None] * 1.5
    asked = rng.normal(0, 3, (20, 6))
    means = {name: known[classes == name].mean(0) for name in ("blast", "normal")}
    centred = known - np.stack([means[name] for name in classes])
    fitted = LedoitWolf(assume_centered=True).fit(centred)
    near = np.min([fitted.mahalanobis(asked - mean) for mean in means.values()], axis=0)
    subjects = np.arange(100).astype(str)
    assert np.allclose(mahalanobis(known, classes, subjects)(asked), np.sqrt(near / 6))

    middle = known.mean(0)
    between = sum(
        n / 100 * np.outer(means[k] - middle, means[k] - middle) for k, n in (("blast", 60), ("normal", 40))
    )
    inverse = np.linalg.inv(fitted.covariance_ + between)
    far = np.einsum("ni,ij,nj->n", asked - middle, inverse, asked - middle)
    assert np.allclose(relative_mahalanobis(known, classes, subjects)(asked), near - far)


def test_a_stained_body_is_cut_out_of_its_smear():
    from strange.pictures import cut_out

    smear = np.full((360, 360, 3), (230, 215, 205), np.uint8)
    rows, columns = np.indices((360, 360))
    cell = np.hypot(rows - 180, columns - 170) < 60
    smear[cell] = (110, 60, 140)
    smear[np.hypot(rows - 40, columns - 300) < 60] = (225, 150, 150)  # a red cell, of paler stain
    found = cut_out(smear)
    assert (found.any(axis=2) == cell).mean() > 0.995
    assert cut_out(np.full((360, 360, 3), 230, np.uint8)) is None
