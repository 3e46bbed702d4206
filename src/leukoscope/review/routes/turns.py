"""Threads are shared out, so that what is asked for by the dozen, or on purpose, leaves the pages theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, ParamSpec

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response

P = ParamSpec("P")


class Turns(NamedTuple):
    """How many of a kind are answered at the same time; the others wait, and hold no thread."""

    images: CapacityLimiter
    passwords: CapacityLimiter

    @classmethod
    def of_a_server(cls) -> Turns:
        """More at once would not be quicker: what images take is the interpreter, what passwords take a
        processor and 19 MiB each."""
        return cls(images=CapacityLimiter(4), passwords=CapacityLimiter(2))


async def in_turn(
    request: Request,
    kind: Literal["images", "passwords"],
    answer: Callable[P, Response],
    *given: P.args,
    **named: P.kwargs,
) -> Response:
    """Answer on a thread when it is this request's turn."""
    turns: Any = getattr(request.app.state.turns, kind)
    return await to_thread.run_sync(partial(answer, *given, **named), limiter=turns)
