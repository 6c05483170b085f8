"""Judges stable against stable on the past of every service, beside the work, and tells what it comes to.

One window of one service is read at a time, at most a quarter of the time goes into it, and all work is done outside
the event loop. Nothing is stored: a daemon that starts again counts anew, the newest windows first. A past that cannot
be read is told and asked for again later; nothing else waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from guardian.core.model import Digest, Instant, Place, Seconds
from guardian.core.monitor import Ruled, Standing, Tally, rule
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.errors import GuardianError
from guardian.ports import Clock, PastSource

_log = structlog.get_logger(__name__)
AT_ONCE: Final = 6
"""Windows of a service that are judged one after the other, before another service has its turn."""
SHARE: Final = 0.25
"""Largest part of the time that is spent on it."""
START: Final = Seconds(10.0)
"""A daemon that has just started has other things to do."""
IDLE: Final = Seconds(60.0)
"""Longest wait before services and policies are looked at again."""
LATER: Final = Seconds(600.0)
"""A past that could not be read is asked for again after this, or `every` where that is less."""
UNREADABLE: Final = "a past that cannot be read"
"""Why a window is left out that could not be read while others could."""
Key = tuple[Place, Digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A service at a place, the policy its rollouts are judged by there, and how to come by who knows its past."""

    place: Place
    policy: Policy
    past: Callable[[], PastSource]

    @property
    def key(self) -> Key:
        """What it is counted under: another policy gives another count."""
        return self.place, self.policy.digest


@dataclass(slots=True, kw_only=True)
class _Count:
    """What is known of one key. due_at: when it is looked at next. doubted: windows that could not be read once."""

    watched: Watched
    tally: Tally
    standing: Standing
    due_at: Instant
    doubted: set[Instant] = field(default_factory=set)


class Monitor:
    """Counts until cancelled.

    wanted: who is watched now; the first of several policies of one name at a place is the one whose metrics are
    given out. over, every: as in guardian.yaml. registry: where its metrics are.
    """

    def __init__(
        self, *, wanted: Callable[[], Iterable[Watched]], clock: Clock, over: Seconds, every: Seconds,
        registry: CollectorRegistry,
    ) -> None:  # fmt: skip
        self._wanted, self._clock, self._over, self._every = wanted, clock, over, every
        self._counts: dict[Key, _Count] = {}
        registry.register(_Metrics(self))

    def standing(self, rollout: Rollout) -> Standing | None:
        """Return how the rollout's service stands under the rollout's policy; None where nobody watches it."""
        count = self._counts.get((rollout.place, rollout.policy.digest))
        return None if count is None else count.standing

    def standings(self) -> Iterator[tuple[Watched, Standing]]:
        """Yield how all of them stand."""
        for count in self._counts.values():
            yield count.watched, count.standing

    async def run(self) -> None:
        """Judge what is due, the service that waits longest first; begin a moment after the start."""
        rest = min(START, self._every)
        while True:
            await asyncio.sleep(rest)
            try:
                count = self._next()
            except Exception as error:  # noqa: BLE001  what is measured beside the work must not end it
                _log.error("monitor_fault", exc_info=error)
                count = None
            if count is None:
                rest = min(IDLE, self._every)
            else:
                await self._turn(count)
                rest = Seconds(0.0)  # it rested after each window

    def _next(self) -> _Count | None:
        """Return who is due and waits longest; None where nobody is."""
        self._look()
        count = min(self._counts.values(), key=lambda one: one.due_at, default=None)
        return None if count is None or count.due_at > self._clock.now() else count

    def _look(self) -> None:
        """Begin with who is new, forget who is gone."""
        now, counts = self._clock.now(), dict[Key, _Count]()
        for watched in self._wanted():
            known = self._counts.get(watched.key)
            if known is None:
                tally = Tally.of(watched.policy, self._over)
                known = _Count(watched=watched, tally=tally, standing=tally.standing(), due_at=now)
            known.watched = watched
            counts[watched.key] = known
        self._counts = counts

    async def _turn(self, count: _Count) -> None:
        """Read and judge some windows of one service. A mistake in that must not end the daemon."""
        now = self._clock.now()
        due = count.tally.due(now)
        count.doubted &= set(due)
        ruled, problem = await self._ruled(count, due[:AT_ONCE])
        count.tally = count.tally.grown(ruled, now)
        if problem and not ruled:
            self._failed(count, problem)
            return
        count.due_at = now if count.tally.due(now) else Instant(now + self._every)
        self._tell(count, count.tally.standing())

    async def _ruled(self, count: _Count, starts: tuple[Instant, ...]) -> tuple[Mapping[Instant, Ruled], str]:
        """Judge window after window, resting between them; returns what they came to, and what went wrong last.

        A window that twice cannot be read while the next one can is given up: the fault is its own, no source that
        came back just then. Two in a row: the source is at fault, and both are asked for again.
        """
        found: dict[Instant, Ruled] = {}
        failed: list[Instant] = []
        problem = ""
        for start in starts:
            began = perf_counter()
            try:
                found[start] = await self._judged(count, start)
            except GuardianError as error:
                failed, problem = [*failed, start], str(error)
            except Exception as error:  # noqa: BLE001  what is measured beside the work must not end it
                _log.error("monitor_fault", **_who(count.watched), exc_info=error)
                failed, problem = [*failed, start], f"{type(error).__name__}: {error}"
            else:
                found |= {at: Ruled(fault=UNREADABLE) for at in failed if at in count.doubted}
                count.doubted |= set(failed)
                failed = []
            if len(failed) > 1:
                break
            await asyncio.sleep(_rest(began))
        return found, problem

    async def _judged(self, count: _Count, start: Instant) -> Ruled:
        """Read and judge one window: only one lies in memory."""
        tally, pods = count.tally, dict[str, int]()
        past = count.watched.past()
        window = await past.window(count.watched.place, tally.policy, start=start, shape=tally.shape, pods=pods)
        return (await asyncio.to_thread(rule, tally, {start: window}, pods))[start]

    def _failed(self, count: _Count, problem: str) -> None:
        count.due_at = Instant(self._clock.now() + min(LATER, self._every))
        self._tell(count, count.tally.standing(problem=problem))

    def _tell(self, count: _Count, found: Standing) -> None:
        """Keep how it stands; log, once each, that nothing can be judged, that pods differ too much, and the ends."""
        before, count.standing = count.standing, found
        about = _who(count.watched)
        if found.problem and found.problem != before.problem:
            _log.warning("stable_not_measured", **about, text=found.problem)
        elif before.problem and not found.problem:
            _log.info("stable_measured_again", **about)
        if found.exceeded and not before.exceeded:
            _log.warning("pods_differ_too_much", **about, guardrails=found.guardrails, text=found.sentence)
        elif before.exceeded and not found.exceeded:
            _log.info("pods_differ_no_more", **about, text=found.sentence)


