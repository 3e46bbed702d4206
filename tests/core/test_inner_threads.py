"""Libraries start no threads inside, and all that they like outside."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from leukoscope.core.inner_threads import no_inner_threads


def blas() -> set[int]:
    np.zeros((2, 2)) @ np.zeros((2, 2))
    return {one["num_threads"] for one in threadpool_info() if one["internal_api"] == "openblas"}


@pytest.fixture(autouse=True)
def three_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_they_are_still_inside_and_free_again_after_an_error():
    before = blas()
    with pytest.raises(KeyError), no_inner_threads():
        assert cv2.getNumThreads() == 1 and blas() <= {1}
        raise KeyError
    assert cv2.getNumThreads() == 3 and blas() == before


def test_blocks_that_overlap_end_with_the_last_one():
    """The first to begin is the first to end, on another thread."""
    begun, end = threading.Event(), threading.Event()

    def first() -> None:
        with no_inner_threads():
            begun.set()
            end.wait(60)

    other = threading.Thread(target=first)
    other.start()
    begun.wait(60)
    with no_inner_threads():
        end.set()
        other.join(60)
        assert cv2.getNumThreads() == 1, "one block is still open"
    assert cv2.getNumThreads() == 3
