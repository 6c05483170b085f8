"""A pod: a server with counters a scraper reads, a heap, and a life that may end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from simpy import Environment, Timeout

from simulator.request.language import FULL, Memory, Requests
from simulator.request.server import Server

TOTAL: Final = 0
BAD: Final = 1
BUCKETS: Final = 2
"""Places in `counts`: requests that ended, those that failed, and one for each bucket of the latency, not summed up."""


class Pod(Server):
    """One pod. chance: that a request fails by itself; speed: factor on its work; tail: share of slow requests.

    up: whether it serves. wanted: whether it should; one that died comes back only then. leak: share of its memory that
    each request keeps. live: share of it in use for good. routed: requests sent here so far.
    changed: is called when it went down or came up by itself.
    """

    __slots__ = (
        "_bounds", "_heap", "_memory", "chance", "changed", "counts", "leak", "live", "routed", "slot",
        "speed", "tail", "up", "wanted",
    )  # fmt: skip

    def __init__(
        self,
        environment: Environment,
        section: Requests,
        bounds: tuple[float, ...],
        *,
        slot: int,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(environment, section)
        self.slot, self._bounds, self._memory, self.changed = slot, bounds, section.memory, changed
        self.up = self.wanted = False
        self.chance, self.speed, self.tail, self.leak = 0.0, 1.0, 0.0, 0.0
        self.routed = 0
        self._empty()

    def start(self) -> None:
        """Come up with nothing remembered and counters at 0."""
        self.die()
        self._empty()
        self.up = self.wanted = True

    def stop(self) -> None:
        """Take no more requests; those at work end."""
        self.up = self.wanted = False

    def note(self, began: float, *, well: bool) -> None:
        """Count a request that ended."""
        counts = self.counts
        counts[TOTAL] += 1
        if not well:
            counts[BAD] += 1
        counts[BUCKETS + bisect_left(self._bounds, self.environment.now - began)] += 1
        if self._memory is not None:
            self._allocate(self._memory)

    def reset(self) -> None:
        """Have the counters begin anew, as after a restart that nobody noticed."""
        self.counts = [0] * (BUCKETS + len(self._bounds) + 1)

    def _empty(self) -> None:
        self.reset()
        self.live = self._heap = self._memory.live if self._memory is not None else 0.0

    def _allocate(self, memory: Memory) -> None:
        """Leave garbage behind; collect a full heap, and die of one that stays full."""
        self.live += self.leak
        self._heap += self.leak + memory.garbage
        if self._heap < 1.0:
            return
        if self.live >= FULL:
            self._crash(memory)
            return
        self.pause(memory.pause * self.live)
        self._heap = self.live

    def _crash(self, memory: Memory) -> None:
        self.up = False
        self.die()
        Timeout(self.environment, memory.restart).callbacks.append(lambda _: self._come_back())
        self.changed()

    def _come_back(self) -> None:
        if self.wanted and not self.up:
            self.start()
            self.changed()
