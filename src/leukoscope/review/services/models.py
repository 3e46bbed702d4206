"""The models that cases were read with, for who chooses the one for new cases."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leukoscope.bundle.format import BundleInfo
from leukoscope.errors import BundleError
from leukoscope.evaluation.readings import Metric
from leukoscope.review.auth.rights import Actor
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.store.tables import Case, StoredBundle

IN_SHORT = ("auroc", "sensitivity", "specificity", "weighted_f1")
"""The metrics that are shown of a model, of those that it has."""


class Model(NamedTuple):
    """A kept bundle.

    Attributes:
        bundle: its row.
        num_cases: read with it, of all teams.
        info: what it says of itself; ``None`` where ``problem`` says why it cannot be read.
        problem: in words; empty where there is none.
    """

    bundle: StoredBundle
    num_cases: int
    info: BundleInfo | None
    problem: str = ""

    @property
    def metrics(self) -> dict[str, Metric]:
        """Some of its metrics."""
        known = self.info.metrics if self.info else {}
        return {name: known[name] for name in IN_SHORT if name in known}


def models(session: Session, actor: Actor, bundles: Bundles) -> list[Model]:
    """All kept bundles, the newest first.

    Raises:
        ForbiddenError: for anybody but an administrator.
    """
    actor.need("administer")
    counted = select(Case.bundle_id, func.count()).group_by(Case.bundle_id)
    nums = dict(session.execute(counted).all())
    rows = session.scalars(select(StoredBundle).order_by(StoredBundle.added_at.desc()))
    return [_model(row, nums.get(row.bundle_id, 0), bundles) for row in rows]


def _model(row: StoredBundle, num_cases: int, bundles: Bundles) -> Model:
    try:
        return Model(row, num_cases, bundles.info(row.bundle_id))
    except BundleError as error:
        return Model(row, num_cases, None, error.message)
