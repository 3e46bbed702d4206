"""The ways to make a map: one contract, several of them behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from leukoscope.bundle.read import Bundle
from leukoscope.core.registry import Registry
from leukoscope.errors import UsageError
from leukoscope.explain.evidence import Cells, Floats
from leukoscope.inference.backends import Backend
from leukoscope.inference.views import dihedral, upright

Mapper = Callable[[Cells], Floats]
"""Maps (N, h, w) float32 of cells (N, S, S, 3) as they lie; above zero is evidence for blast."""


AGAINST_PLAIN = "log-odds of blast that a place adds, against the same cell filled with its mean colour"


@dataclass(frozen=True)
class Method:
    """One way to make maps of one bundle.

    Attributes:
        name: as the user picks it.
        title: for people.
        value: what one value of a map is, in words.
        unit: of the values, for a scale; empty where they have none.
        mapper: makes the maps.
        randomised: makes a mapper of the same network with random weights, from a seed. It raises a
            :class:`~leukoscope.errors.LeukoscopeError` where that cannot be done here.
        signed: whether a value below zero is evidence against blast; else there is none below zero.
        reference: cells with which these are compared, where the values of a map add up to the log-odds of
            the cell less those of its reference.
    """

    name: str
    title: str
    value: str
    unit: str
    mapper: Mapper
    randomised: Callable[[int], Mapper]
    signed: bool = True
    reference: Callable[[Cells], Cells] | None = None


class MethodMaker(Protocol):
    """How a method is made for a bundle."""

    def __call__(self, bundle: Bundle, backend: Backend) -> Method:
        """Make it.

        Args:
            bundle: a verified bundle.
            backend: its model, loaded.

        Raises:
            UsageError: when the bundle does not have what the method needs.
            MissingExtraError: when a program behind it is not installed.
        """


methods: Registry[MethodMaker] = Registry("method")
"""Methods by name; :func:`make_method` also knows ``"auto"``."""


def make_method(bundle: Bundle, backend: Backend, name: str = "auto") -> tuple[Method, str]:
    """A method for a bundle, and why it is this one.

    Args:
        bundle: a verified bundle.
        backend: its model, loaded.
        name: ``"auto"`` takes ``"cam"`` where the bundle has a class map, else ``"occlusion"``; or
            ``"grad-cam++"``, ``"integrated-gradients"``.

    Raises:
        UsageError: for an unknown name, or one that does not fit the bundle.
        MissingExtraError: when a program behind it is not installed.
    """
    from leukoscope.explain import class_map, gradients, occlusion  # noqa: F401 - they register themselves

    if name != "auto":
        return methods.get(name)(bundle, backend), "as asked for"
    try:
        return methods.get("cam")(bundle, backend), "the bundle has a class map"
    except UsageError:
        return methods.get("occlusion")(bundle, backend), "the bundle has no class map"


def over_views(mapper: Mapper, cells: Cells, views: int) -> Floats:
    """Maps (N, h, w) of what a bundle with 1 or 8 views says: with 8, the mean of the maps of the views, each
    turned back."""
    if views == 1:
        return mapper(cells)
    maps = [upright(mapper(view), number) for number, view in enumerate(dihedral(cells))]
    return np.asarray(np.mean(maps, axis=0), dtype=np.float32)


def place_side(size: int, least: int) -> int:
    """Side in pixels of the squares that a picture is divided into: the largest that divides ``size`` and
    leaves at least ``least`` of them in a row.

    >>> place_side(112, 14), place_side(45, 14), place_side(112, 28)
    (8, 3, 4)
    """
    return max(
        side for side in range(1, size + 1) if size % side == 0 and (side == 1 or size // side >= least)
    )
