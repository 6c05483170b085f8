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
from guardian.core.policy import GaugeSli, Guardrail, HistogramSli, RatioSli
from guardian.errors import Refused
from guardian.ports import Clock, Samples
from simulator.counted import Rounds
from simulator.delivery import SlowShards, shard_of
from simulator.faults import ClockSet
from simulator.reception import Reception, Rows
from simulator.request.language import Grain
from simulator.scenario import Spec
from simulator.service import BUCKET, TOTAL, ZONE
from simulator.world import World

_METRIC: Final = re.compile(r"[A-Za-z_:][\w:]*")


class Telemetry:
    """Scrapes of simulated services, by the service's name."""

    def __init__(self, worlds: Mapping[str, World], clock: Clock) -> None:
        self._worlds, self._clock = worlds, clock
        self._keys: dict[tuple[RolloutId, str, int], tuple[SeriesKey, ...]] = {}
        self._tapes: dict[tuple[str, str], _Tape] = {}
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
            now = self._clock.now()
            world.advance(now)
            offset = len(keys)
            names.append((request.rollout, request.guardrail.name, world.width))
            keys.extend(self._keys_of(names[-1], request, world))
            key, time, value = self._tape_of(request, world).read(request.since, request.until, now=now)
            parts.append((key + offset, time, value))
        together = self._together.setdefault(tuple(names), tuple(keys))
        key, time, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return Samples(keys=together, key=key, time=time, value=value)

    def _tape_of(self, request: MeasureRequest, world: World) -> _Tape:
        metric = measured(request.guardrail, world.spec)
        name = (request.place.service, metric)
        if name not in self._tapes:
            self._tapes[name] = _Tape(world, metric)
        return self._tapes[name]

    def _keys_of(
        self, name: tuple[RolloutId, str, int], request: MeasureRequest, world: World
    ) -> tuple[SeriesKey, ...]:
        if name not in self._keys:
            self._keys[name] = series_keys(world, request.rollout, request.guardrail)
        return self._keys[name]


def series_keys(world: World, rollout: RolloutId, guardrail: Guardrail) -> tuple[SeriesKey, ...]:
    """Return the series of a guardrail: per slot in use its parts, in the order of `_Tape`. Raises Refused."""
    metric = measured(guardrail, world.spec)
    bounds = (*world.spec.service.latency.bounds, math.inf)
    parts: list[tuple[Part, float]] = [(Part.TOTAL, math.nan), (Part.BAD, math.nan)]
    if metric == BUCKET:
        parts = [(Part.BUCKET, bound) for bound in bounds]
    elif isinstance(guardrail.sli, GaugeSli):
        parts = [(Part.VALUE, math.nan)]
    topology = world.topology
    return tuple(
        SeriesKey(
            rollout=rollout, guardrail=guardrail.name, track=track, pod=pod, part=part, le=le,
            stratum=stratum_of({ZONE: home.name}, guardrail.strata),
        )
        for pod, track, home in zip(topology.names[: world.width], topology.tracks(), topology.homes, strict=False)
        for part, le in parts
    )  # fmt: skip


def shown(spec: Spec) -> dict[str, str]:
    """Return the metrics of a simulated service, each with the kind of guardrail that can measure it."""
    service = spec.service
    found = {TOTAL: "ratio", BUCKET: "histogram"}
    found |= {one.metric: "ratio" for one in service.attempts} | dict.fromkeys(_gauges(spec), "gauge")
    return found


def _gauges(spec: Spec) -> list[str]:
    """Return the gauges, in the order of `Rounds.levels`."""
    found = [one.metric for one in spec.service.gauges]
    if spec.request is not None and spec.grain is Grain.REQUEST:
        found += [spec.request.memory.metric] if spec.request.memory is not None else []
        found += [spec.request.cpu] if spec.request.cpu is not None else []
    return found


def measured(guardrail: Guardrail, spec: Spec) -> str:
    """Return the simulated metric that a guardrail measures. Raises Refused where it measures something else."""
    match guardrail.sli:
        case RatioSli(bad=bad, total=total):
            kind, names = "ratio", {_name(bad), _name(total)}
        case HistogramSli(buckets=buckets):
            kind, names = "histogram", {_name(buckets)}
        case GaugeSli(value=value):
            kind, names = "gauge", {_name(value)}
        case _:
            kind, names = "count", set()
    there = [name for name, its in shown(spec).items() if its == kind]
    if len(names) != 1 or not names <= set(there):
        raise Refused(
            f"guardrail '{guardrail.name}' measures what a simulated service does not have",
            where="simulated metrics",
            remedy=f"of a {kind} there is {', '.join(there)}"
            if there
            else f"a simulated service has no {kind}; it has {', '.join(shown(spec))}",
        )
    return names.pop()


def _name(selector: str) -> str:
    found = _METRIC.match(selector)
    return found[0] if found is not None else ""


