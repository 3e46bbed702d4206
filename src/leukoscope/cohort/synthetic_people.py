"""The people of a synthetic cohort: how large, how fine and how stained each one's cells are.

The class shows in two ways that know nothing of each other. Size: blasts are larger on average, about as much
as in C-NMC, and some healthy people have cells as large as blasts, as H3, H6, H7, H9 and H46 do there.
Texture: the chromatin of blasts is finer and has more nucleoli.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from leukoscope.cohort.cell_drawing import Look

FIRST_NUMBER = 101  # above every number in C-NMC, so that nobody is taken for a real subject

# Log radius in pixels: means of the classes, standard deviations between people and between cells of one.
BLAST_LOG_RADIUS, NORMAL_LOG_RADIUS = float(np.log(107.4)), float(np.log(86))
RADIUS_BETWEEN, RADIUS_WITHIN = 0.06, 0.115
LARGE_NORMAL_SHARE, LARGE_NORMAL_LOG_RADIUS = 0.25, float(np.log(104))
# Texture: below zero coarse, above zero fine; blasts have the mean +1, normal cells -1.
TEXTURE_BETWEEN, TEXTURE_WITHIN = 0.3, 0.55


class Person(NamedTuple):
    """One synthetic subject.

    Attributes:
        subject_id: as in file names: ``101`` has leukaemia, ``H101`` is somebody else and healthy.
        blast: whether the cells are blasts.
        log_radius: mean of the natural logarithm of the cells' radius in pixels.
        texture: mean of the cells' texture; higher is finer.
        stain: mean red, green and blue of the cells, 0..255.
        contrast: of the chromatin; 1 is usual.
    """

    subject_id: str
    blast: bool
    log_radius: float
    texture: float
    stain: tuple[float, float, float]
    contrast: float


def draw_people(num: int, *, blast: bool, first: int, rng: np.random.Generator) -> list[Person]:
    """``num`` people of one class, numbered from ``first``.

    Their means are drawn one from each of ``num`` equal parts of the distribution, so that a cohort of a few
    people has the size shortcut, and the exceptions to it, that a large one has.

    >>> [person.subject_id for person in draw_people(2, blast=False, first=7, rng=np.random.default_rng(0))]
    ['H7', 'H8']
    """
    parts = zip(spread(num, rng), spread(num, rng), strict=True)
    return [
        Person(
            subject_id=f"{'' if blast else 'H'}{first + place}",
            blast=blast,
            log_radius=_log_radius(radius, blast=blast),
            texture=(1 if blast else -1) + TEXTURE_BETWEEN * normal_quantile(texture),
            stain=_stain(rng),
            contrast=float(np.exp(rng.normal(0, 0.08))),
        )
        for place, (radius, texture) in enumerate(parts)
    ]


def draw_look(person: Person, rng: np.random.Generator, *, size: float) -> Look:
    """What one cell of a person looks like, before chance draws its details.

    Args:
        person: whose cell it is.
        rng: draws everything but the size.
        size: where the cell stands among the person's cells, a quantile in (0, 1); 0.5 is of middle size.
    """
    texture = person.texture + rng.normal(0, TEXTURE_WITHIN)
    fineness = float(1 / (1 + np.exp(-2 * texture)))
    strength = float(np.exp(rng.normal(0, 0.06)))
    red, green, blue = person.stain
    return Look(
        radius=float(np.exp(person.log_radius + RADIUS_WITHIN * normal_quantile(size))),
        elongation=float(np.exp(abs(rng.normal(0, 0.14)))),
        fineness=fineness,
        nucleoli=int(rng.poisson(2.2 * fineness)),
        stain=(red * strength, green * strength, blue * strength),
        contrast=person.contrast,
    )


def spread(num: int, rng: np.random.Generator) -> list[float]:
    """``num`` quantiles, one from the middle half of each of ``num`` equal parts, in random order."""
    return [float(value) for value in (rng.permutation(num) + rng.uniform(0.25, 0.75, num)) / num]


def _log_radius(quantile: float, *, blast: bool) -> float:
    if blast:
        return BLAST_LOG_RADIUS + RADIUS_BETWEEN * normal_quantile(quantile)
    usual = 1 - LARGE_NORMAL_SHARE
    if quantile < usual:
        return NORMAL_LOG_RADIUS + RADIUS_BETWEEN * normal_quantile(quantile / usual)
    return LARGE_NORMAL_LOG_RADIUS + 0.5 * RADIUS_BETWEEN * normal_quantile(
        (quantile - usual) / LARGE_NORMAL_SHARE
    )


def normal_quantile(quantile: float) -> float:
    """The standard normal quantile, kept within two and a half standard deviations."""
    return NormalDist().inv_cdf(min(max(quantile, 0.006), 0.994))


def _stain(rng: np.random.Generator) -> tuple[float, float, float]:
    """Strength and hue vary from smear to smear, whatever the class."""
    strength, hue = np.exp(rng.normal(0, 0.12)), rng.normal(0, 0.03)
    return float(66 * strength * np.exp(hue)), float(28 * strength), float(79 * strength * np.exp(-hue))
