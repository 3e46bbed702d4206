"""``leukoscope serve``: the review room, answering until stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leukoscope.cli.failures import keeping, needing_room

Database = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="postgresql+psycopg://USER:PASSWORD@HOST/NAME, or sqlite:///FILE; without: a file in the data "
        "folder. LEUKOSCOPE_DATABASE says the same where others could read the command line.",
        envvar="LEUKOSCOPE_DATABASE",
        show_default=False,
        show_envvar=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Images, models and the SQLite file; without: leukoscope in the user's data folder.",
        show_default=False,
    ),
]


def data_dir_or_default(chosen: Path | None) -> Path:
    """The data folder that was named, or the user's own."""
    from leukoscope.core.files import data_folder

    return chosen or data_folder()


def serve(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="[BUNDLE]", help="What new cases are read with: a folder, a zip, or the word starter."
        ),
    ] = "starter",
    *,
    host: Annotated[
        str, typer.Option(help="Other than this machine only with --tls-cert or --behind-proxy.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 finds a free one.")] = 8000,
    database: Database = "",
    data_dir: DataDir = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate with its chain, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key, PEM, no password.")] = None,
    behind_proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="A proxy ends TLS, and nobody else can reach this port."),
    ] = False,
    without_accounts: Annotated[
        bool,
        typer.Option(
            "--without-accounts",
            help="On this machine only: whoever is here sees everything; nothing can be signed.",
        ),
    ] = False,
) -> None:
    """Open the review room: from images to a signed, printed, traceable result.

    The first start makes the data folder and prints a link for the first account. Ctrl-C closes; what is
    being read goes on at the next start.
    """
    needing_room()
    from leukoscope.review.serve import serve as answer
    from leukoscope.review.settings import ServerSettings

    settings = ServerSettings(
        host=host,
        port=port,
        database=database,
        data_dir=data_dir_or_default(data_dir),
        tls_cert=tls_cert,
        tls_key=tls_key,
        behind_proxy=behind_proxy,
        without_accounts=without_accounts,
    )
    with keeping(
        "the room is closed; all that was answered is kept, and a case in mid-run goes on at the next start"
    ):
        answer(settings, bundle, say=_say)


def _say(line: str) -> None:
    typer.echo(line, err=True)
