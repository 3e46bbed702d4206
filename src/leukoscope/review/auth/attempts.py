"""Who tries passwords again and again is asked to wait, whatever names they try.

The lock of an account counts by account: one password tried at a thousand accounts would never meet it.
What is counted here is counted by address, and in memory: a start of the server forgets it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address, ip_network
from threading import Lock

from leukoscope.errors import LeukoscopeError

MOST_ADDRESSES = 10_000
"""Those that tried longest ago are forgotten beyond it."""


class TooManyError(LeukoscopeError):
    """Asked for too often; ``seconds`` says when it may be tried again."""

    def __init__(self, message: str, *, seconds: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class Attempts:
    """Counts what did not succeed.

    Args:
        most: so many from one address.
        within: seconds in which they count.
        clock: seconds that never go back.
    """

    def __init__(
        self, most: int = 30, within: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._within, self._clock = most, within, clock
        self._tries, self._lock = OrderedDict[str, deque[float]](), Lock()

    def begin(self, address: str) -> None:
        """Count a try before it is made, so that many at once are many.

        Raises:
            TooManyError: where there were too many; such a try is not made and does not count.
        """
        now, who = self._clock(), network_of(address)
        with self._lock:
            tries = self._tries.setdefault(who, deque())
            self._tries.move_to_end(who)
            while tries and tries[0] <= now - self._within:
                tries.popleft()
            if len(tries) >= self._most:
                seconds = int(tries[0] + self._within - now) + 1
                raise TooManyError(
                    "too many passwords were tried from this address",
                    seconds=seconds,
                    hint=f"try again in {seconds} seconds",
                )
            tries.append(now)
            while len(self._tries) > MOST_ADDRESSES:
                self._tries.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """The last try was none to be counted."""
        with self._lock:
            if tries := self._tries.get(network_of(address)):
                tries.pop()


def network_of(address: str) -> str:
    """Whom an address is of: of IPv6, where one household has 2**64 of them, its first half.

    >>> network_of("192.0.2.7"), network_of("::ffff:192.0.2.7"), network_of("2001:db8::1:2:3:4")
    ('192.0.2.7', '192.0.2.7', '2001:db8::/64')
    """
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv4Address):
        return str(known)
    return str(known.ipv4_mapped or ip_network(f"{known}/64", strict=False))