def _rest(began: float) -> Seconds:
    """Return how long to do nothing after work that began then."""
    return Seconds((perf_counter() - began) * (1.0 - SHARE) / SHARE)


class _Metrics(Collector):
    """The standings as gauges; services that are gone have none."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the families without counting anything."""
        return iter(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return all families, with a sample of each place and policy."""
        families = _families()
        seen: set[tuple[str, ...]] = set()
        for watched, found in self._monitor.standings():
            labels = (watched.place.service, watched.place.environment, watched.place.region, watched.policy.name)
            if labels in seen:
                continue
            seen.add(labels)
            told = {
                "windows": found.windows, "false_rollbacks": found.false_rollbacks, "left_out": found.left_out,
                "lower": found.lower, "upper": found.upper, "newest_timestamp_seconds": found.newest,
                "exceeded": float(found.exceeded), "unmeasured": float(bool(found.problem)),
            }  # fmt: skip
            for name, value in told.items():
                if value is not None:
                    families[name].add_metric(labels, value)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    texts = {
        "windows": "Windows of the past judged, stable against stable.",
        "false_rollbacks": "Windows of the past that would have been rolled back, stable against stable.",
        "left_out": "Windows of the past that could not be judged.",
        "lower": "Lower limit (95 %) of the chance of a false rollback, as measured.",
        "upper": "Upper limit (95 %) of the chance of a false rollback, as measured.",
        "newest_timestamp_seconds": "End of the newest window judged.",
        "exceeded": "1 while the lower limit is above the policy's false_rollback.",
        "unmeasured": "1 while the past cannot be read or judged.",
    }
    labels = ("service", "environment", "region", "policy")
    return {name: GaugeMetricFamily(f"guardian_monitor_{name}", text, labels=labels) for name, text in texts.items()}


def _who(watched: Watched) -> dict[str, str]:
    place = watched.place
    told = {"service": place.service, "environment": place.environment, "policy": watched.policy.name}
    return {**told, "region": place.region} if place.region else told
