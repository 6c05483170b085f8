"""Who wants to be woken when. A heap with late removal: putting an item again replaces its time."""

from __future__ import annotations

import heapq
import math
from typing import Generic, TypeVar

from guardian.core.model import Instant, Seconds

Item = TypeVar("Item", bound=str)


def next_tick(now: Instant, interval: Seconds) -> Instant:
    """Return the first multiple of the interval after now, so that looks of many rollouts fall together.

    >>> next_tick(Instant(20.0), Seconds(10.0)), next_tick(Instant(24.9), Seconds(10.0))
    (30.0, 30.0)
    """
    return Instant((math.floor(now / interval + 1e-9) + 1) * interval)


class Agenda(Generic[Item]):
    """Items and the time of each; `due` takes those out whose time has come."""

    def __init__(self) -> None:
        self._times: dict[Item, Instant] = {}
        self._heap: list[tuple[Instant, Item]] = []

    def put(self, item: Item, at: Instant | None) -> None:
        """Set the item's time; None takes it off."""
        if at is None:
            self._times.pop(item, None)
        elif self._times.get(item) != at:
            self._times[item] = at
            heapq.heappush(self._heap, (at, item))

    def earliest(self) -> Instant | None:
        """Return the earliest time, None when nothing is put."""
        while self._heap:
            at, item = self._heap[0]
            if self._times.get(item) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def ready(self, now: Instant) -> list[Item]:
        """Return what `due` would, in any order; nothing is taken out."""
        return [item for item, at in self._times.items() if at <= now]

    def due(self, now: Instant) -> list[Item]:
        """Take out and return the items whose time is now or past, earliest first."""
        found: list[Item] = []
        while (at := self.earliest()) is not None and at <= now:
            item = heapq.heappop(self._heap)[1]
            del self._times[item]
            found.append(item)
        return found
