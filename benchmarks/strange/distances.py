"""How far an embedding lies from those of training, in a few ways.

Each way is a function of embeddings (N, D), their classes (N,) and subjects (N,), and gives the function that
says the distance (M,) of others (M, D).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from leukoscope.inference.novelty import References, choose_references

Array = NDArray[np.float64]
Distance = Callable[[np.ndarray], np.ndarray]

K, NUM_KEPT = 5, 512


def nearest(embedding: np.ndarray, _: np.ndarray, subjects: np.ndarray) -> Distance:
    """What the package does."""
    return References(choose_references(embedding, subjects, num=NUM_KEPT), K).distance


def nearest_angle(embedding: np.ndarray, _: np.ndarray, subjects: np.ndarray) -> Distance:
    """Of embeddings of length one (Sun et al. 2022)."""
    references = References(choose_references(_unit(embedding), subjects, num=NUM_KEPT), K)
    return lambda asked: references.distance(_unit(asked))


def nearest_whitened(embedding: np.ndarray, classes: np.ndarray, subjects: np.ndarray) -> Distance:
    """Of embeddings whose features are independent and of one spread within a class."""
    whiten = _whitening(_centred(embedding, classes))
    references = References(choose_references(whiten(embedding), subjects, num=NUM_KEPT), K)
    return lambda asked: references.distance(whiten(asked))


def mahalanobis(embedding: np.ndarray, classes: np.ndarray, _: np.ndarray) -> Distance:
    """To the nearer class mean, under one shrunk covariance (Lee et al. 2018; Ledoit & Wolf 2004)."""
    whiten = _whitening(_centred(embedding, classes))
    means = [whiten(embedding[classes == name].mean(0, keepdims=True)) for name in np.unique(classes)]
    return lambda asked: np.min([_length(whiten(asked) - mean) for mean in means], axis=0)


def mahalanobis_of_few(embedding: np.ndarray, classes: np.ndarray, subjects: np.ndarray) -> Distance:
    """The same from as few cells as the package keeps, as many of each class."""
    names = np.unique(classes)
    parts = [
        choose_references(embedding[classes == name], subjects[classes == name], num=NUM_KEPT // len(names))
        for name in names
    ]
    return mahalanobis(
        np.concatenate(parts).astype(np.float32), np.repeat(names, [len(part) for part in parts]), subjects
    )


def relative_mahalanobis(embedding: np.ndarray, classes: np.ndarray, _: np.ndarray) -> Distance:
    """Squared, less the squared distance to the mean of all under the covariance of all (Ren et al. 2021).

    The covariance of all is that within the classes and that between them.
    """
    whiten = _whitening(_centred(embedding, classes))
    names, counts = np.unique(classes, return_counts=True)
    means = np.stack([whiten(embedding[classes == name].mean(0)) for name in names])
    middle = counts @ means / counts.sum()
    apart = (means - middle) * np.sqrt(counts / counts.sum())[:, None]
    # (I + A'A)^-1 = I - A'(I + AA')^-1 A, of A with a row for each class
    inner = np.linalg.inv(np.eye(len(names)) + apart @ apart.T)

    def distance(asked: np.ndarray) -> np.ndarray:
        white = whiten(asked)
        near = np.min([np.square(white - mean).sum(1) for mean in means], axis=0)
        along = (white - middle) @ apart.T
        far = np.square(white - middle).sum(1) - np.einsum("ni,ij,nj->n", along, inner, along)
        return np.asarray(near - far)

    return distance


DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Distance]] = {
    "nearest": nearest,
    "nearest, angle": nearest_angle,
    "nearest, whitened": nearest_whitened,
    "Mahalanobis": mahalanobis,
    "Mahalanobis of 512": mahalanobis_of_few,
    "relative Mahalanobis": relative_mahalanobis,
}


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _length(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.mean(np.square(values), axis=1)))


def _centred(embedding: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Each embedding less the mean of its class."""
    _, which = np.unique(classes, return_inverse=True)
    means = np.stack([embedding[which == place].mean(0) for place in range(which.max() + 1)])
    return np.asarray(embedding - means[which])


def _whitening(centred: np.ndarray) -> Distance:
    covariance = LedoitWolf(assume_centered=True).fit(centred.astype(np.float64)).covariance_
    values, vectors = np.linalg.eigh(covariance)
    matrix = vectors / np.sqrt(values)
    return lambda asked: np.asarray(asked, dtype=np.float64) @ matrix
