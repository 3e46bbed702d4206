"""The document behind every form of a report: all that is said of a case, in values that JSON can hold.

Its canonical JSON is what is signed; the page, the PDF and the file to download are drawn from it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from leukoscope.bundle.read import Bundle
from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.review.audit import Head
from leukoscope.review.services.differential import WORDS, Differential, by_photograph, differential
from leukoscope.review.services.photographs import how_known, photographs_of, reason
from leukoscope.review.services.reference import reference_readings
from leukoscope.review.services.reviewed import approved_in_bulk
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import Case, Cell, Cut, Image, Photograph, Signature, User

SCHEMA_VERSION = 2
"""Of reports that a room made before it took photographs: 1, without what is said of these."""
DEMONSTRATION = "demonstration model: for trying the software"
LEAKY = "leaky model: people may be on both sides of the split it was fitted with"
SYNTHETIC = "synthetic model: trained on drawn cells, it knows nothing about real ones"


def document(session: Session, case: Case, bundle: Bundle, *, trail: Head) -> dict[str, Any]:
    """All that a report says of a case as it stands now.

    Args:
        session: to read with.
        case: which.
        bundle: that it was read with.
        trail: where the audit trail ends now.
    """
    cells = _cells(session, case.case_id)
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": RESEARCH_USE_ONLY,
        "laboratory": room_settings(session).laboratory,
        "case": _case(case),
        "model": _model(bundle, case.operating_point),
        "differential": _differential(differential(session, case.case_id)),
        "differential_words": WORDS,
        "photographs": {
            name: _differential(read) for name, read in by_photograph(session, case.case_id).items()
        },
        "smears": [_smear(photograph) for photograph in photographs_of(session, case.case_id)],
        "reference": _reference(bundle, case.operating_point),
        "reviewers": _reviewers(session, cells),
        "images": _images(session, case.case_id),
        "cells": cells,
        "audit": trail._asdict(),
        "earlier_reports": _earlier(session, case.case_id),
    }


def canonical(report: dict[str, Any]) -> bytes:
    """A document's canonical JSON: keys sorted, no blanks, UTF-8.

    >>> canonical({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'
    """
    text = json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def fingerprint(report: dict[str, Any]) -> str:
    """SHA-256 of a document's canonical JSON."""
    return hashlib.sha256(canonical(report)).hexdigest()


def _case(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "subject_id": case.subject_id,
        "specimen": case.specimen,
        "taken_on": case.taken_on and case.taken_on.isoformat(),
        "priority": case.priority,
        "created_at": case.created_at.isoformat(timespec="seconds"),
    }


def _model(bundle: Bundle, operating_point: str) -> dict[str, Any]:
    info, data = bundle.info, bundle.info.training_data
    point = next(point for point in info.operating_points if point.name == operating_point)
    stamps = ((info.demonstration, DEMONSTRATION), (data.leaky, LEAKY), (data.synthetic, SYNTHETIC))
    return {
        "name": info.name,
        "bundle_id": bundle.bundle_id,
        "model_sha256": info.files["model.onnx"],
        "created_at": info.created_at,
        "versions": info.versions,
        "trained_on": data.name,
        "operating_point": point.model_dump(mode="json"),
        "stamps": [words for holds, words in stamps if holds],
    }


def _differential(read: Differential) -> dict[str, Any]:
    return {"by_model": read.by_model._asdict(), "after_review": read.after_review._asdict()}


def _smear(photograph: Photograph) -> dict[str, Any]:
    """A photograph: what it was read with, its scale, and what was found in it."""
    own = ("name", "settings", "micrometres_per_pixel", "num_red_cells", "num_cells", "flags")
    return {name: getattr(photograph, name) for name in own} | {
        "received_sha256": photograph.image.received_sha256,
        "width": photograph.image.width,
        "height": photograph.image.height,
        "scale_source": photograph.scale_source,
        "scale_words": how_known(photograph),
        "reason": reason(photograph),
    }


def _reference(bundle: Bundle, operating_point: str) -> dict[str, Any]:
    found = reference_readings(bundle.info, operating_point)
    return {"words": found.words, "kinds": [kind.model_dump(mode="json") for kind in found.kinds]}


def _images(session: Session, case_id: int) -> list[dict[str, Any]]:
    columns = (Image.name, Image.kind, Image.received_sha256, Image.stored_sha256, Image.reason)
    found = select(*columns).where(Image.case_id == case_id, Image.kind != "cut").order_by(Image.image_id)
    return [dict(row._mapping) for row in session.execute(found)]


def _cells(session: Session, case_id: int) -> list[dict[str, Any]]:
    columns = (
        *(Cell.cell_id, Image.name, Cell.photograph, Image.stored_sha256, Cell.blast_probability),
        *(Cell.model_decision, Cell.reason, Cell.apart, Cell.decision, User.username, Cell.reviewed_at),
        *(Cut.box, Cut.flags),
    )
    found = (
        select(*columns)
        .join(Image, Image.image_id == Cell.image_id)
        .outerjoin(Cut, Cut.image_id == Cell.image_id)
        .outerjoin(User, User.user_id == Cell.reviewed_by)
        .where(Cell.case_id == case_id)
        .order_by(Cell.position)
    )
    mine = Cell.cell_id.in_(approved_in_bulk())
    in_bulk = set(session.scalars(select(Cell.cell_id).where(Cell.case_id == case_id, mine)))
    return [
        {
            "cell_id": row.cell_id,
            "name": row.name,
            "photograph": row.photograph,
            "box": row.box,
            "flags": row.flags or "",
            "stored_sha256": row.stored_sha256,
            "blast_probability": row.blast_probability,
            "model_decision": row.model_decision,
            "reason": row.reason,
            "apart": row.apart,
            "decision": row.decision,
            "reviewed_by": row.username,
            "reviewed_at": row.reviewed_at and row.reviewed_at.isoformat(timespec="seconds"),
            "in_bulk": row.cell_id in in_bulk,
        }
        for row in session.execute(found)
    ]


def _reviewers(session: Session, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Who decided last on how many cells, and on how many of these in bulk; by name."""
    num = Counter(cell["reviewed_by"] for cell in cells if cell["reviewed_by"])
    in_bulk = Counter(cell["reviewed_by"] for cell in cells if cell["in_bulk"])
    people = session.execute(select(User.username, User.full_name).where(User.username.in_(num))).all()
    return [
        {"username": name, "full_name": full, "num_cells": num[name], "num_in_bulk": in_bulk[name]}
        for name, full in sorted(people)
    ]


def _earlier(session: Session, case_id: int) -> list[dict[str, Any]]:
    signer, opener = aliased(User), aliased(User)
    columns = (Signature.number, Signature.signed_at, Signature.report_sha256, Signature.reopened_at)
    found = (
        select(*columns, Signature.reopened_why, signer.username, opener.username.label("opener"))
        .join(signer, signer.user_id == Signature.signed_by)
        .outerjoin(opener, opener.user_id == Signature.reopened_by)
        .where(Signature.case_id == case_id)
        .order_by(Signature.number)
    )
    return [
        {
            "number": row.number,
            "signed_by": row.username,
            "signed_at": row.signed_at.isoformat(timespec="seconds"),
            "report_sha256": row.report_sha256,
            "reopened_by": row.opener,
            "reopened_at": row.reopened_at and row.reopened_at.isoformat(timespec="seconds"),
            "reopened_why": row.reopened_why,
        }
        for row in session.execute(found)
    ]
