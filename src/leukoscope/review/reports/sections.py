"""What a report says, in order: facts, sentences, tables and pictures, which every form draws alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from leukoscope.review.services.reference import KINDS

Document = dict[str, Any]

MOST_PICTURES = 300
"""Pictures in a report, at most: a printed report of thousands would be carried by nobody."""

NOT_SIGNED = "Draft, not signed"


class Table(NamedTuple):
    """Rows of text.

    Attributes:
        head: names of the columns.
        rows: as many texts each.
        widths: of the columns, as shares of the whole.
        numbers: columns that stand to the right.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    widths: tuple[float, ...]
    numbers: frozenset[int] = frozenset()


class Picture(NamedTuple):
    """A cell to be shown: the hash of its image, and the lines below it."""

    sha256: str
    name: str
    lines: tuple[str, ...]


class Section(NamedTuple):
    """A part of a report with its title; what is empty is not drawn."""

    title: str
    words: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    pictures: tuple[Picture, ...] = ()


def title(report: Document) -> str:
    """How the report is headed."""
    signature = report.get("signature")
    return f"Report {signature['number']}" if signature else "Report (draft)"


def stamps(report: Document) -> list[str]:
    """What must be seen first."""
    drafts = [] if report.get("signature") else [NOT_SIGNED]
    return drafts + [_sentence(words) for words in report["model"]["stamps"]]


def sections(report: Document, sha256: str) -> list[Section]:
    """All of them.

    Args:
        report: as :func:`~leukoscope.review.reports.document.document` makes it.
        sha256: of its canonical JSON.
    """
    parts = (
        _specimen,
        _differential,
        _reference,
        _review,
        _model,
        _smears,
        _photographs,
        _pictures,
        _disagreements,
        _cells,
        _refused,
    )
    return [*(section for part in parts for section in part(report)), _trail(report, sha256)]


