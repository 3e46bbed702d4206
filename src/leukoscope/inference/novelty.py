"""Have I seen anything like this? The distance of an embedding to its k-th nearest training reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leukoscope.bundle.format import NoveltyLimit
from leukoscope.errors import UsageError

Floats = npt.NDArray[np.float32]


class References:
    """Reference embeddings, ready to be compared with.

    Args:
        embeddings: (M, D), of training cells.
        k: which neighbour counts, from 1 to M.
    """

    def __init__(self, embeddings: np.ndarray, k: int) -> None:
        if embeddings.ndim != 2 or not 1 <= k <= len(embeddings):
            raise UsageError(f"expected embeddings (M, D) with M >= k = {k}. Received: {embeddings.shape}")
        self._references, self._k = np.asarray(embeddings, dtype=np.float32), k
        self._squares = np.square(self._references).sum(axis=1)

    def distance(self, embedding: np.ndarray) -> Floats:
        """Distance of each embedding (N, D) to its ``k``-th nearest reference, shape (N,): the root mean
        square of the differences of the D features.

        >>> References(np.eye(2), k=1).distance(np.array([[1.0, 0.0], [3.0, 0.0]])).round(3)
        array([0.   , 1.414], dtype=float32)
        """
        return np.asarray(np.partition(self.distances(embedding), self._k - 1, axis=1)[:, self._k - 1])

    def distances(self, embedding: np.ndarray) -> Floats:
        """The same distance of each embedding (N, D) to every reference, shape (N, M)."""
        values = np.asarray(embedding, dtype=np.float32)
        squares = np.square(values).sum(axis=1)[:, None] - 2 * values @ self._references.T + self._squares
        return np.asarray(np.sqrt(np.maximum(squares, 0) / values.shape[1]), dtype=np.float32)


def choose_references(
    embedding: np.ndarray, subjects: npt.ArrayLike, *, num: int = 512, seed: int = 0
) -> np.ndarray:
    """A few training embeddings that stand for all: as many of each subject as come, dealt in turn.

    Args:
        embedding: (N, D), of training cells.
        subjects: (N,) whose each cell is.
        num: how many to keep, at most.
        seed: which cells of a subject.

    Returns:
        float16 (min(num, N), D), as a bundle keeps them.
    """
    chosen = chosen_cells(subjects, num=num, seed=seed)
    return np.asarray(embedding)[chosen].astype(np.float16)


def chosen_cells(subjects: npt.ArrayLike, *, num: int = 512, seed: int = 0) -> npt.NDArray[np.int64]:
    """Which of N cells :func:`choose_references` keeps, ascending; ``subjects`` (N,) says whose each is."""
    names = np.asarray(subjects)
    order = np.random.default_rng(seed).permutation(len(names))
    _, whose = np.unique(names[order], return_inverse=True)
    turn = np.zeros(len(order), dtype=np.int64)
    for subject in range(whose.max(initial=-1) + 1):
        turn[whose == subject] = np.arange((whose == subject).sum())
    return np.sort(order[np.argsort(turn, kind="stable")[:num]])


def fit_limit(
    references: np.ndarray, embedding: np.ndarray, *, k: int = 5, quantile: float = 0.995, fitted_on: str = ""
) -> NoveltyLimit:
    """The distance that all but ``1 - quantile`` of the cells of unseen subjects stay within.

    Args:
        references: (M, D), from :func:`choose_references`.
        embedding: (N, D), of cells of subjects that are not among the references: the calibration subjects.
        k: which neighbour counts; at most M of them.
        quantile: share of these cells that shall not be called novel.
        fitted_on: whose cells they are, in words.

    Raises:
        UsageError: without cells.
    """
    if not len(embedding):
        raise UsageError("a novelty limit needs cells of calibration subjects, there are none")
    k = min(k, len(references))
    distance = References(references, k).distance(embedding)
    limit = max(float(np.quantile(distance, quantile)), np.finfo(np.float16).eps)
    return NoveltyLimit(distance=limit, k=k, fitted_on=fitted_on)
