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
        self._directions, self._k = _unit(embeddings), k

    def distance(self, embedding: np.ndarray) -> Floats:
        """Cosine distance (0..2) of each embedding (N, D) to its ``k``-th nearest reference, shape (N,).

        >>> References(np.eye(2), k=1).distance(np.array([[3.0, 0.0], [-1.0, 0.0]]))
        array([0., 1.], dtype=float32)
        """
        similarity = _unit(embedding) @ self._directions.T
        place = similarity.shape[1] - self._k
        kth = np.partition(similarity, place, axis=1)[:, place]
        return np.asarray(np.clip(1 - kth, 0, 2), dtype=np.float32)


def _unit(vectors: np.ndarray) -> Floats:
    values = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0))


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
    names = np.asarray(subjects)
    order = np.random.default_rng(seed).permutation(len(names))
    _, whose = np.unique(names[order], return_inverse=True)
    turn = np.zeros(len(order), dtype=np.int64)
    for subject in range(whose.max(initial=-1) + 1):
        turn[whose == subject] = np.arange((whose == subject).sum())
    chosen = order[np.argsort(turn, kind="stable")[:num]]
    return np.asarray(embedding)[np.sort(chosen)].astype(np.float16)


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
