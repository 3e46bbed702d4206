"""Reports of a case: the draft of now, and every one that was signed, in each form, for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from leukoscope.bundle.read import Bundle
from leukoscope.review.audit import head
from leukoscope.review.auth.rights import Actor, NotFoundError, case_for
from leukoscope.review.reports.document import canonical, document, fingerprint
from leukoscope.review.reports.pictures import picture
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.tables import AuditEntry, Signature, User

FORMS = {"html": "text/html; charset=utf-8", "pdf": "application/pdf", "json": "application/json"}
"""The forms of a report, and how they are announced."""


class Report(NamedTuple):
    """A report of a case.

    Attributes:
        case_id: of which.
        number: as it was signed; ``None`` for a draft.
        content: the document.
        sha256: of its canonical JSON, worked out anew.
    """

    case_id: int
    number: int | None
    content: dict[str, Any]
    sha256: str

    @property
    def name(self) -> str:
        """What its files are called, without their ending."""
        return f"leukoscope-case-{self.case_id}-" + (f"report-{self.number}" if self.number else "draft")


class Version(NamedTuple):
    """A signed report, without its content."""

    number: int
    username: str
    full_name: str
    signed_at: datetime
    report_sha256: str
    audit_hash: str
    reopened_by: str | None
    reopened_at: datetime | None
    reopened_why: str | None


def versions(session: Session, actor: Actor, case_id: int) -> list[Version]:
    """All signed reports of a case, the first one first.

    Raises:
        NotFoundError: when there is no such case for this person.
    """
    case_for(session, actor, case_id)
    signer, opener = aliased(User), aliased(User)
    found = (
        select(
            Signature.number,
            signer.username,
            signer.full_name,
            Signature.signed_at,
            Signature.report_sha256,
            Signature.audit_hash,
            opener.username,
            Signature.reopened_at,
            Signature.reopened_why,
        )
        .join(signer, signer.user_id == Signature.signed_by)
        .outerjoin(opener, opener.user_id == Signature.reopened_by)
        .where(Signature.case_id == case_id)
        .order_by(Signature.number)
    )
    return [Version(*row) for row in session.execute(found)]


def signed_report(session: Session, actor: Actor, case_id: int, number: int) -> Report:
    """A report as it was signed.

    Raises:
        NotFoundError: when there is no such report for this person.
    """
    case_for(session, actor, case_id)
    found = select(Signature.report).where(Signature.case_id == case_id, Signature.number == number)
    content = session.scalars(found).one_or_none()
    if content is None:
        raise NotFoundError(f"there is no report {number} of case {case_id}")
    return Report(case_id, number, content, fingerprint(content))


def current_report(session: Session, actor: Actor, case_id: int, bundle: Callable[[str], Bundle]) -> Report:
    """The newest signed report of a signed case; of any other the draft of what would be signed now.

    Args:
        session: to read with.
        actor: who asks.
        case_id: of which.
        bundle: gives the bundle of an id.

    Raises:
        NotFoundError: when there is no such case for this person.
    """
    case = case_for(session, actor, case_id)
    if case.state == "signed":
        return signed_report(session, actor, case_id, versions(session, actor, case_id)[-1].number)
    content = document(session, case, bundle(case.bundle_id), trail=head(session))
    return Report(case_id, None, content, fingerprint(content))


def check_report(session: Session, actor: Actor, case_id: int, number: int) -> list[str]:
    """What does not hold of a signed report; an empty list where its hash is the one signed and in the trail.

    Raises:
        NotFoundError: as :func:`signed_report`.
    """
    report = signed_report(session, actor, case_id, number)
    version = next(one for one in versions(session, actor, case_id) if one.number == number)
    entry = session.scalars(
        select(AuditEntry).where(AuditEntry.entry_hash == version.audit_hash)
    ).one_or_none()
    problems = []
    if report.sha256 != version.report_sha256:
        problems.append("its content is not what was signed")
    if entry is None or entry.details.get("report_sha256") != version.report_sha256:
        problems.append("the audit trail does not have its signature")
    return problems


def rendered(report: Report, form: str, images: ImageStore) -> bytes:
    """A report as a file: of a signed one the same bytes every time.

    Raises:
        NotFoundError: for a form that there is none of.
    """
    if form == "json":
        return canonical(report.content)
    draw = partial(picture, images)
    if form == "html":
        from leukoscope.review.reports.html import html

        return html(report.content, report.sha256, draw)
    if form == "pdf":
        from leukoscope.review.reports.pdf import pdf

        return pdf(report.content, report.sha256, draw)
    raise NotFoundError(f"there is no form '{form}' of a report", hint=f"known: {', '.join(FORMS)}")