@dataclass(frozen=True, slots=True)
class _Came:
    """Samples that came together: series number, sample time, value, who scraped them; each part of a slot is a series.

    first, last: the earliest sample time, and the latest that came so far.
    """

    key: Ints
    time: Floats
    value: Floats
    replica: Ints
    first: float
    last: float


class _Tape:
    """All rounds of one world as samples of one metric; each round is flattened once."""

    def __init__(self, world: World, metric: str) -> None:
        self._world, self._metric = world, metric
        self._attempts = [one.metric for one in world.spec.service.attempts]
        self._gauges = _gauges(world.spec)
        self._came: list[_Came] = []
        self._taken = 0
        self._clocks = [fault for fault in world.spec.faults if isinstance(fault, ClockSet)]
        self._shards = [fault for fault in world.spec.faults if isinstance(fault, SlowShards)]
        self._newest = np.full(len(world.topology.names), -np.inf)
        scrape = world.spec.scrape
        self._reception = (
            Reception(source=scrape.source, replicas=scrape.replicas)
            if scrape.replicas > 1 or world.deliveries
            else None
        )

    def read(self, since: float, until: float, *, now: float) -> tuple[Ints, Floats, Floats]:
        """Return every sample in (since, until] that came by now, in the order in which they did."""
        for one in self._world.rounds[self._taken :]:
            self._take(one)
        self._taken = len(self._world.rounds)
        if self._reception is not None:
            rows = self._reception.receive(now)
            self._keep(rows.key, rows.time, rows.value, rows.replica)
        start = bisect_right(self._came, since, key=lambda one: one.last)
        parts = [_within(one, since, until) for one in self._came[start:]]
        if not parts:
            return np.empty(0, np.int64), np.empty(0), np.empty(0)
        key, time, value, replica = (np.concatenate(column) for column in zip(*parts, strict=True))
        if self._reception is not None:
            counts = self._reception.answer(key, time, replica)
            return key[counts], time[counts], value[counts]
        return key, time, value

    def _take(self, rounds: Rounds) -> None:
        """Put the samples of rounds on their way, or keep them where nothing is in it."""
        dated = self._dated(rounds.time)
        newest = self._newest[: dated.shape[1]]
        seen = rounds.seen & (dated > newest)  # a source takes no sample that is older than the last of its series
        newest[:] = np.maximum(newest, np.where(seen, dated, -np.inf).max(axis=0))
        when, slot = np.nonzero(seen)
        values = self._values(rounds)[when, slot]
        width = values.shape[1]
        key = (slot[:, None] * width + np.arange(width)).ravel()
        time, value = np.repeat(dated[when, slot], width), values.ravel().astype(np.float64)
        replica = np.repeat(self._world.spec.scrape.scraper(rounds.number)[when], width)
        if self._reception is None:
            self._keep(key, time, value, replica)
            return
        for arrival in self._world.arrivals(rounds):
            comes = self._sharded(key, np.repeat(arrival[when, slot], width))
            rows = Rows(key=key, time=time, value=value, replica=replica, arrival=comes)
            self._reception.send(rows.only(np.isfinite(comes)))

    def _keep(self, key: Ints, time: Floats, value: Floats, replica: Ints) -> None:
        if len(key):
            last = max(float(time.max()), self._came[-1].last if self._came else -math.inf)
            self._came.append(_Came(key, time, value, replica, float(time.min()), last))

    def _sharded(self, key: Ints, arrival: Floats) -> Floats:
        """Return when samples come, given when they are there to be sent; (n,)."""
        if self._world.shift is None or not self._shards:
            return arrival
        there = np.isfinite(arrival)
        names = [shard_of(f"{self._metric}/{one}") for one in range(int(key.max(initial=0)) + 1)]
        series, came = np.array(names, dtype=np.int64)[key[there]], arrival[there] - self._world.shift
        for shards in self._shards:
            came = shards.sent(came, series)
        found = arrival.copy()
        found[there] = came + self._world.shift
        return found

    def _dated(self, time: Floats) -> Floats:
        """Return the times that samples carry: those of a clock that may be off."""
        if self._world.shift is None or not self._clocks:
            return time
        return time + sum(clock.ahead(time - self._world.shift) for clock in self._clocks)

    def _values(self, rounds: Rounds) -> Ints | Floats:
        """Return the parts of each series, shape (rounds, slots, parts)."""
        if self._metric == TOTAL:
            return np.stack([rounds.total, rounds.bad], axis=-1)
        if self._metric == BUCKET:
            return np.cumsum(rounds.buckets, axis=-1)
        if self._metric in self._gauges:
            number = self._gauges.index(self._metric)
            return rounds.levels[..., number : number + 1]
        first = 2 * self._attempts.index(self._metric)
        return rounds.attempts[..., first : first + 2]


def _within(one: _Came, since: float, until: float) -> tuple[Ints, Floats, Floats, Ints]:
    if one.first > since and one.last <= until:
        return one.key, one.time, one.value, one.replica
    wanted = (one.time > since) & (one.time <= until)
    return one.key[wanted], one.time[wanted], one.value[wanted], one.replica[wanted]
