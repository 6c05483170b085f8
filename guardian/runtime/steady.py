"""Time that never goes back and never jumps, whatever is done to the machine's wall clock; and who is told of it.

Begins at the wall clock, or at the journal's last row where that is later, and goes on with the machine's uptime. A
difference is made good slowly: an hour in two days. Why so: docs/decisions/0009. Sources of metrics have clocks of
their own, which their adapters compare with this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from guardian.core.model import Instant, Seconds
from guardian.core.sentences import duration
from guardian.runtime.health import Health

_log = structlog.get_logger(__name__)
_LONGEST_SLEEP: Final = 1.0
"""Seconds; a machine that was suspended has a clock that went on, and an event loop that did not notice."""
BEND: Final = 0.02
"""Largest share by which it runs faster or slower to meet the wall clock: a bake of 5 min lasts 4 min 54 s."""
_MEETS_IN: Final = 50.0
"""Seconds in which a small difference would be gone at the present rate; larger ones take longer, see BEND."""
TOLD: Final = Seconds(2.0)
"""A wall clock that moved by more than this between two looks was set; less is what it is corrected by all the time."""
_LOOK_EVERY: Final = 1.0


def uptime() -> float:
    """Return seconds since some moment, never set, and counted on while the machine is suspended where it can tell."""
    boot: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(boot)


class SteadyClock:
    """Keeps the promise of guardian.ports.Clock.

    wall: unix seconds, may be set. passed: seconds that passed, never set. speed: how much faster than real time
    `passed` runs.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        passed: Callable[[], float] = uptime,
        speed: float = 1.0,
    ) -> None:
        self._wall, self._passed, self._speed = wall, passed, speed
        self._since, self._at, self._rate = passed(), wall(), 1.0

    def now(self) -> Instant:
        """Return the time; never less than before."""
        return Instant(self._at + (self._passed() - self._since) * self._rate)

    async def sleep_until(self, at: Instant) -> None:
        """Return when it is that time."""
        while (left := at - self.now()) > 0:  # noqa: ASYNC110  it waits for a time, which no event tells
            await asyncio.sleep(min(left / self._speed, _LONGEST_SLEEP))

    def ahead(self) -> Seconds:
        """Return by how much this clock is ahead of the wall clock."""
        return Seconds(self.now() - self._wall())

    def not_before(self, at: Instant) -> None:
        """Go on from there if that is later than now: what the journal holds has happened."""
        self._since, self._at = self._passed(), max(self.now(), at)

    def follow(self) -> None:
        """Bend towards the wall clock; to be called every second or so."""
        ahead = self.ahead()
        passed = self._passed()
        self._at += (passed - self._since) * self._rate
        self._since = passed
        self._rate = 1.0 - max(-BEND, min(BEND, ahead / _MEETS_IN))


class ClockWatch:
    """Notices when the wall clock was set, and says so: log, metrics, health.

    show: takes by how much the clock is ahead, 0 while both are as good as equal.
    """

    def __init__(
        self,
        clock: SteadyClock,
        *,
        health: Health,
        registry: CollectorRegistry,
        show: Callable[[Seconds], None] = lambda _: None,
    ) -> None:
        self._clock, self._health, self._show = clock, health, show
        self._before = Seconds(0.0)
        text = "Seconds by which the guardian's time is ahead of the wall clock, which was set."
        Gauge("guardian_clock_ahead_seconds", text, registry=registry).set_function(clock.ahead)
        text = "Times the wall clock was seen to be set, by direction."
        self._sets = Counter("guardian_clock_sets", text, ["direction"], registry=registry)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY)

    def look(self) -> None:
        """Tell what happened since the last look, and bend the clock."""
        ahead = self._clock.ahead()
        moved = self._before - ahead
        if abs(moved) > TOLD:
            self._sets.labels("forward" if moved > 0 else "back").inc()
            _log.warning("wall_clock_set", seconds=round(moved, 3), ahead=round(ahead, 3))
            if abs(ahead) > TOLD:
                self._health.report("clock", _text(ahead))
        if abs(ahead) <= TOLD:
            self._health.clear("clock")
        self._show(ahead if abs(ahead) > TOLD else Seconds(0.0))
        self._clock.follow()
        self._before = ahead


def _text(ahead: Seconds) -> str:
    if ahead > 0:
        return (
            f"the wall clock is {duration(ahead)} behind the guardian's time, which never goes back and meets it "
            "slowly: times in events are ahead until then; see that the machine's clock is right"
        )
    return (
        f"the wall clock is {duration(-ahead)} ahead of the guardian's time, which does not jump and meets it slowly: "
        "times in events are behind until then; a restart takes the wall clock's time over at once"
    )
