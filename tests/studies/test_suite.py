"""What a suite asks for, how its cells are parted, and what the machine is asked before a run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from leukoscope.cohort.audit import audit
from leukoscope.cohort.manifest import COLUMNS, Manifest
from leukoscope.cohort.open import open_cohort
from leukoscope.errors import ConfigError, SplitError, UsageError
from leukoscope.models.create import create_model
from leukoscope.recipes import load_recipe
from leukoscope.recipes.schema import Protocol
from leukoscope.studies.energy import Meter, peak_memory, processor_joules, spent
from leukoscope.studies.gap import Gap
from leukoscope.studies.hold import (
    BUNDLE_COPIES,
    _available,
    _left_by_group,
    always_frozen,
    free_bytes,
    machine_rate,
    measure_need,
    too_large,
    too_long,
)
from leukoscope.studies.outcome import Need
from leukoscope.studies.pretrained import find_weights, starts_from_given
from leukoscope.studies.study_splits import Partings, check_unsplit, sample_cells, wanted_parting
from leukoscope.studies.suite import Suite, entries, list_suites, load_suite

DOCUMENTS = {
    "vgg16",
    "cnn-32x4",
    "cnn-small",
    "cnn-dropout",
    "efficientnet-b3",
    "inception-resnet-v2",
    "efficientnet-b3-deep",
    "convnext-xlarge",
    "cnn-45px",
    "resnet50-frozen",
    "resnet50-finetuned",
    "cnn-recall",
    "cnn-baseline",
    "inception",
    "resnet",
}


def suite_file(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


class TestSuites:
    def test_seeds_has_every_model_of_the_documents(self):
        assert {entry.recipe.name for entry in entries(load_suite("seeds"))} == DOCUMENTS

    def test_quick_has_these_and_ours_small_and_short(self):
        suite = load_suite("quick")
        made = entries(suite)
        assert {entry.recipe.name for entry in made} == DOCUMENTS | {"leukoscope-s"}
        for entry in made:
            assert entry.recipe.preprocess.size <= 64
            assert entry.recipe.training.all_epochs == 1
            assert entry.recipe.training.cells_per_epoch <= suite.max_cells
        assert 0 < suite.max_cells <= 300 and suite.weights == "none"

    def test_limits_make_nothing_larger(self):
        suite = Suite(title="", recipes=("cnn-45px",), max_size=64, max_epochs=100)
        recipe = entries(suite)[0].recipe
        assert recipe.preprocess.size == load_recipe("cnn-45px").preprocess.size
        assert recipe.training.epochs == load_recipe("cnn-45px").training.epochs

    def test_settings_of_the_suite_reach_every_recipe(self):
        suite = Suite(
            title="", recipes=("cnn-45px", "cnn-small"), settings=("training.batch_size=7",), max_epochs=1
        )
        assert [entry.recipe.training.batch_size for entry in entries(suite)] == [7, 7]

    @pytest.mark.parametrize(
        ("text", "said", "hint"),
        [
            ("title: x\nrecipes: [cnn-45px]\nseed: 3\n", "unknown key 'seed'", "seeds"),
            ("title: x\nrecipes: []\n", "'recipes'", "recipes"),
            ("title: x\nrecipes: [cnn-45px]\nreadings: [person]\n", "readings", "readings"),
            ("title: x\n", "'recipes' is missing", "recipes"),
        ],
    )
    def test_a_suite_is_closed_configuration(self, tmp_path, text, said, hint):
        with pytest.raises(ConfigError, match=said) as caught:
            load_suite(suite_file(tmp_path, text))
        assert hint in caught.value.hint

    def test_an_unknown_suite_names_the_nearest(self):
        with pytest.raises(UsageError, match="no suite 'quik'") as caught:
            load_suite("quik")
        assert "'quick'" in caught.value.hint
        assert list_suites() == ["quick", "seeds"]

    def test_a_recipe_is_named_once_and_known(self):
        with pytest.raises(UsageError, match="twice"):
            entries(Suite(title="", recipes=("cnn-45px", "cnn-45px")))
        with pytest.raises(UsageError, match="no recipe"):
            entries(Suite(title="", recipes=("cnn-46px",)))
        suite = Suite(title="", recipes=("cnn-45px", "cnn-small"))
        assert [entry.recipe.name for entry in entries(suite, ["cnn-small"])] == ["cnn-small"]
        with pytest.raises(UsageError, match="no recipe 'vgg16'"):
            entries(suite, ["vgg16"])


def cells_of(subjects: list[int]) -> Manifest:
    """A manifest with so many cells of each subject; every other one has blasts."""
    rows = [
        {
            "subject_id": f"S{number}",
            "label": "blast" if number % 2 else "normal",
            "cell_id": f"{number}-{cell}",
        }
        for number, count in enumerate(subjects)
        for cell in range(count)
    ]
    frame = pl.DataFrame(rows).with_columns(
        path=pl.col("cell_id"), source=pl.lit("training"), sha256=pl.col("cell_id"), quality=pl.lit("")
    )
    missing = [
        pl.lit(None).cast(kind).alias(name) for name, kind in COLUMNS.items() if name not in frame.columns
    ]
    return Manifest(frame.with_columns(missing).select(list(COLUMNS)), Path())


class TestSample:
    @given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.integers(8, 60), st.integers(0, 3))
    def test_keeps_every_subject_and_shares_alike(self, subjects, most, seed):
        made = sample_cells(cells_of(subjects), most, seed=seed).frame
        assert made.height == min(most, sum(subjects))
        counts = made["subject_id"].value_counts()["count"].to_list()
        assert len(counts) == len(subjects)
        left_out = [
            count
            for number, count in enumerate(subjects)
            if made.filter(pl.col("subject_id") == f"S{number}").height < count
        ]
        taken = dict(made["subject_id"].value_counts().iter_rows())
        cut = [taken[f"S{n}"] for n, count in enumerate(subjects) if taken[f"S{n}"] < count]
        assert len(cut) == len(left_out) and (not cut or max(cut) - min(cut) <= 1)
        assert not cut or max(taken.values()) <= min(cut) + 1

    @given(st.permutations(range(12)))
    def test_the_order_of_rows_does_not_matter(self, order):
        manifest = cells_of([4, 4, 4])
        shuffled = manifest.with_frame(manifest.frame[list(order)])
        first, second = (set(sample_cells(one, 6).frame["cell_id"]) for one in (manifest, shuffled))
        assert first == second

    def test_zero_is_all(self):
        assert len(sample_cells(cells_of([3, 2]), 0)) == 5


class TestParting:
    suite = Suite(title="", recipes=("cnn-45px",))

    @pytest.mark.parametrize(
        ("document", "reading", "protocol", "words"),
        [
            (Protocol(name="official", unit="subject"), "subject", "official", ""),
            (Protocol(name="official", unit="subject"), "image", "grouped-holdout", "ours"),
            (Protocol(name="sample-1000", unit="image"), "image", "sample-1000", ""),
            (Protocol(name="sample-1000", unit="image"), "subject", "sample-1000", "people kept apart"),
            (Protocol(name="grouped-holdout", unit="subject"), "image", "grouped-holdout", "ours"),
        ],
    )
    def test_the_documents_own_and_ours_says_so(self, document, reading, protocol, words):
        made = wanted_parting(document, reading, self.suite, seed=0)
        assert (made.protocol, made.unit) == (protocol, reading)
        assert words in made.words and bool(made.words) == bool(words)

    def test_a_protocol_of_the_study_holds_for_all(self):
        suite = Suite(title="", recipes=("cnn-45px",), protocol="grouped-kfold", folds=4)
        made = wanted_parting(Protocol(name="official"), "image", suite, seed=2)
        assert (made.protocol, made.seed) == ("grouped-kfold", 2)

    def test_seeds_test_the_same_cells(self, tiny_cohort, tmp_path):
        partings = Partings(open_cohort(tiny_cohort), tmp_path, 3)
        for document in (Protocol(name="official"), Protocol(name="grouped-holdout")):
            tested = []
            for seed in (0, 1):
                made = partings.make(wanted_parting(document, "image", self.suite, seed=seed), seed=seed)
                frame = Manifest.read(partings.path(made)).frame
                tested.append(sorted(frame.filter(pl.col("split") == "test")["cell_id"]))
            assert tested[0] == tested[1]

    def test_what_the_cells_do_not_allow_becomes_a_holdout_and_says_why(self, tiny_cohort, tmp_path):
        partings = Partings(open_cohort(tiny_cohort), tmp_path, 3)
        wanted = wanted_parting(Protocol(name="sample-1000", unit="image"), "image", self.suite, seed=1)
        made = partings.make(wanted, seed=1)
        assert (made.protocol, made.unit) == ("grouped-holdout", "image")
        assert "sample-1000 needs at least 1,000" in made.words
        split = Manifest.read(partings.path(made))
        assert split.is_leaky and split.metadata["protocol"] == "grouped-holdout"

    def test_by_subject_nobody_is_on_both_sides(self, tiny_cohort, tmp_path):
        partings = Partings(open_cohort(tiny_cohort), tmp_path, 3)
        made = partings.make(wanted_parting(Protocol(name="official"), "subject", self.suite, seed=0), seed=0)
        assert not audit(Manifest.read(partings.path(made))).findings

    def test_where_even_a_holdout_cannot_be_made_it_is_an_error(self, tmp_path):
        partings = Partings(cells_of([3, 3]), tmp_path, 3)
        wanted = wanted_parting(Protocol(name="sample-1000"), "subject", self.suite, seed=0)
        with pytest.raises(SplitError, match="grouped-holdout needs"):
            partings.make(wanted, seed=0)

    def test_a_split_is_refused(self, tiny_cohort, tmp_path):
        from leukoscope.cohort.splits import split

        made = split(open_cohort(tiny_cohort), protocol="official")
        with pytest.raises(UsageError, match="is a split"):
            check_unsplit(made, tmp_path)


class TestNeed:
    def test_counts_what_the_layers_do(self):
        """The other truth: a real network, each layer's output times what goes into one of its numbers."""
        recipe = load_recipe("cnn-45px")
        network = create_model(
            recipe.model.name, num_classes=2, size=recipe.preprocess.size, **recipe.model.built_with()
        )
        work = []

        def count(layer, _, output):
            work.append(output[0].numel() * layer.weight[0].numel())

        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.register_forward_hook(count)
        with torch.no_grad():
            network.eval().read(torch.zeros(1, 3, recipe.preprocess.size, recipe.preprocess.size))
        need = measure_need(recipe, 2)
        assert need.multiply_adds == sum(work)
        assert need.parameters == sum(p.numel() for p in network.parameters())

    def test_weights_gradients_and_states_of_the_optimiser(self):
        adam, sgd = (
            measure_need(load_recipe("cnn-45px", [f"training.optimiser={name}"]), 2)
            for name in ("adam", "sgd")
        )
        assert adam.weight_bytes == (4 + BUNDLE_COPIES) * 4 * adam.parameters
        assert sgd.weight_bytes == (3 + BUNDLE_COPIES) * 4 * sgd.parameters

    def test_what_is_kept_for_the_backward_pass_grows_with_the_batch(self):
        """A convolution keeps its input, a ReLU its output, pooling the places of its maxima."""
        settings = ["model.arguments.stages=[[8]]", "model.arguments.dense=[]", "preprocess.size=16"]
        eight, sixteen = (
            measure_need(load_recipe("cnn-baseline", [*settings, f"training.batch_size={size}"]), 2)
            for size in (8, 16)
        )
        assert sixteen.activation_bytes == 2 * eight.activation_bytes
        least = 8 * 4 * (3 * 16 * 16 + 8 * 16 * 16 + 8 * 8 * 8)
        assert least <= eight.activation_bytes <= 4 * least

    def test_cells_too_small_for_a_network_are_an_error(self):
        with pytest.raises(ConfigError):
            measure_need(load_recipe("cnn-45px", ["preprocess.size=8"]), 2)

    def test_the_large_network_takes_no_memory_to_count(self):
        need = measure_need(load_recipe("convnext-xlarge", ["model.weights=none", "preprocess.size=64"]), 2)
        assert need.parameters > 348_147_968
        assert too_large(need, 4 * 10**9).startswith("needs about 10 GB")

    def test_parts_that_no_phase_trains(self):
        recipe = load_recipe("resnet50-finetuned")
        assert always_frozen(recipe.training) < set(recipe.training.freeze) | always_frozen(recipe.training)


