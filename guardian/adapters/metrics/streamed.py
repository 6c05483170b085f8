"""Streamed metrics: what Prometheus writes to us (remote write), kept for a while, measured from memory.

Samples of watched series are kept for `history` seconds, as far as the log has room, and measured by their
own times: late, double and disordered ones do no harm. Of a deduplicating pair one replica per cluster
counts. What the memory does not reach back to is asked of another source (`past`), once per rollout and
guardrail.

The web endpoint that receives is not here.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from guardian.adapters._pairs import Pairs
from guardian.adapters._remote_write import Batch, decode, unpack
from guardian.adapters._samples import SampleLog, View, later
from guardian.adapters._series import Wanted, joined, key_of, wanted_of
from guardian.adapters._watch import REPLICAS, Interest, WatchList
from guardian.core.looks import Floats, Ints, SeriesKey
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant, Place, RolloutId, Seconds
from guardian.core.policy import Guardrail, Labels
from guardian.errors import AdapterError, EventError, GuardianError
from guardian.ports import Clock, MetricSource, Samples

HISTORY: Final = Seconds(2400.0)
AT_ONCE: Final = 2_000
"""Series decoded before other tasks get their turn: 2 ms, 40 ms when all of them are new."""
LARGE: Final = 20_000
"""Rows from which the log is searched outside the event loop."""
AHEAD: Final = 300.0
"""Seconds a sample may lie in the future; beyond, its sender's clock is wrong and it is refused."""
QUIET: Final = 60.0
"""Seconds without any request after which an answer says that nothing comes."""
PATIENCE: Final = 60.0
"""Seconds that a rollout's samples are held back while its past cannot be had."""
SWEEP: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What has come since the start, for the daemon's own metrics.

    samples: kept. doubles: of the replica of a pair that does not count. future: refused, more than 5 min
    ahead. refused_series: wanted, but too many. series, rows: held now. last: when the newest request came.
    """

    requests: int
    samples: int
    doubles: int
    future: int
    refused_series: int
    series: int
    rows: int
    last: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bounds: series and samples kept (20 bytes a sample), bytes of one request when unpacked."""

    series: int = 1_000_000
    samples: int = 20_000_000
    body: int = 32 * 1024 * 1024


@dataclass(slots=True)
class _Bound:
    """The series of one part of a request, with their keys, as of one version of the interest."""

    interest: Interest
    version: int
    series: Ints
    keys: list[SeriesKey]


