"""Rates that are kept to: a bucket that fills with time and that each event takes a token from."""

import time
from typing import Callable

Clock = Callable[[], float]


class Deadline:
    """A time by which something must have come, however often a piece of it comes.

    Args:
      seconds: from now on. reason: what to say when it is over. clock: seconds, growing.
    """

    def __init__(self, seconds: float, reason: str, clock: Clock = time.monotonic) -> None:
        self.reason = reason
        self._clock = clock
        self._until = clock() + seconds

    def left_sec(self) -> float:
        """Seconds that are left, 0 when it is over."""
        return max(0.0, self._until - self._clock())


class Bucket:
    """Lets `per_sec` events a second through, and as many at once after a pause.

    Args:
      clock: seconds, growing.
    """

    def __init__(self, per_sec: float, clock: Clock = time.monotonic) -> None:
        self._per_sec, self._clock = per_sec, clock
        self._most = max(1.0, per_sec)
        self._tokens, self._last = self._most, clock()

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._last) * self._per_sec)
        self._last = now

    def take(self) -> bool:
        """Whether an event may be now; if so, it is counted."""
        self._fill()
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def wait_sec(self) -> float:
        """Count an event, and say how long it has to wait, in seconds."""
        self._fill()
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._per_sec)