def percent(share: float | None) -> str:
    """A share as people read it.

    >>> percent(0.1234), percent(None)
    ('12.3 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(share: dict[str, Any]) -> str:
    """Its 95 % interval.

    >>> interval({"ci_low": 0.1, "ci_high": 0.25})
    '10.0 % to 25.0 %'
    """
    if share["ci_low"] is None:
        return "–"
    return f"{percent(share['ci_low'])} to {percent(share['ci_high'])}"


def probability(value: float | None) -> str:
    """A probability as it stands in tables."""
    return "–" if value is None else f"{value:.3f}"


def changed(cell: dict[str, Any]) -> bool:
    """Whether a person calls it otherwise than the model did."""
    return bool(cell["decision"] != cell["model_decision"])


def disagrees(cell: dict[str, Any]) -> bool:
    """Whether a person contradicts the model; to settle what it left open does not."""
    return changed(cell) and cell["model_decision"] != "indeterminate"


def moment(text: str | None) -> str:
    """A time of the document as people read it.

    >>> moment("2026-01-31T12:05:09+00:00")
    '2026-01-31 12:05 UTC'
    """
    return f"{text[:10]} {text[11:16]} UTC" if text else "–"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def _specimen(report: Document) -> Iterator[Section]:
    case, images = report["case"], report["images"]
    taken = [image.get("kind", "cell") for image in images if image["reason"] is None]
    photographs, cells = taken.count("photograph"), taken.count("cell")
    smears = f"{photographs:,} photograph{'' if photographs == 1 else 's'} of smears" if photographs else ""
    read = " and ".join(
        words for words in (smears, f"{cells:,} cell{'' if cells == 1 else 's'}" if cells else "") if words
    )
    received = f"{read if smears else f'{cells:,}'} read, {len(images) - len(taken):,} not taken"
    yield Section(
        "Specimen",
        facts=(
            ("Laboratory", report["laboratory"] or "not named"),
            ("Subject", case["subject_id"]),
            ("Specimen", case["specimen"] or "not named"),
            ("Taken on", case["taken_on"] or "not known"),
            ("Case", f"{case['case_id']}, made {moment(case['created_at'])}, {case['priority']}"),
            ("Files" if smears else "Images", received),
        ),
    )


def _differential(report: Document) -> Iterator[Section]:
    read, columns = report["differential"], _columns(report)
    rows = [
        (words, percent(read[key]["fraction"]), interval(read[key]), *_counts(read[key], columns))
        for key, words in (("after_review", "After review"), ("by_model", "By the model"))
    ]
    apart = (
        "Cells of photographs that are not lymphoid, or no single whole cells, are counted by themselves and "
        "are in no percentage, either: the model knows lymphoid cells only."
    )
    yield Section(
        "Differential",
        words=(
            f"{_sentence(report['differential_words'])}. Indeterminate and rejected cells are counted apart "
            "and are in no percentage. The interval is Wilson's, of 95 %, as if cells were independent.",
            *([apart] if len(columns) > len(COUNTED) else []),
        ),
        table=Table(
            ("", "Called blast", "95 % interval", *(words for words, _, _ in columns)),
            rows,
            (0.19, 0.13, 0.2, *(width for _, _, width in columns)),
            frozenset(range(1, 3 + len(columns))),
        ),
    )


COUNTED = (
    ("Blast", "num_blast", 0.09),
    ("Normal", "num_normal", 0.09),
    ("Indeterminate", "num_indeterminate", 0.155),
    ("Rejected", "num_rejected", 0.11),
)
"""How what is counted is headed, what it is called in the document, and how wide its column is."""

COUNTED_APART = (("Not lymphoid", "num_not_lymphoid", 0.12), ("Not single", "num_not_single", 0.1))
"""The same of what only photographs show."""


def _columns(report: Document) -> tuple[tuple[str, str, float], ...]:
    return COUNTED + (COUNTED_APART if report.get("smears") else ())


def _counts(share: dict[str, Any], columns: Sequence[tuple[str, str, float]]) -> Iterator[str]:
    return (f"{share[name]:,}" for _, name, _ in columns)


def _smears(report: Document) -> Iterator[Section]:
    smears = report.get("smears", [])
    rows = [
        (
            smear["name"],
            f"{smear['width']:,} × {smear['height']:,}",
            f"{smear['micrometres_per_pixel']:.4f}" if smear["micrometres_per_pixel"] else "–",
            _sentence(smear["scale_words"]) or "–",
            f"{smear['num_cells']:,}",
            smear["reason"] or _others(smear["flags"]) or "–",
        )
        for smear in smears
    ]
    if rows:
        head = (
            "Photograph",
            "Pixels",
            "µm per pixel",
            "How that is known",
            "White cells",
            "Flags, or why no cell",
        )
        table = Table(head, rows, (0.2, 0.13, 0.11, 0.22, 0.1, 0.24), frozenset({1, 2, 4}))
        yield Section("Photographs of smears", (_read_with(smears[0]["settings"]),), table=table)


def _read_with(settings: dict[str, Any]) -> str:
    """How photographs became cells, in a sentence; those of one case were all read so.

    >>> _read_with({"flat_field": False, "normalise": "none"})
    'White cells were found by their stain. The light was left as it was. The stain was not normalised.'
    """
    size = settings.get("target_pixel_size")
    light = "made even and white by the empty background" if settings["flat_field"] else "left as it was"
    return (
        f"White cells were found by their stain{f' and brought to {size:g} µm per pixel' if size else ''}. "
        f"The light was {light}. "
        f"The stain was {_normalised(settings['normalise'])}."
    )


def _normalised(way: str) -> str:
    return "not normalised" if way == "none" else f"normalised to that of C-NMC ({way.title()})"


def _others(flags: dict[str, int]) -> str:
    return ", ".join(f"{num:,} {flag}" for flag, num in flags.items())


def _photographs(report: Document) -> Iterator[Section]:
    columns = _columns(report)
    rows = [
        (
            name,
            percent(read["after_review"]["fraction"]),
            interval(read["after_review"]),
            percent(read["by_model"]["fraction"]),
            *_counts(read["after_review"], columns),
        )
        for name, read in report["photographs"].items()
    ]
    if rows:
        head = (
            "Photograph",
            "Called blast",
            "95 % interval",
            "By the model",
            *(words for words, _, _ in columns),
        )
        widths = (0.18, 0.11, 0.17, 0.11, *(width for _, _, width in columns))
        table = Table(head, rows, widths, frozenset(range(1, len(head))))
        yield Section("By photograph", ("After review, but where it says by the model.",), table=table)


def _reference(report: Document) -> Iterator[Section]:
    found = report["reference"]
    rows = [
        (
            KINDS[kind["kind"]],
            f"{kind['num_people']:,}",
            percent(kind["median"]),
            f"{percent(kind['lowest'])} to {percent(kind['highest'])}" if kind["num_people"] else "–",
            f"{kind['num_left_out']:,}",
        )
        for kind in found["kinds"]
    ]
    head = ("", "People", "Median", "Range", "With fewer cells")
    table = Table(head, rows, (0.3, 0.14, 0.14, 0.26, 0.16), frozenset(range(1, 5))) if rows else None
    yield Section(
        "What people of the model's evaluation read", (f"{_sentence(found['words'])}.",), table=table
    )


def _review(report: Document) -> Iterator[Section]:
    signature, cells = report.get("signature"), report["cells"]
    contradicted, settled = (
        sum(changed(cell) and disagrees(cell) is wanted for cell in cells) for wanted in (True, False)
    )
    signed = (
        f"{signature['full_name']} ({signature['username']}), {moment(signature['signed_at'])}"
        if signature
        else "by nobody yet"
    )
    num_open = sum(cell["model_decision"] == "indeterminate" for cell in cells)
    waiting = sum(cell["reviewed_by"] is None for cell in cells)
    rows = [
        (f"{who['full_name']} ({who['username']})", f"{who['num_cells']:,}", f"{who['num_in_bulk']:,}")
        for who in report["reviewers"]
    ]
    head = ("Reviewed by", "Cells", "Of these approved in bulk")
    yield Section(
        "Review and signature",
        facts=(
            ("Signed", signed),
            ("Not reviewed", f"{waiting:,} of {len(cells):,} cells"),
            (
                "Against the model",
                f"{contradicted:,} of {len(cells) - num_open:,} called otherwise by a person",
            ),
            (
                "Left open by the model",
                f"{num_open:,} of {len(cells):,}, of these {settled:,} called something else by a person",
            ),
        ),
        table=Table(head, rows, (0.6, 0.15, 0.25), frozenset({1, 2})) if rows else None,
    )


def _model(report: Document) -> Iterator[Section]:
    model, point = report["model"], report["model"]["operating_point"]
    yield Section(
        "Model",
        facts=(
            ("Name", model["name"]),
            ("Version", f"bundle {model['bundle_id']}, made {moment(model['created_at'])}"),
            ("Graph (SHA-256)", model["model_sha256"]),
            ("Trained on", model["trained_on"] or "not named"),
            (
                "Operating point",
                f"{point['name']}: normal below {point['normal_below']:.4f}, "
                f"blast from {point['blast_from']:.4f}"
                + (f"; fitted on {point['fitted_on']}" if point["fitted_on"] else ""),
            ),
            (
                "Software",
                ", ".join(f"{name} {version}" for name, version in model["versions"].items()) or "–",
            ),
        ),
    )


def _pictures(report: Document) -> Iterator[Section]:
    wanted = [cell for cell in report["cells"] if changed(cell) or cell["decision"] == "blast"]
    wanted.sort(key=lambda cell: (not changed(cell), -(cell["blast_probability"] or 0.0)))
    shown = wanted[:MOST_PICTURES]
    words = f"{len(wanted):,} cells are called blast, or otherwise than by the model"
    if len(shown) < len(wanted):
        words += f"; the first {len(shown):,} are shown, changed ones first, then the most suspicious"
    yield Section(
        "Cells called blast or changed",
        (f"{words}.",),
        pictures=tuple(Picture(cell["stored_sha256"], cell["name"], _caption(cell)) for cell in shown),
    )


def _caption(cell: dict[str, Any]) -> tuple[str, ...]:
    said = f"{cell['model_decision']} → {cell['decision']}" if changed(cell) else cell["decision"]
    return cell["name"], f"{probability(cell['blast_probability'])}  {said}"


def _disagreements(report: Document) -> Iterator[Section]:
    rows = [_row(cell) for cell in report["cells"] if changed(cell)]
    if rows:
        words = (
            "Every cell that a person calls otherwise than the model did, those that it left open among them."
        )
        yield Section("Where the report differs from the model", (words,), table=_cell_table(rows))


def _cells(report: Document) -> Iterator[Section]:
    words = (
        "Probability: of being a blast, calibrated, as the model gave it. Words in brackets say why the "
        "model left a cell open; * marks what was approved with a whole tab."
    )
    yield Section("All cells", (words,), table=_cell_table([_row(cell) for cell in report["cells"]]))


def _cell_table(rows: list[tuple[str, ...]]) -> Table:
    head = ("Cell", "Photograph", "Probability", "Model", "Final", "Reviewed by", "At")
    return Table(head, rows, (0.26, 0.11, 0.1, 0.19, 0.12, 0.11, 0.15), frozenset({2}))


def _row(cell: dict[str, Any]) -> tuple[str, ...]:
    reason = f" ({cell['reason']})" if cell["reason"] else ""
    return (
        cell["name"],
        cell["photograph"] or "–",
        probability(cell["blast_probability"]),
        cell["model_decision"] + reason,
        cell["decision"] + ("*" if cell["in_bulk"] else ""),
        cell["reviewed_by"] or "nobody",
        cell["reviewed_at"][:16].replace("T", " ") if cell["reviewed_at"] else "–",
    )


def _refused(report: Document) -> Iterator[Section]:
    rows = [(image["name"], image["reason"]) for image in report["images"] if image["reason"]]
    if rows:
        yield Section("Files not taken", table=Table(("File", "Reason"), rows, (0.4, 0.6)))


def _trail(report: Document, sha256: str) -> Section:
    head = report["audit"]
    rows = [
        (
            str(one["number"]),
            f"{one['signed_by']}, {moment(one['signed_at'])}",
            one["report_sha256"],
            f"{one['reopened_by']}, {moment(one['reopened_at'])}: {one['reopened_why']}"
            if one["reopened_why"]
            else "–",
        )
        for one in report["earlier_reports"]
    ]
    titles = ("Report", "Signed", "SHA-256", "Reopened")
    return Section(
        "Trail",
        (
            "The SHA-256 is that of the JSON form of this report, to the byte; the trail records it with the "
            "signature.",
        ),
        facts=(
            ("This report (SHA-256)", sha256),
            ("Audit trail before it", f"entry {head['number']:,}, {head['entry_hash']}"),
            ("Earlier reports", f"{len(rows):,}"),
        ),
        table=Table(titles, rows, (0.08, 0.22, 0.35, 0.35)) if rows else None,
    )
