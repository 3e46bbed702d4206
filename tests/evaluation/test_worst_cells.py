"""The cells furthest on the wrong side."""

from __future__ import annotations

import numpy as np
import polars as pl

from leukoscope.evaluation.worst_cells import worst_cells


def judged(rows):
    subject, label, p = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {
            "cell_id": [f"c{n:03}" for n in range(len(p))],
            "subject_id": subject,
            "label": label,
            "blast_probability": p,
        }
    )
    return frame, np.array(label) == "blast", np.array(p)


def test_normal_cells_first_worst_first_and_only_wrong_ones():
    frame, y, p = judged(
        [
            ("H1", "normal", 0.6),
            ("H1", "normal", 0.9),
            ("1", "blast", 0.4),
            ("1", "blast", 0.1),
            ("2", "blast", 0.8),
        ]
    )
    found = worst_cells(frame, y, p, threshold=0.5)
    assert [(cell.label, cell.blast_probability) for cell in found] == [
        ("normal", 0.9),
        ("normal", 0.6),
        ("blast", 0.1),
        ("blast", 0.4),
    ]


def test_the_threshold_says_what_is_wrong():
    frame, y, p = judged([("H1", "normal", 0.6), ("1", "blast", 0.6)])
    assert [cell.label for cell in worst_cells(frame, y, p, threshold=0.7)] == ["blast"]
    assert [cell.label for cell in worst_cells(frame, y, p, threshold=0.6)] == ["normal"]


def test_one_hard_subject_does_not_fill_the_page():
    frame, y, p = judged([("H1", "normal", 0.99)] * 50 + [(f"H{n}", "normal", 0.7) for n in range(2, 30)])
    found = worst_cells(frame, y, p, threshold=0.5)
    assert len(found) == 12
    assert [cell.subject_id for cell in found].count("H1") == 3
    assert [cell.cell_id for cell in found[:3]] == ["c000", "c001", "c002"]


def test_nothing_wrong():
    assert worst_cells(*judged([("H1", "normal", 0.1)]), threshold=0.5) == []