class TestLimits:
    need = Need(parameters=1, multiply_adds=10**9, weight_bytes=30 * 10**9, activation_bytes=11 * 10**9)

    def test_memory(self):
        assert too_large(self.need, 20 * 10**9) == "needs about 41 GB, 20 GB are free"
        assert too_large(self.need, 41 * 10**9) == ""
        assert too_large(self.need, None) == ""

    def test_time(self):
        said = too_long(self.need, 36_000, rate=1e10, hours=1)
        assert said == "would take about 3.0 hours, the limit is 1"
        assert too_long(self.need, 36_000, rate=1e10, hours=3.1) == ""

    def test_free_memory_is_what_linux_calls_available(self, tmp_path):
        told = tmp_path / "meminfo"
        told.write_text("MemTotal: 900 kB\nMemFree: 100 kB\nMemAvailable: 500 kB\n")
        assert _available(told) == 500 * 1024
        assert _available(tmp_path / "nothing") is None

    def test_a_control_group_may_leave_less(self, tmp_path):
        (tmp_path / "memory.max").write_text("1000\n")
        (tmp_path / "memory.current").write_text("400\n")
        assert _left_by_group(tmp_path) == 600
        (tmp_path / "memory.max").write_text("max\n")
        assert _left_by_group(tmp_path) is None
        assert _left_by_group(tmp_path / "nothing") is None

    def test_an_unknown_device_is_not_judged(self):
        assert free_bytes("mps") is None

    def test_the_rate_is_that_of_a_machine(self):
        assert 1e7 < machine_rate("cpu") < 1e15


