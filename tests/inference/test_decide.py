"""Decisions and the order of their reasons."""

from __future__ import annotations

import numpy as np
import pytest

from leukoscope.bundle.format import NoveltyLimit
from leukoscope.bundle.read import open_bundle
from leukoscope.inference.decide import decide


@pytest.fixture(scope="module")
def info(tiny_bundle):
    """Normal below 0.4, blast from 0.6, novel beyond 0.5."""
    return open_bundle(tiny_bundle).info.model_copy(update={"novelty": NoveltyLimit(distance=0.5, k=1)})


def call(info, p, *, error=None, flags=(), novelty=0.0):
    decisions, reasons = decide(
        np.array([p], dtype=float), errors=[error], flags=[flags], novelty=np.array([novelty]), info=info
    )
    return decisions[0], reasons[0]


def test_a_clear_cell_is_decided_without_a_reason(info):
    assert call(info, 0.39) == ("normal", None)
    assert call(info, 0.6) == ("blast", None)
    assert call(info, 0.99, flags=("border", "dark")) == ("blast", None)


def test_reasons_come_in_their_order(info):
    everything = {"error": "zero bytes", "flags": ("blank", "dark"), "novelty": 0.9}
    assert call(info, np.nan, **everything) == ("indeterminate", "unreadable: zero bytes")
    del everything["error"]
    assert call(info, 0.5, **everything) == ("indeterminate", "quality: blank")
    assert call(info, 0.5, novelty=0.9) == ("indeterminate", "novel")
    assert call(info, 0.5) == ("indeterminate", "between thresholds")


@pytest.mark.parametrize("flag", ["blank", "none", "not-segmented"])
def test_where_there_is_nothing_to_judge_nothing_is_decided(info, flag):
    assert call(info, 0.99, flags=(flag,)) == ("indeterminate", f"quality: {flag}")
    free = info.model_copy(update={"forbidding_flags": ()})
    assert call(free, 0.99, flags=(flag,)) == ("blast", None)


def test_at_the_limit_is_not_beyond_it_and_unknown_is_not_novel(info):
    assert call(info, 0.9, novelty=0.5) == ("blast", None)
    assert call(info, 0.9, novelty=np.nan) == ("blast", None)
    assert call(info.model_copy(update={"novelty": None}), 0.9, novelty=9.0) == ("blast", None)


def test_the_first_operating_point_decides(info):
    strict = info.operating_points[0].model_copy(update={"normal_below": 0.9, "blast_from": 0.95})
    both = info.model_copy(update={"operating_points": (strict, *info.operating_points)})
    assert call(both, 0.7) == ("normal", None)
