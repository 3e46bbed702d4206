"""The program as a whole: help, wrong usage, errors, interruptions, what it loads."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leukoscope import __version__
from leukoscope.cli.main import app

FRAMEWORKS = (
    "torch",
    "sklearn",
    "scipy",
    "matplotlib",
    "polars",
    "cv2",
    "numpy",
    "pydantic",
    "onnxruntime",
    "rich",
)

COMMANDS = (
    ["demo"],
    ["doctor"],
    ["recipes"],
    ["study"],
    ["train"],
    ["export"],
    ["predict"],
    ["evaluate"],
    ["calibrate"],
    ["compare"],
    ["explain"],
    ["serve"],
    *(["audit", name] for name in ("verify", "export")),
    *(["data", name] for name in ("synth", "index", "check", "split", "audit", "fetch")),
    *(["bundle", name] for name in ("show", "verify")),
    ["cells", "extract"],
)

WRONG = (
    (["dat"], "did you mean data?"),
    (["data", "chek", "x"], "did you mean check?"),
    (["data", "check", "x", "--jsn"], "did you mean --json?"),
    (["data"], "leukoscope data --help"),
    (["predict"], "leukoscope predict --help"),
    (
        ["data", "split", "x.parquet", "-o", "y.parquet", "--protocol", "random"],
        "leukoscope data split --help",
    ),
    (["train", "--recipe", "cnn-45px", "--data", "x", "--out", "y", "--fold", "two"], "--fold 0"),
    (
        ["train", "--recipe", "cnn-45px", "--data", "x", "--out", "y", "--devices", "0"],
        "leukoscope train --help",
    ),
    (["data", "index", "x", "-o", "y.csv"], "y.parquet"),
    (["data", "index", "x", "-o", "y.parquet", "--rename", "blast"], "--rename"),
    (["data", "check", "no/such/folder"], "path"),
    (["recipes", "cnn-46px"], "did you mean 'cnn-45px'?"),
    (["bundle", "show", "no-such.leuko"], "starter"),
    (["evaluate", "no-such.csv"], "predict"),
    (["explain", "starter", "x.bmp"], "leukoscope explain --help"),
    (["explain", "starter", "no-such-folder", "-o", "d"], "path"),
    (["evaluate", "no-such.leuko"], "labelled cells"),
    (["serve", "--port", "many"], "leukoscope serve --help"),
    (["serve", "--hots", "::1"], "did you mean --host?"),
    (["audit", "verify", "--data-dir", "no-such-room"], "--data-dir"),
    (["cells", "extract", "no-such.jpg", "-o", "d"], "path"),
    (["cells", "extract", "x.jpg"], "leukoscope cells extract --help"),
    (["cells", "extract", "x.jpg", "-o", "d", "--pixel-size", "0"], "objective"),
    (["cells", "extrat", "x.jpg"], "did you mean extract?"),
)
LATER = (*([name, "x"] for name in ("study", "tune", "compare", "audit")),)


def program(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]


def command(*words: object) -> list[str]:
    """How to run the program in a process of its own."""
    return [sys.executable, "-m", "leukoscope", *map(str, words)]


def assert_two_lines(err: str) -> None:
    """An error is one line, and a hint another."""
    lines = err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"], err
    assert all(line.partition(":")[2].strip() for line in lines)


def test_help_names_every_command(leukoscope):
    helped = leukoscope("--help")
    assert helped.code == 0
    assert not helped.err
    for words in COMMANDS:
        assert f"  {words[0]} " in helped.out
    assert "not for diagnosis" in " ".join(helped.out.split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(leukoscope, words):
    helped = leukoscope(*words, "--help")
    assert helped.code == 0
    assert f"Usage: leukoscope {' '.join(words)}" in helped.out


def test_no_words_are_answered_with_help(leukoscope):
    assert leukoscope().out == leukoscope("-h").out


def test_version(leukoscope):
    assert leukoscope("--version").out == f"leukoscope {__version__}\n"


@pytest.mark.parametrize(("words", "hint"), WRONG, ids=" ".join)
def test_wrong_usage_is_two_lines_and_2(leukoscope, words, hint):
    ran = leukoscope(*words)
    assert ran.code == 2
    assert not ran.out
    assert_two_lines(ran.err)
    assert hint in ran.err.splitlines()[1]


@pytest.mark.parametrize("words", LATER, ids=" ".join)
def test_what_is_not_there_yet_is_wrong_usage(leukoscope, words):
    ran = leukoscope(*words)
    assert ran.code == 2
    assert_two_lines(ran.err)


def test_debug_shows_the_traceback(leukoscope, monkeypatch):
    from leukoscope.errors import LayoutError

    with pytest.raises(LayoutError):
        leukoscope("data", "check", "no/such/folder", "--debug")
    with pytest.raises(LayoutError):
        leukoscope("--debug", "data", "check", "no/such/folder")
    monkeypatch.setenv("LEUKOSCOPE_DEBUG", "1")
    with pytest.raises(LayoutError):
        leukoscope("data", "check", "no/such/folder")
    monkeypatch.setenv("LEUKOSCOPE_DEBUG", "0")
    assert leukoscope("data", "check", "no/such/folder").code == 2


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("once"), PermissionError(13, "Permission denied", "x"), MemoryError()]
)
def test_an_unforeseen_error_shows_no_traceback(leukoscope, monkeypatch, error):
    monkeypatch.setattr("leukoscope.cohort.check.check", _raising(error))
    ran = leukoscope("data", "check", ".")
    assert ran.code == 2
    assert_two_lines(ran.err)


def test_an_interruption_says_what_is_kept(leukoscope, monkeypatch, tiny_bundle):
    monkeypatch.setattr("leukoscope.inference.predict.predict", _raising(KeyboardInterrupt()))
    ran = leukoscope("predict", tiny_bundle, "x.bmp", "-o", "cells.csv")
    assert ran.code == 130
    assert ran.err == "interrupted: the rows that were ready are in cells.csv.partial; --resume goes on\n"


def _raising(error: BaseException):
    def fail(*_given, **_named):
        raise error

    return fail


def test_warnings_of_ours_are_notes_and_others_are_silent(leukoscope, monkeypatch):
    import warnings

    from leukoscope.errors import LeukoscopeWarning

    def warn(*_given, **_named):
        warnings.warn("a label is missing", LeukoscopeWarning, stacklevel=1)
        warnings.warn("use something newer", DeprecationWarning, stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr("leukoscope.cohort.check.check", warn)
    assert leukoscope("data", "check", ".").err.splitlines()[:-1] == ["note: a label is missing"]


def test_interrupting_a_real_command(tmp_path):
    drawing = subprocess.Popen(
        command("data", "synth", tmp_path / "cohort", "--subjects", 400), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 900
    while not (tmp_path / "cohort").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    drawing.send_signal(signal.SIGINT)
    err = drawing.communicate(timeout=900)[1]
    assert drawing.returncode == 130
    assert err.splitlines()[-1] == "interrupted: nothing was written"
    assert not list((tmp_path / "cohort").iterdir())


def test_a_closed_pipe_is_no_error(tiny_split):
    reading, writing = os.pipe()
    os.close(reading)  # as ``head`` does, but surely before anything was written
    ran = subprocess.run(
        command("data", "check", tiny_split, "--json"), stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert ran.returncode == 0
    assert ran.stderr == b""


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, leukoscope.cli.main as m; m.main(['--help']); "
        f"print([name for name in {FRAMEWORKS} if name in sys.modules])"
    )
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert min(times) < 0.5, "seconds of processor time, so that a busy machine does not matter"


WITHOUT_TRAINING = {
    "data check": ["data", "check", "{cohort}"],
    "data index": ["data", "index", "{cohort}", "-o", "{tmp}/m.parquet"],
    "data split": ["data", "split", "{split}", "-o", "{tmp}/s.parquet", "--protocol", "official"],
    "data audit": ["data", "audit", "{split}"],
    "predict": ["predict", "{bundle}", "{split}", "-o", "{tmp}/p.csv"],
    "evaluate": ["evaluate", "{bundle}", "--data", "{split}", "-o", "{tmp}/report"],
    "bundle show": ["bundle", "show", "{bundle}"],
    "recipes": ["recipes", "--json"],
}


@pytest.mark.parametrize("name", WITHOUT_TRAINING)
def test_commands_of_the_left_tower_load_no_training_framework(
    name, tmp_path, tiny_cohort: Path, tiny_split: Path, tiny_bundle: Path
):
    places = {"cohort": tiny_cohort, "split": tiny_split, "bundle": tiny_bundle, "tmp": tmp_path}
    words = [word.format(**places) for word in WITHOUT_TRAINING[name]]
    code = (
        f"import sys; from leukoscope.cli.main import main; main({words!r}); "
        "print([n for n in ('torch', 'torchvision', 'timm', 'lightning', 'onnx') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert "Traceback" not in ran.stderr


def test_every_registered_command_is_tested_here():
    import typer

    group = typer.main.get_command(app)
    words = [
        [name, inner] if inner else [name]
        for name, one in group.commands.items()
        for inner in (getattr(one, "commands", None) or {"": None})
    ]
    assert sorted(words) == sorted(COMMANDS)


def test_the_module_runs_as_the_program():
    ran = program("--version", env={**os.environ})
    assert (ran.returncode, ran.stdout) == (0, f"leukoscope {__version__}\n")
