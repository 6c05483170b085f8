"""A clock that a test sets."""

from __future__ import annotations

from guardian.core.model import Instant
from tests.builders import T0


class SetClock:
    """Clock that stands still until it is set."""

    def __init__(self, at: Instant = T0) -> None:
        self.at = at

    def now(self) -> Instant:
        return self.at

    async def sleep_until(self, at: Instant) -> None:
        self.at = max(self.at, at)
