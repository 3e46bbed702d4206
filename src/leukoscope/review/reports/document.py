"""The document behind every form of a report: all that is said of a case, in values that JSON can hold."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from leukoscope.bundle.read import Bundle
from leukoscope.core.provenance import RESEARCH_USE_ONLY
from leukoscope.review.audit import Head
from leukoscope.review.services.differential import WORDS, Differential, by_photograph, differential
from leukoscope.review.settings import room_settings
from leukoscope.review.store.tables import Case, Cell, Image, Signature, User

DEMONSTRATION = "demonstration model: for trying the software"


def document(session: Session, case: Case, bundle: Bundle, *, trail: Head) -> dict[str, Any]:
    """All that a report says of a case as it stands now.

    Args:
        session: to read with.
        case: which.
        bundle: that it was read with.
        trail: where the audit trail ends now.
    """
    return {
        "notice": RESEARCH_USE_ONLY,
        "laboratory": room_settings(session).laboratory,
        "case": _case(case),
        "model": _model(bundle, case.operating_point),
        "differential": _differential(differential(session, case.case_id)),
        "differential_words": WORDS,
        "photographs": {
            name: _differential(read) for name, read in by_photograph(session, case.case_id).items()
        },
        "images": _images(session, case.case_id),
        "cells": _cells(session, case.case_id),
        "audit": trail._asdict(),
        "earlier_reports": _earlier(session, case.case_id),
    }


def fingerprint(report: dict[str, Any]) -> str:
    """SHA-256 of a document's canonical JSON."""
    text = json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
    info = bundle.info
    point = next(point for point in info.operating_points if point.name == operating_point)
    return {
        "name": info.name,
        "bundle_id": bundle.bundle_id,
        "model_sha256": info.files["model.onnx"],
        "created_at": info.created_at,
        "versions": info.versions,
        "operating_point": point.model_dump(mode="json"),
        "demonstration": DEMONSTRATION if info.demonstration else "",
        "leaky": info.training_data.leaky,
        "synthetic": info.training_data.synthetic,
    }


def _differential(read: Differential) -> dict[str, Any]:
    return {"by_model": read.by_model._asdict(), "after_review": read.after_review._asdict()}


def _images(session: Session, case_id: int) -> list[dict[str, Any]]:
    columns = (Image.name, Image.received_sha256, Image.stored_sha256, Image.reason)
    found = select(*columns).where(Image.case_id == case_id).order_by(Image.image_id)
    return [dict(row._mapping) for row in session.execute(found)]


def _cells(session: Session, case_id: int) -> list[dict[str, Any]]:
    found = (
        select(Cell, Image.name, User.username)
        .join(Image, Image.image_id == Cell.image_id)
        .outerjoin(User, User.user_id == Cell.reviewed_by)
        .where(Cell.case_id == case_id)
        .order_by(Cell.position)
    )
    return [
        {
            "cell_id": cell.cell_id,
            "name": name,
            "photograph": cell.photograph,
            "blast_probability": cell.blast_probability,
            "model_decision": cell.model_decision,
            "reason": cell.reason,
            "decision": cell.decision,
            "reviewed_by": username,
            "reviewed_at": cell.reviewed_at and cell.reviewed_at.isoformat(timespec="seconds"),
        }
        for cell, name, username in session.execute(found)
    ]


def _earlier(session: Session, case_id: int) -> list[dict[str, Any]]:
    found = select(Signature).where(Signature.case_id == case_id).order_by(Signature.number)
    return [
        {
            "number": signature.number,
            "signed_at": signature.signed_at.isoformat(timespec="seconds"),
            "report_sha256": signature.report_sha256,
            "reopened_why": signature.reopened_why,
        }
        for signature in session.scalars(found)
    ]
