"""Names for things that a user picks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from leukoscope.core.config import nearest
from leukoscope.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by name, in the order in which they were registered.

    >>> shapes: Registry[int] = Registry("shape")
    >>> _ = shapes.add("square")(4)
    >>> shapes.get("square")
    4
    >>> shapes.get("squares")
    Traceback (most recent call last):
        ...
    leukoscope.errors.UsageError: unknown shape 'squares'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """Register the decorated thing under ``name``."""

        def register(thing: T) -> T:
            if name in self._things:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._things[name] = thing
            return thing

        return register

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises:
            UsageError: when there is none; the hint names the nearest.
        """
        if name in self._things:
            return self._things[name]
        guess = nearest(name, self._things)
        hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(self._things)}"
        raise UsageError(f"unknown {self.kind} '{name}'", hint=hint)

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._things)

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)
