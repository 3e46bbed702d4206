"""Counts, times, memory and energy as a person reads them."""

from __future__ import annotations

from leukoscope.studies.outcome import Cost


def short(value: float | None) -> str:
    """A large count for people.

    >>> short(348_148_000), short(61_537), short(None)
    ('348 M', '61.5 k', '–')
    """
    if value is None:
        return "–"
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= power:
            return f"{value / power:.3g} {letter}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """A time for people.

    >>> duration(4.21), duration(75), duration(7260), duration(None)
    ('4.2 s', '1 min 15 s', '2 h 1 min', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(value: int | None) -> str:
    """Memory for people.

    >>> size(1_340_000_000), size(None)
    ('1.3 GB', 'not told')
    """
    return "not told" if value is None else f"{value / 1e9:.1f} GB"


def joules(cost: Cost) -> str:
    """Energy for people, and of what it is."""
    energy = cost.energy
    return "not told" if energy is None else f"{energy.joules / 1000:.3g} kJ ({energy.source})"
