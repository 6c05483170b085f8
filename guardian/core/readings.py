"""The newest that routers and workloads said of each rollout. Volatile: it comes again after a restart."""

from __future__ import annotations

import math

from msgspec.structs import replace

from guardian.core.facts import WeightRead
from guardian.core.model import Instant, RolloutId, Seconds
from guardian.core.readiness import bare_since


class Readings:
    """What was read back, by rollout. What was read before a weight was set says nothing about it."""

    def __init__(self) -> None:
        self._newest: dict[RolloutId, WeightRead] = {}
        self._weight_set: dict[RolloutId, Instant] = {}
        self._last: dict[RolloutId, WeightRead] = {}

    def note(self, reading: WeightRead, *, interval: Seconds) -> None:
        """Take one in, with since when the canary has been without a ready pod; interval: seconds between two."""
        name = reading.rollout
        reading = replace(reading, bare_since=bare_since(reading, self._last.get(name), interval))
        self._last[name] = reading
        if reading.asked >= self._weight_set.get(name, -math.inf):
            self._newest[name] = reading

    def weight_set(self, rollout: RolloutId, at: Instant) -> None:
        """A weight was set: older readings do not count any more."""
        self._weight_set[rollout] = at
        self._newest.pop(rollout, None)

    def of(self, rollout: RolloutId) -> WeightRead | None:
        """Return the newest one that counts."""
        return self._newest.get(rollout)

    def forget(self, rollout: RolloutId) -> None:
        """Nothing of this rollout is read any more."""
        for table in (self._newest, self._weight_set, self._last):
            table.pop(rollout, None)
