"""Polled metrics: raw samples from Prometheus' HTTP API, for many rollouts with few queries.

Each query is an instant query of a range selector (`selector[Ns]`), which returns the samples as they were
scraped, with their own times: rate() and increase() extrapolate, instant vectors stretch. Rollouts whose
selectors differ only in the service are asked for together. Prometheus' clock is measured through `time()`;
when it is off by more than a second, whole seconds are subtracted from the sample times.

It does not difference, retry or decide. Beyond about 1,000 rollouts, stream instead (metrics.streamed).
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from guardian.adapters._http import HttpClient, refusal
from guardian.adapters._prometheus import Matrix, RawSeries, error_of, read_matrix, read_scalar
from guardian.adapters._selectors import one_of
from guardian.adapters._series import FAIL_OVER, Wanted, joined, key_of, wanted_of
from guardian.core.looks import SeriesKey
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant, RolloutId, Seconds
from guardian.errors import AdapterError, GuardianError
from guardian.ports import Clock, Samples

SCRAPE_INTERVAL: Final = Seconds(15.0)
SERVICES_PER_QUERY: Final = 100
SAMPLES_PER_QUERY: Final = 500
"""Limit of services x seconds of range / scrape interval, which bounds the size of one answer."""
SKEW_EVERY: Final = 60.0
SKEW_TOLERATED: Final = 1.0
LARGE: Final = 128 * 1024
"""Bytes from which an answer is read outside the event loop."""
REMEMBERED: Final = 20_000
"""Rollouts whose series names are kept."""
REMEMBERED_SERIES: Final = 1_000_000
"""Series whose service is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of one request: which series, and after which sample time."""

    wanted: Wanted
    since: Instant
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeQuery:
    """One question to Prometheus, and the parts its answer is for, by service."""

    text: str
    reach: int
    """Seconds of the range."""
    at: Instant
    service_label: str | None
    """Label by which the answer is dealt out; None: all of it belongs to the only part."""
    parts: Mapping[str, tuple[Part, ...]]


def plan(parts: Sequence[Part], *, scrape_interval: Seconds) -> list[RangeQuery]:
    """Return the queries that answer all parts: those that differ only in service are joined.

    The reach is rounded up to a power of two of scrape intervals, so that a part that needs a long history
    does not make the others' answers long, too.
    """
    groups: dict[tuple[str, int, str | None], dict[str, list[Part]]] = {}
    for part in parts:
        needed = max(part.until - part.since, 0.0) + scrape_interval
        reach = math.ceil(scrape_interval * 2 ** math.ceil(math.log2(max(needed / scrape_interval, 1.0))))
        label = None if part.wanted.own_service else part.wanted.labels.service
        service = "" if label is None else part.wanted.service
        groups.setdefault((str(part.wanted.selector), reach, label), {}).setdefault(service, []).append(part)
    queries = []
    for (_, reach, label), by_service in groups.items():
        at_once = max(1, min(SERVICES_PER_QUERY, int(SAMPLES_PER_QUERY * scrape_interval / reach)))
        services = sorted(by_service)
        for start in range(0, len(services), at_once):
            chosen = services[start : start + at_once]
            queries.append(_query({name: tuple(by_service[name]) for name in chosen}, reach=reach, label=label))
    return queries


def _query(parts: Mapping[str, tuple[Part, ...]], *, reach: int, label: str | None) -> RangeQuery:
    first = next(iter(parts.values()))[0]
    selector = first.wanted.selector
    if label is not None:
        selector = selector.plus([one_of(label, parts)])
    at = Instant(max(part.until for group in parts.values() for part in group))
    return RangeQuery(text=f"{selector}[{reach}s]", reach=reach, at=at, service_label=label, parts=parts)


class PolledSource:
    """MetricSource over Prometheus, Thanos, Mimir or VictoriaMetrics: whatever speaks the HTTP API.

    url: base address, without /api/v1. everywhere: labels added to every selector. dropped: labels that
    tell the replicas of a deduplicating pair apart; of equal series, the first replica with samples in the
    last 30 s counts.
    """

    def __init__(
        self,
        *,
        url: str,
        client: HttpClient,
        clock: Clock,
        everywhere: Mapping[str, str] | None = None,
        dropped: Sequence[str] = (),
        scrape_interval: Seconds = SCRAPE_INTERVAL,
        at_once: int = 4,
    ) -> None:
        self._url = url.rstrip("/")
        self._client, self._clock = client, clock
        self._everywhere, self._dropped = dict(everywhere or {}), frozenset(dropped)
        self._scrape_interval = scrape_interval
        self._slots = asyncio.Semaphore(at_once)
        self._names: OrderedDict[RolloutId, dict[tuple[str, str, bytes], tuple[SeriesKey, str] | None]] = OrderedDict()
        self._services: dict[tuple[str, bytes], str] = {}
        self._skew = 0.0
        self._skew_until = -math.inf

    @property
    def skew(self) -> Seconds:
        """Whole seconds that Prometheus' clock is ahead of ours, as subtracted from sample times."""
        return Seconds(self._skew)

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples:
        """Return the samples of all requests after their `since`.

        A query that fails while others succeed is a problem in the answer, and its guardrails are unanswered;
        Unavailable or Refused when none succeeded.
        """
        if not requests:
            return joined([])
        parts, problems, lost = self._parts(requests)
        queries = plan(parts, scrape_interval=self._scrape_interval)
        await self._measure_skew()
        answers = await asyncio.gather(*(self._answer(query) for query in queries))
        errors = [answer for answer in answers if isinstance(answer, AdapterError)]
        if errors and len(errors) == len(answers) and not problems:
            raise errors[0]
        answered = []
        for query, answer in zip(queries, answers, strict=True):
            if isinstance(answer, AdapterError):
                problems.append(str(answer))
                lost |= {part.wanted.of for group in query.parts.values() for part in group}
            else:
                problems.extend(f"{self._url}: incomplete answer: {warning}" for warning in answer.warnings)
                answered.append((query, answer))
        found = [self._samples(query, answer, lost) for query, answer in answered]
        return replace(joined(found, problems), unanswered=frozenset(lost))

    def _parts(self, requests: Sequence[MeasureRequest]) -> tuple[list[Part], list[str], set[tuple[RolloutId, str]]]:
        """Return the parts of all requests, what is wrong with the selectors of some, and which those are."""
        parts: list[Part] = []
        problems: list[str] = []
        lost: set[tuple[RolloutId, str]] = set()
        for request in requests:
            try:
                wanted = wanted_of(
                    rollout=request.rollout, service=request.place.service, guardrail=request.guardrail,
                    labels=request.labels, everywhere=self._everywhere,
                )  # fmt: skip
            except GuardianError as error:
                problems.append(f"guardrail '{request.guardrail.name}': {error}")
                lost.add(request.of)
            else:
                parts.extend(Part(wanted=one, since=request.since, until=request.until) for one in wanted)
        return parts, problems, lost

    async def _answer(self, query: RangeQuery) -> Matrix | AdapterError:
        try:
            body = await self._ask({"query": query.text, "time": f"{query.at + self._skew:.3f}"})
            if len(body) > LARGE:
                return await asyncio.to_thread(read_matrix, body, self._url)
            return read_matrix(body, self._url)
        except AdapterError as error:
            return error

    async def _ask(self, form: Mapping[str, str]) -> bytes:
        url = f"{self._url}/api/v1/query"
        async with self._slots:
            answer = await self._client.ask("POST", url, form=form)
        if not 200 <= answer.status < 300:
            raise error_of(answer.body, self._url) or refusal(answer, self._url)
        return answer.body

    async def _measure_skew(self) -> None:
        """Ask for Prometheus' time once a minute; keep the last skew when it does not answer."""
        sent = self._clock.now()
        if sent < self._skew_until:
            return
        try:
            theirs = read_scalar(await self._ask({"query": "time()"}), self._url)
        except AdapterError:
            return
        received = self._clock.now()
        ahead = theirs - (sent + received) / 2
        if abs(ahead - self._skew) > SKEW_TOLERATED + (received - sent) / 2:
            self._skew = float(round(ahead))
        self._skew_until = sent + SKEW_EVERY

    def _samples(self, query: RangeQuery, matrix: Matrix, lost: Collection[tuple[RolloutId, str]]) -> Samples:
        """Return the answer's samples after each part's `since`, but for lost ones; of equal series of a pair, one."""
        found: dict[SeriesKey, list[tuple[str, RawSeries]]] = {}
        since: list[float] = []
        for series in matrix.series:
            for part in self._parts_of(query, series):
                if part.wanted.of in lost:
                    continue
                named = self._name(part.wanted, series)
                if named is not None:
                    several = found.setdefault(named[0], [])
                    if not several:
                        since.append(part.since)
                    several.append((named[1], series))
        if not found:
            return joined([])
        chosen = [several[0][1] if len(several) == 1 else elected(several) for several in found.values()]
        index = np.repeat(np.arange(len(chosen)), [one.time.size for one in chosen])
        time = np.concatenate([one.time for one in chosen]) - self._skew
        value = np.concatenate([one.value for one in chosen])
        new = time > np.array(since)[index]
        return Samples(keys=list(found), key=index[new], time=time[new], value=value[new])

    def _parts_of(self, query: RangeQuery, series: RawSeries) -> tuple[Part, ...]:
        if query.service_label is None:
            return query.parts[""]
        if len(query.parts) == 1:
            return next(iter(query.parts.values()))
        place = (query.service_label, series.metric)
        service = self._services.get(place)
        if service is None:
            if len(self._services) >= REMEMBERED_SERIES:
                self._services.clear()
            service = self._services[place] = series.labels().get(query.service_label, "")
        return query.parts.get(service, ())

    def _name(self, wanted: Wanted, series: RawSeries) -> tuple[SeriesKey, str] | None:
        """Return key and replica of a series; remembered, since the same labels come again at every tick."""
        names = self._names.get(wanted.rollout)
        if names is None:
            names = self._names[wanted.rollout] = {}
            while len(self._names) > REMEMBERED:
                self._names.popitem(last=False)
        place = (wanted.guardrail, wanted.part, series.metric)
        if place not in names:
            metric = series.labels()
            key = key_of(metric, wanted, self._dropped)
            replica = "\0".join(metric.get(label, "") for label in sorted(self._dropped))
            names[place] = None if key is None else (key, replica)
        return names[place]


def elected(replicas: Sequence[tuple[str, RawSeries]]) -> RawSeries:
    """Return the series of the first replica, by name, that is at most 30 s behind the newest one."""
    newest = max(series.time[-1] for _, series in replicas if series.time.size)
    fresh = [pair for pair in replicas if pair[1].time.size and pair[1].time[-1] >= newest - FAIL_OVER]
    return min(fresh, key=lambda pair: pair[0])[1]
