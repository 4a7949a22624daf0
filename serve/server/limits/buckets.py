"""A budget that fills as time goes: so many a minute, saved up for a minute at most."""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE = 60.0


class Bucket:
    """A budget of `a_minute`; 0: without limit. Used on one thread."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.a_minute, self._clock = a_minute, clock
        self._left, self._at = float(a_minute), clock()

    def take(self, amount: float) -> float:
        """Take `amount` and return 0.0, or take nothing and return the seconds until there is enough."""
        if not self.a_minute:
            return 0.0
        now = self._clock()
        rate = self.a_minute / MINUTE
        self._left = min(self.a_minute, self._left + (now - self._at) * rate)
        self._at = now
        if amount > self._left:
            return (amount - self._left) / rate
        self._left -= amount
        return 0.0

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used."""
        self._left = min(self.a_minute, self._left + amount)