class StreamedSource:
    """MetricSource fed by `receive`. `watch` says what to keep before anybody measures it.

    dropped: labels that tell a pair's replicas apart, and the sender's external labels. cluster: label that
    tells pairs apart. everywhere: labels added to every selector. past: asked for what came before the
    memory began. ahead: by how much `clock` is ahead of the machine's wall clock, after that was set: a sender
    whose times fit the wall clock, but not `clock`, is measured by `clock`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        past: MetricSource | None = None,
        everywhere: Mapping[str, str] | None = None,
        dropped: Sequence[str] = (),
        cluster: str = "cluster",
        history: Seconds = HISTORY,
        room: Room | None = None,
        ahead: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._room, self._ahead = room or Room(), ahead
        self._clock, self._past, self._everywhere = clock, past, dict(everywhere or {})
        self._history = history
        self._dropped = frozenset(dropped)
        self._watched = WatchList(dropped=dropped, cluster=cluster, most=self._room.series)
        self._pairs = Pairs()
        self._log = SampleLog(most=self._room.samples)
        self._heard = np.full(1024, -np.inf)
        self._resting: deque[tuple[int, list[int]]] = deque()
        self._bound: dict[tuple[RolloutId, str, str], _Bound] = {}
        self._past_had: dict[tuple[RolloutId, str], float] = {}
        self._past_asked: dict[tuple[RolloutId, str], float] = {}
        self._requests = self._samples = self._doubles = self._future = 0
        self._last: Instant | None = None
        self._began: float | None = None
        self._swept: float = clock.now()

    def received(self) -> Received:
        """Return what has come since the start."""
        return Received(
            requests=self._requests, samples=self._samples, doubles=self._doubles, future=self._future,
            refused_series=self._watched.refused, series=len(self._watched), rows=len(self._log),
            last=self._last,
        )  # fmt: skip

    def watch(self, place: Place, guardrails: Iterable[Guardrail], labels: Labels) -> None:
        """Keep what these guardrails need at this place from now on, until the end. Raises PolicyError."""
        now = self._clock.now()
        for guardrail in guardrails:
            for wanted in self._wanted(RolloutId(""), place, guardrail, labels):
                self._watched.interest(wanted, now=now, pinned=True)

    async def receive(self, body: bytes, *, content_type: str = "", content_encoding: str = "snappy") -> int:
        """Take one remote-write request; returns how many samples were kept.

        Raises EventError (reason "unsupported", "unreadable", "too-large"): sending it again would not help.
        """
        if content_encoding != "snappy" or "io.prometheus.write.v2" in content_type:
            raise EventError(
                f"cannot read {content_type or 'a body'} in encoding {content_encoding or 'none'}",
                reason="unsupported",
                where="remote write",
                remedy="send remote write 1.0 (protobuf_message: prometheus.WriteRequest) in snappy",
            )
        now = self._clock.now()
        unpacked = unpack(body, limit=self._room.body)
        self._requests += 1
        self._last = now
        at, kept = 0, 0
        while at < len(unpacked):
            if at:
                await asyncio.sleep(0)
            batch, at = decode(unpacked, self._watched.known, self._watched.resolve, start=at, most=AT_ONCE)
            kept += self._keep(batch, now)
        if now - self._swept > SWEEP:
            self._sweep(now)
        return kept

    def _keep(self, batch: Batch, now: float) -> int:
        series, replica = np.divmod(batch.slot, REPLICAS)
        counts = self._pairs.counts(replica, self._watched.replicas, now)
        time = batch.time + self._shift(batch.time, now)
        timely = time <= now + AHEAD
        self._doubles += int((~counts).sum())
        self._future += int((counts & ~timely).sum())
        chosen = counts & timely
        series = series[chosen]
        if self._heard.size < self._watched.size:
            grown = np.full(2 * self._watched.size, -np.inf)
            grown[: self._heard.size] = self._heard
            self._heard = grown
        self._heard[series] = now
        self._log.append(series, time[chosen], batch.value[chosen])
        self._samples += series.size
        return int(series.size)

    def _shift(self, times: Floats, now: float) -> float:
        """Return what to add to a sender's times: how far we are ahead, if that brings its newest one nearer to now."""
        ahead = self._ahead()
        if abs(ahead) <= QUIET or not times.size:
            return 0.0
        late = now - float(times.max())
        return ahead if abs(late - ahead) < abs(late) else 0.0

    def _sweep(self, now: float) -> None:
        """Drop what is older than the history, and let go of series that nobody wants or that have ended."""
        self._swept = now
        before = now - self._history - SWEEP
        self._log.forget(before)
        gone = self._watched.expire(before)
        gone += [series for series in self._watched.kept() if self._heard[series] < before]
        if gone:
            self._watched.drop(gone)
            self._resting.append((self._log.serial, sorted(set(gone))))
        while self._resting and self._resting[0][0] < self._log.oldest_serial:
            for series in self._resting.popleft()[1]:
                self._watched.release(series)
        live = {rollout for (rollout, _, _), one in self._bound.items() if one.interest.used >= before}
        self._bound = {key: one for key, one in self._bound.items() if key[0] in live}
        self._past_had = {key: since for key, since in self._past_had.items() if key[0] in live}
        self._past_asked = {key: at for key, at in self._past_asked.items() if key[0] in live}

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples:
        """Return what is kept of all requests after their `since`, and what `past` has of the time before.

        The samples of a request whose past cannot be had are held back for up to 60 s: they would hide it.
        """
        now = self._clock.now()
        problems = [*self._quiet(now), *self._losses(requests)]
        wanted: list[tuple[MeasureRequest, list[_Bound]]] = []
        for request in requests:
            try:
                parts = self._wanted(request.rollout, request.place, request.guardrail, request.labels)
            except GuardianError as error:
                problems.append(f"guardrail '{request.guardrail.name}': {error}")
            else:
                wanted.append((request, [self._bind(part, now) for part in parts]))
        earlier, held_back, said = await self._ask_past(wanted, now)
        ready = [pair for pair in wanted if pair[0].of not in held_back]
        return joined([earlier, await self._drained(ready)], [*problems, *said])

    def _quiet(self, now: float) -> list[str]:
        silence = now - (self._last if self._last is not None else self._first_look(now))
        if silence <= QUIET:
            return []
        return [f"remote write: nothing came for {silence:.0f} s; check remote_write of Prometheus and its log"]

    def _losses(self, requests: Sequence[MeasureRequest]) -> list[str]:
        """Say what was not kept; the text stays the same while the state does, so that it is logged once."""
        lost = []
        if self._watched.refused:
            lost.append(f"remote write: more than {self._room.series} series are wanted; raise limits.series")
        if self._future:
            lost.append("remote write: samples more than 5 min ahead were refused; check the senders' clocks")
        if self._past is None and any(request.since < self._log.lost_before for request in requests):
            lost.append("remote write: there was no room for older samples; set metrics.url to read them there")
        return lost

    def _first_look(self, now: float) -> float:
        if self._began is None:
            self._began = now
        return self._began

    def _wanted(self, rollout: RolloutId, place: Place, guardrail: Guardrail, labels: Labels) -> tuple[Wanted, ...]:
        return wanted_of(
            rollout=rollout, service=place.service, guardrail=guardrail, labels=labels,
            everywhere=self._everywhere,
        )  # fmt: skip

    def _bind(self, wanted: Wanted, now: float) -> _Bound:
        """Return the series that are known of this part, with keys; made anew only when series came or went."""
        interest = self._watched.interest(wanted, now=now)
        place = (wanted.rollout, wanted.guardrail, wanted.part)
        bound = self._bound.get(place)
        if bound is None or bound.interest is not interest or bound.version != interest.version:
            found = [
                (series, key)
                for series in interest.series
                if (key := key_of(self._watched.labels(series), wanted, self._dropped)) is not None
            ]
            numbers = np.array([series for series, _ in found], np.int64)
            bound = _Bound(interest, interest.version, numbers, [key for _, key in found])
            self._bound[place] = bound
        return bound

    async def _ask_past(
        self, wanted: Sequence[tuple[MeasureRequest, list[_Bound]]], now: float
    ) -> tuple[Samples, set[tuple[RolloutId, str]], list[str]]:
        """Return earlier samples, the requests to hold back, and what is wrong."""
        missing = [request for request, bound in wanted if self._lacks_past(request, bound)]
        if self._past is None or not missing:
            return joined([]), set(), []
        said: list[str] = []
        try:
            earlier = await self._past.measure(missing)
        except AdapterError as error:
            earlier, late = joined([]), {one.of for one in missing}
            said.append(f"the time before the stream began cannot be read: {error}")
        else:
            late = set(earlier.unanswered)
            self._past_had |= {one.of: one.since for one in missing if one.of not in late}
        first = {name: self._past_asked.setdefault(name, now) for name in late}
        return earlier, {name for name in late if now - first[name] <= PATIENCE}, said

    def _lacks_past(self, request: MeasureRequest, parts: Sequence[_Bound]) -> bool:
        began = max([self._log.lost_before, *(bound.interest.began for bound in parts)])
        return request.since < began and self._past_had.get(request.of, math.inf) > request.since

    async def _drained(self, wanted: Sequence[tuple[MeasureRequest, list[_Bound]]]) -> Samples:
        """Return the kept samples of all bound series. One pass over the log serves all requests."""
        pairs = [(request.since, bound) for request, parts in wanted for bound in parts if bound.series.size]
        if not pairs:
            return joined([])
        series = np.concatenate([bound.series for _, bound in pairs])
        since = np.repeat([at for at, _ in pairs], [bound.series.size for _, bound in pairs])
        keys = [key for _, bound in pairs for key in bound.keys]
        views = self._log.views(float(since.min()))
        if sum(view.time.size for view in views) > LARGE:
            index, time, value = await asyncio.to_thread(_selected, views, series, since)
        else:
            index, time, value = _selected(views, series, since)
        return Samples(keys=keys, key=index, time=time, value=value)


def _selected(views: Sequence[View], series: Ints, since: Floats) -> tuple[Ints, Floats, Floats]:
    """Return (index into series, time, value) of the samples that are later than the `since` of each wanted series."""
    earliest = np.full(1 + max(int(series.max()), *(int(view.series.max(initial=0)) for view in views), 0), np.inf)
    np.minimum.at(earliest, series, since)
    found, time, value = later(views, earliest)
    row, pair = _matched(found, series)
    new = time[row] > since[pair]
    row, pair = row[new], pair[new]
    return pair, time[row], value[row]


def _matched(found: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """Return all (row, pair) with found[row] == wanted[pair]: a series may be wanted more than once."""
    order = np.argsort(wanted, kind="stable")
    ordered = wanted[order]
    first = np.searchsorted(ordered, found, "left")
    count = np.searchsorted(ordered, found, "right") - first
    row = np.repeat(np.arange(found.size), count)
    within = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    return row, order[first[row] + within]
