"""The program ``leukoscope``: its commands, and what becomes of errors.

Exit codes: 0 done; 1 done, and what was checked did not hold, or some inputs failed; 2 wrong usage or
unusable input; 130 interrupted. The commands parse, call one function of a room and print; the rooms are
imported inside the commands, so that ``leukoscope --help`` loads none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

from leukoscope import __version__
from leukoscope.cli import (
    audit,
    bundle,
    calibrate,
    cells,
    compare,
    data,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    predict,
    recipes,
    serve,
    study,
    train,
)
from leukoscope.cli.failures import report_failure

DEBUG = "--debug"

app = typer.Typer(
    name="leukoscope",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help drawn by rich takes twice the time
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Research use only. Not a medical device, not for diagnosis.",
)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.add_typer(data.app)
app.add_typer(cells.app)
app.command()(recipes.recipes)
app.command()(train.train)
app.command()(study.study)
app.command()(export.export)
app.add_typer(bundle.app)
app.command()(predict.predict)
app.command()(evaluate.evaluate)
app.command()(calibrate.calibrate)
app.command()(compare.compare)
app.command()(explain.explain)
app.command()(serve.serve)
app.add_typer(audit.app)


def _version(asked: bool) -> None:
    if asked:
        print(f"leukoscope {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[
        bool,
        typer.Option(DEBUG, help="Show tracebacks (also: LEUKOSCOPE_DEBUG=1); works behind a command too."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find leukaemic blasts in blood-smear microscopy. Research use only, not for diagnosis."""


def main(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code.

    Args:
        arguments: the words behind the program's name.
    """
    debug = DEBUG in arguments or os.environ.get("LEUKOSCOPE_DEBUG", "") not in ("", "0")
    command = typer.main.get_command(app)
    words = [word for word in arguments if word != DEBUG] or ["--help"]
    with _warnings_as_notes(debug):
        try:
            result = command.main(args=words, prog_name="leukoscope", standalone_mode=False)
        except BaseException as error:
            if debug and not isinstance(error, typer.Exit | SystemExit):
                raise
            return report_failure(error)
    return result if isinstance(result, int) else 0


@contextmanager
def _warnings_as_notes(debug: bool) -> Iterator[None]:
    """Warnings of ours become one line each; those of other packages are for their own users."""
    import warnings

    from leukoscope.errors import LeukoscopeWarning

    def show(message: Warning | str, category: type[Warning], *_place: object, **_more: object) -> None:
        print(f"note: {message}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", LeukoscopeWarning)
            warnings.showwarning = show
        yield


def run() -> NoReturn:
    """Entry point of the program."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output, such as ``head``, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
