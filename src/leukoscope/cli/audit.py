"""``leukoscope audit``: does the trail of the review room hold, and where does it end?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leukoscope.cli.failures import FAILED, needing_room
from leukoscope.cli.output import Json, print_json
from leukoscope.cli.serve import Database, DataDir, data_dir_or_default

if TYPE_CHECKING:
    from leukoscope.review.store.database import Database as Opened

app = typer.Typer(name="audit", help="The review room's trail: verify, export.", rich_markup_mode=None)


@app.command()
def verify(
    database: Database = "",
    data_dir: DataDir = None,
    *,
    head: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="An end of the trail as it was exported, or a signed report in JSON: each must still be "
            "in it. May be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Check every entry of the trail against its hash and the entry before it.

    Exit code 1 if one was changed, is missing or stands elsewhere: each place is named. Entries cut off at
    the end are found by a --head that names them.
    """
    opened = _open(database, data_dir)
    from leukoscope.review import audit

    heads = [audit.read_head(path) for path in head or []]
    with opened.read() as session:
        breaks, end = audit.verify(session, heads), audit.head_document(session)
    opened.close()
    if as_json:
        places = [place._asdict() for place in breaks]
        print_json({"holds": not breaks, "num_heads": len(heads), "head": end, "breaks": places})
        return FAILED if breaks else 0
    for place in breaks:
        print(f"entry {place.number}: {place.what}")
    compared = (
        f", and {len(heads)} exported end{'s are' if len(heads) != 1 else ' is'} in it" if heads else ""
    )
    said = "does NOT hold" if breaks else f"holds{compared}"
    print(f"the trail of {end['number']:,} entries {said}")
    return FAILED if breaks else 0


@app.command()
def export(
    database: Database = "",
    data_dir: DataDir = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE.json", help="Without: on the screen."),
    ] = None,
    entries: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Also every entry, one a line.")
    ] = None,
) -> None:
    """Write where the trail ends now: number, hash and time of its last entry.

    Keep it where nobody who can change the database can change it: on paper, in another system.
    """
    opened = _open(database, data_dir)
    from leukoscope.core.files import atomic, write_json
    from leukoscope.review import audit

    with opened.read() as session:
        end = audit.head_document(session)
        if entries is not None:
            with atomic(entries) as temporary, temporary.open("w", encoding="utf-8") as stream:
                stream.writelines(audit.lines(session))
            typer.echo(f"{entries}: {end['number']:,} entries", err=True)
    opened.close()
    if out is None:
        print_json(end)
    else:
        write_json(out, end)
        typer.echo(f"{out}: the trail ends at entry {end['number']:,}", err=True)


def _open(database: str, data_dir: Path | None) -> Opened:
    needing_room()
    from leukoscope.review.settings import ServerSettings
    from leukoscope.review.store.migrate import open_existing

    settings = ServerSettings(database=database, data_dir=data_dir_or_default(data_dir))
    return open_existing(settings.database_url)
