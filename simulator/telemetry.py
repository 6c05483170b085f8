"""What a metric source reads of the simulated world: raw cumulative samples, missed scrapes and all.

Is a guardian.ports.MetricSource. Tells nothing of the ground truth: only what scrapes saw, up to now.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from guardian.core.looks import Floats, Ints, Part, SeriesKey, stratum_of
from guardian.core.measures import MeasureRequest
from guardian.core.model import RolloutId
from guardian.core.policy import Guardrail, HistogramSli, RatioSli
from guardian.errors import Refused
from guardian.ports import Clock, Samples
from simulator.faults import ClockSet
from simulator.service import ZONE
from simulator.world import Rounds, World

TOTAL: Final = "http_requests_total"
BUCKET: Final = "http_request_duration_seconds_bucket"
_METRIC: Final = re.compile(r"[A-Za-z_:][\w:]*")


class Telemetry:
    """Scrapes of simulated services, by the service's name."""

    def __init__(self, worlds: Mapping[str, World], clock: Clock) -> None:
        self._worlds, self._clock = worlds, clock
        self._keys: dict[tuple[RolloutId, str, int], tuple[SeriesKey, ...]] = {}
        self._tapes: dict[tuple[str, bool], _Tape] = {}
        self._together: dict[tuple[tuple[RolloutId, str, int], ...], tuple[SeriesKey, ...]] = {}

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples:
        """Return all samples asked for. `keys` is the same object as long as the same is asked for."""
        names: list[tuple[RolloutId, str, int]] = []
        parts: list[tuple[Ints, Floats, Floats]] = []
        keys: list[SeriesKey] = []
        for request in requests:
            world = self._worlds.get(request.place.service)
            if world is None:
                raise Refused(
                    f"no service '{request.place.service}' is simulated",
                    where="simulated metrics",
                    remedy=f"there are: {', '.join(sorted(self._worlds))}",
                )
            world.advance(self._clock.now())
            offset = len(keys)
            names.append((request.rollout, request.guardrail.name, world.width))
            keys.extend(self._keys_of(names[-1], request, world))
            key, time, value = self._tape_of(request, world).read(request.since, request.until)
            parts.append((key + offset, time, value))
        together = self._together.setdefault(tuple(names), tuple(keys))
        key, time, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return Samples(keys=together, key=key, time=time, value=value)

    def _tape_of(self, request: MeasureRequest, world: World) -> _Tape:
        name = (request.place.service, isinstance(request.guardrail.sli, RatioSli))
        if name not in self._tapes:
            self._tapes[name] = _Tape(world, ratio=name[1])
        return self._tapes[name]

    def _keys_of(
        self, name: tuple[RolloutId, str, int], request: MeasureRequest, world: World
    ) -> tuple[SeriesKey, ...]:
        if name not in self._keys:
            self._keys[name] = series_keys(world, request.rollout, request.guardrail)
        return self._keys[name]


def series_keys(world: World, rollout: RolloutId, guardrail: Guardrail) -> tuple[SeriesKey, ...]:
    """Return the series of a guardrail: per slot in use its parts, in the order of `_Tape`. Raises Refused."""
    expected = metric_of(guardrail)
    if expected is None:
        raise Refused(
            f"guardrail '{guardrail.name}': a simulated service has requests and latencies only",
            where="simulated metrics",
            remedy=f"measure {TOTAL} or {BUCKET}",
        )
    bounds = (*world.spec.service.latency.bounds, math.inf)
    parts: list[tuple[Part, float]] = [(Part.TOTAL, math.nan), (Part.BAD, math.nan)]
    if expected == BUCKET:
        parts = [(Part.BUCKET, bound) for bound in bounds]
    topology = world.topology
    return tuple(
        SeriesKey(
            rollout=rollout, guardrail=guardrail.name, track=track, pod=pod, part=part, le=le,
            stratum=stratum_of({ZONE: home.name}, guardrail.strata),
        )
        for pod, track, home in zip(topology.names[: world.width], topology.tracks(), topology.homes, strict=False)
        for part, le in parts
    )  # fmt: skip


def metric_of(guardrail: Guardrail) -> str | None:
    """Return the simulated metric that a guardrail measures; None where it measures something else."""
    sli = guardrail.sli
    if isinstance(sli, RatioSli):
        return TOTAL if _name(sli.total) == _name(sli.bad) == TOTAL else None
    return BUCKET if isinstance(sli, HistogramSli) and _name(sli.buckets) == BUCKET else None


def _name(selector: str) -> str:
    found = _METRIC.match(selector)
    return found[0] if found is not None else ""


@dataclass(frozen=True, slots=True)
class _Scraped:
    """One round as samples: series number, sample time, value; each series part of a slot has a number."""

    key: Ints
    time: Floats
    value: Floats
    first: float
    last: float


class _Tape:
    """All rounds of one world as samples of one kind of guardrail; each round is flattened once."""

    def __init__(self, world: World, *, ratio: bool) -> None:
        self._world, self._ratio = world, ratio
        self._scraped: list[_Scraped] = []
        self._clocks = [fault for fault in world.spec.faults if isinstance(fault, ClockSet)]
        self._newest = np.full(len(world.topology.names), -np.inf)

    def read(self, since: float, until: float) -> tuple[Ints, Floats, Floats]:
        """Return every sample in (since, until], round by round."""
        for one in self._world.rounds[len(self._scraped) :]:
            self._scraped.append(self._flat(one))
        start = bisect_right(self._scraped, since, key=lambda one: one.last)
        parts = [_within(one, since, until) for one in self._scraped[start:]]
        if not parts:
            return np.empty(0, np.int64), np.empty(0), np.empty(0)
        key, time, value = (np.concatenate(column) for column in zip(*parts, strict=True))
        return key, time, value

    def _flat(self, rounds: Rounds) -> _Scraped:
        dated = self._dated(rounds.time)
        newest = self._newest[: dated.shape[1]]
        seen = rounds.seen & (dated > newest)  # a source takes no sample that is older than the last of its series
        newest[:] = np.maximum(newest, np.where(seen, dated, -np.inf).max(axis=0))
        when, slot = np.nonzero(seen)
        if self._ratio:
            values = np.stack([rounds.total[when, slot], rounds.bad[when, slot]], axis=1)
        else:
            values = np.cumsum(rounds.buckets[when, slot], axis=1)
        width = values.shape[1]
        key = (slot[:, None] * width + np.arange(width)).ravel()
        time = np.repeat(dated[when, slot], width)
        # A round without samples still has its place in the order of time.
        first, last = (
            float(dated.min()),
            max(float(dated.max()), self._scraped[-1].last if self._scraped else -math.inf),
        )
        return _Scraped(key, time, values.ravel().astype(np.float64), first, last)

    def _dated(self, time: Floats) -> Floats:
        """Return the times that samples carry: those of a clock that may be off."""
        if self._world.shift is None or not self._clocks:
            return time
        return time + sum(clock.ahead(time - self._world.shift) for clock in self._clocks)


def _within(one: _Scraped, since: float, until: float) -> tuple[Ints, Floats, Floats]:
    if one.first > since and one.last <= until:
        return one.key, one.time, one.value
    wanted = (one.time > since) & (one.time <= until)
    return one.key[wanted], one.time[wanted], one.value[wanted]
