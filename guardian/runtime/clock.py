"""Time as the daemon reads it: the machine's, or one that runs faster so that a day passes in minutes."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from guardian.core.model import Instant

_LONGEST_SLEEP: Final = 1.0  # seconds; the wall clock may be set while we sleep


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> Instant:
        return Instant(time.time())

    async def sleep_until(self, at: Instant) -> None:
        while (left := at - time.time()) > 0:  # noqa: ASYNC110  it waits for a time, which no event tells
            await asyncio.sleep(min(left, _LONGEST_SLEEP))


class FastClock:
    """Begins at `start` and runs `speed` times as fast as the machine's monotonic clock."""

    def __init__(self, *, speed: float, start: Instant) -> None:
        if speed <= 0:
            raise ValueError(f"speed {speed} is not above 0")
        self._speed, self._start, self._origin = speed, start, time.monotonic()

    def now(self) -> Instant:
        return Instant(self._start + (time.monotonic() - self._origin) * self._speed)

    async def sleep_until(self, at: Instant) -> None:
        while (left := at - self.now()) > 0:  # noqa: ASYNC110  it waits for a time, which no event tells
            await asyncio.sleep(left / self._speed)
