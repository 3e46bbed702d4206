"""What a user sees when a command cannot do its work: two lines and an exit code, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import typer

from leukoscope.errors import LeukoscopeError, MissingExtraError, TrainingInterruptedError

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130

CommandLineError = cast(type[Exception], typer.BadParameter.__mro__[2])
"""Base of what the parser raises; where it is defined differs between versions of typer."""

TRAINING_PACKAGES = {"torch", "torchvision", "timm", "lightning", "onnx", "onnxscript", "safetensors"}

ROOM_PACKAGES = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2", "python_multipart", "reportlab")


class Interrupted(BaseException):
    """The user stopped the command; ``kept`` says what of its work is there."""

    def __init__(self, kept: str) -> None:
        super().__init__(kept)
        self.kept = kept


@contextmanager
def keeping(kept: str) -> Iterator[None]:
    """Say what is kept when the user interrupts the block."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(kept) from None


@contextmanager
def needing_training() -> Iterator[None]:
    """Say which extra is missing when an import of the training tower fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in TRAINING_PACKAGES:
            raise MissingExtraError("training", "train") from None
        raise


def needing_room() -> None:
    """Raise :class:`MissingExtraError` where a package of the review room is missing."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ROOM_PACKAGES):
        raise MissingExtraError("the review room", "serve")


def report_failure(error: BaseException) -> int:
    """Print what went wrong, and what to do next, to standard error; give the exit code."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        raise error
    if isinstance(error, SystemExit):
        if isinstance(error.__context__, BrokenPipeError):  # the parser makes an exit of it
            raise error.__context__
        return error.code if isinstance(error.code, int) else UNUSABLE
    if isinstance(error, Interrupted | KeyboardInterrupt | typer.Abort | TrainingInterruptedError):
        kept = _kept(error)
        print(f"interrupted: {kept}", file=sys.stderr, flush=True)
        return INTERRUPTED
    message, hint = explain(error)
    print(f"error: {_one_line(message)}", file=sys.stderr)
    print(f"hint: {_one_line(hint)}", file=sys.stderr, flush=True)
    return UNUSABLE


def _kept(error: BaseException) -> str:
    if isinstance(error, TrainingInterruptedError):
        return f"{error.message}; {error.hint}"
    return error.kept if isinstance(error, Interrupted) else "nothing was written"


def explain(error: BaseException) -> tuple[str, str]:
    """What was expected and what came, and the next step.

    >>> explain(FileNotFoundError(2, "No such file or directory", "cells"))
    ('cells: no such file or directory', 'check the path, its permissions and the free space')
    """
    if isinstance(error, LeukoscopeError):
        return error.message, error.hint or "leukoscope --help lists the commands"
    if isinstance(error, CommandLineError):
        return _wrong_usage(error)
    if isinstance(error, OSError):
        what = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or str(error)
        return f"{what}{reason[:1].lower()}{reason[1:]}", "check the path, its permissions and the free space"
    if isinstance(error, MemoryError):
        return "the memory is not enough", "work on fewer cells at once"
    return (
        f"unexpected {type(error).__name__}: {error}",
        "this is a defect of Leukoscope; run the command again with --debug and report what it prints",
    )


def _wrong_usage(error: Any) -> tuple[str, str]:
    context = error.ctx if hasattr(error, "ctx") else None
    place = context.command_path if context is not None else "leukoscope"
    message: str = error.format_message().splitlines()[0].replace("Value error, ", "")
    asked = getattr(error, "option_name", None) if type(error).__name__ == "NoSuchOption" else None
    if asked is not None:
        return f"{place} has no option {asked}", _guess(asked, _options(context), place)
    if message.startswith("No such command"):
        asked = message.split("'")[1]
        known = list(context.command.commands) if context is not None else []
        return f"{place} has no command '{asked}'", _guess(asked, known, place)
    return f"{message[:1].lower()}{message[1:]}".rstrip("."), f"{place} --help"


def _options(context: Any) -> list[str]:
    return [] if context is None else [name for option in context.command.params for name in option.opts]


def _guess(asked: str, known: list[str], place: str) -> str:
    from leukoscope.core.config import nearest

    guess = nearest(asked, [name for name in known if name.startswith("--") or not name.startswith("-")])
    return f"did you mean {guess}?" if guess else f"{place} --help lists what there is"


def _one_line(text: str) -> str:
    return " ".join(text.split())