class TestEnergy:
    def zone(self, folder: Path, name: str, now: int) -> None:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "energy_uj").write_text(f"{now}\n")
        (folder / name / "max_energy_range_uj").write_text("1000000000\n")

    def test_packages_are_added_and_their_parts_are_not(self, tmp_path):
        for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
            self.zone(tmp_path, name, 5_000_000)
        before = processor_joules(tmp_path)
        self.zone(tmp_path, "intel-rapl:0", 7_000_000)
        self.zone(tmp_path, "intel-rapl:1", 1_000_000)  # started again at 1,000 J
        assert spent(before, processor_joules(tmp_path)) == pytest.approx(2 + 996)

    def test_what_nobody_tells_is_none(self, tmp_path):
        assert spent(processor_joules(tmp_path), processor_joules(tmp_path)) is None
        with Meter() as meter:
            pass
        assert meter.energy is None or meter.energy.joules >= 0

    def test_peak_memory_is_the_programs_own(self, tmp_path):
        status = tmp_path / "status"
        status.write_text("Name: x\nVmPeak: 9 kB\nVmHWM: 12 kB\n")
        assert peak_memory(status) == 12 * 1024
        assert (peak_memory() or 0) > 10**7


class TestGivenWeights:
    def test_a_file_for_the_recipe_comes_before_one_for_the_network(self, tmp_path):
        recipe = load_recipe("resnet50-frozen")
        assert find_weights(load_recipe("cnn-45px"), tmp_path, download=False) is None
        (tmp_path / f"{recipe.model.name}.safetensors").write_bytes(b"")
        found = find_weights(recipe, tmp_path, download=False)
        assert found is not None and found.words == f"{recipe.model.name}.safetensors"
        (tmp_path / "resnet50-frozen.safetensors").write_bytes(b"")
        found = find_weights(recipe, tmp_path, download=False)
        assert found is not None and found.words == "resnet50-frozen.safetensors"

    def test_nothing_is_fetched_unless_asked_for(self, monkeypatch):
        asked = []

        def look(where, name):
            asked.append((where, name))

        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", look)
        recipe = load_recipe("vgg16")
        assert find_weights(recipe, None, download=False) is None
        assert asked and all(where.startswith("timm/vgg16") for where, _ in asked)
        given = find_weights(recipe, None, download=True)
        assert given is not None and given.setting == "imagenet"
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda where, name: "there")
        assert find_weights(recipe, None, download=False) is not None

    def test_a_recipe_from_scratch_has_a_pretrained_run_only_with_a_file(self, tmp_path):
        recipe = load_recipe("leukoscope-s")
        assert not starts_from_given(recipe, tmp_path)
        (tmp_path / "leukoscope-s.safetensors").write_bytes(b"")
        assert starts_from_given(recipe, tmp_path)
        assert starts_from_given(load_recipe("vgg16"), None)


class TestGap:
    @pytest.mark.parametrize(
        ("train", "validation", "said"),
        [
            (0.95, 0.80, "A wide gap: 0.15 of accuracy"),
            (0.90, 0.85, "A gap: 0.05 of accuracy"),
            (0.80, 0.79, "No gap to speak of"),
            (0.70, 0.80, "Validation reads better than training: −0.10"),
        ],
    )
    def test_is_named(self, train, validation, said):
        gap = Gap(train_loss=0.2, train_accuracy=train, validation_loss=0.3, validation_accuracy=validation)
        assert said in gap.words and "0.10 of loss" in gap.words

    def test_without_validation_it_is_not_known(self):
        gap = Gap(train_loss=0.2, train_accuracy=0.9, validation_loss=None, validation_accuracy=None)
        assert "not known" in gap.words
