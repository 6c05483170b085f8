"""Every metric source gives the same raw samples of the same counters: memory, polled and streamed.

The reference is a real Prometheus that scrapes real HTTP services under load.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from guardian.adapters._http import HttpClient
from guardian.adapters.metrics.history import PrometheusHistory
from guardian.adapters.metrics.memory import MemorySource
from guardian.adapters.metrics.polled import PolledSource
from guardian.adapters.metrics.streamed import StreamedSource
from guardian.config.comparison import COUNT, GAUGE
from guardian.core.fleet import Fleet
from guardian.core.looks import Observed, Part, SeriesKey
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant, Place, RolloutId, Seconds, Track
from guardian.core.policy import CountSli, GaugeSli, Guardrail, Labels
from guardian.errors import Refused, Unavailable
from guardian.ports import MetricSource, Samples
from guardian.runtime.clock import SystemClock
from simulator.testing.load import LoadPlan
from simulator.testing.plugin import MakeLoad, MakePod, MakePrometheus
from simulator.testing.pods.behaviour import Behaviour
from simulator.testing.prometheus import Prometheus, PrometheusPlan
from tests.adapters.http_server import Asked, Reply, answering
from tests.builders import ERRORS, LATENCY, T0, policy

CHECKOUT = Place(service="checkout", environment="production")
ROLLOUT = RolloutId("checkout-1")
LOGINS = Guardrail(name="logins", sli=CountSli(events="logins_total"))
QUEUE = Guardrail(name="queue", sli=GaugeSli(value="queue_length"), compare=GAUGE)
ORDERS = Guardrail(name="orders", sli=CountSli(events="orders_total"), compare=COUNT)


def asked(guardrail: Guardrail, *, since: float, until: float) -> MeasureRequest:
    """What the core asks."""
    return MeasureRequest(
        rollout=ROLLOUT,
        place=CHECKOUT,
        guardrail=guardrail,
        labels=Labels(),
        since=Instant(since),
        until=Instant(until),
    )


def by_series(samples: Samples) -> dict[SeriesKey, dict[float, float]]:
    """Time and value of each sample by its series; NaN bounds of `le` left out of the key's comparison."""
    found: dict[SeriesKey, dict[float, float]] = {}
    for index, at, value in zip(samples.key.tolist(), samples.time.tolist(), samples.value.tolist(), strict=True):
        found.setdefault(samples.keys[index], {})[at] = value
    return {key: dict(sorted(points.items())) for key, points in found.items()}


def named(samples: Samples) -> dict[tuple[str, ...], dict[float, float]]:
    """As `by_series`, by what tells the series apart as text."""
    return {
        (key.guardrail, key.part, key.track, key.pod, f"{key.le:g}", key.labels): points
        for key, points in by_series(samples).items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Two pods under load, a Prometheus that scrapes them, and what it has written to us."""

    prometheus: Prometheus
    written: list[Asked]


async def caught_up(
    streamed: StreamedSource, written: list[Asked], requests: list[MeasureRequest], newest: float
) -> dict[tuple[str, ...], dict[float, float]]:
    """What is streamed, once every series has come as far as `newest`."""
    taken = 0
    async with asyncio.timeout(20):
        while True:
            for one in written[taken:]:
                await streamed.receive(one.body, content_encoding=one.headers["content-encoding"])
                taken += 1
            found = named(await streamed.measure(requests))
            if found and min(max(points) for points in found.values()) >= newest:
                return found
            await asyncio.sleep(0.1)


@asynccontextmanager
async def world(http_app: MakePod, prometheus: MakePrometheus, load: MakeLoad) -> AsyncIterator[World]:
    """Run the load to its end, until Prometheus has scraped all of it."""
    stable = http_app(track="stable", pod="s-1")
    canary = http_app(track="canary", pod="c-1", behaviour=Behaviour(error_ratio=0.2, queue=12.0))
    async with answering(lambda _: Reply(status=204, body=b"")) as web:
        plan = PrometheusPlan(targets=[stable.address, canary.address], remote_write=[f"{web.url}/api/v1/write"])
        server = await asyncio.to_thread(prometheus, plan)
        await asyncio.to_thread(server.wait_for, 'count(queue_length{job="pods"}) == 2')  # counters begin at 0
        loads = [load(LoadPlan(url=pod.url, rate=100.0, duration=3.0)) for pod in (stable, canary)]
        for one in loads:
            await asyncio.to_thread(one.report)
        total = 'count(sum by (pod) (http_requests_total{job="pods"}) == 300) == 2'
        await asyncio.to_thread(server.wait_for, total)
        yield World(prometheus=server, written=web.asked)


@pytest.mark.service
async def test_polled_and_streamed_give_equal_samples_of_real_counters(
    http_app: MakePod, prometheus: MakePrometheus, load: MakeLoad
) -> None:
    """Sample by sample: the same series, the same times, the same values; and all 600 requests are in them."""
    clock = SystemClock()
    since = clock.now()
    streamed = StreamedSource(clock=clock)
    streamed.watch(CHECKOUT, (ERRORS, LATENCY), Labels())
    client = HttpClient(timeout=5.0)
    async with world(http_app, prometheus, load) as around:
        until = clock.now()
        polled = PolledSource(url=around.prometheus.url, client=client, clock=clock, scrape_interval=Seconds(1.0))
        requests = [asked(one, since=since, until=until) for one in (ERRORS, LATENCY)]
        first = named(await polled.measure(requests))
        newest = max(max(points) for points in first.values())

        second = await caught_up(streamed, around.written, requests, newest)
    await client.close()
    cut = {key: {at: value for at, value in points.items() if at <= newest} for key, points in second.items()}
    assert first == {key: points for key, points in cut.items() if points}
    counts = {
        (key[1], key[2]): sum(max(points.values()) for other, points in first.items() if other[1:3] == key[1:3])
        for key in first
        if key[1] in {Part.TOTAL, Part.BAD}
    }
    assert counts["total", "stable"] == counts["total", "canary"] == 300
    assert 30 <= counts["bad", "canary"] <= 100
    buckets = {key: points for key, points in first.items() if key[1] == Part.BUCKET and key[4] == "inf"}
    assert {key[2]: max(points.values()) for key, points in buckets.items()} == {"stable": 300, "canary": 300}


@pytest.mark.service
async def test_levels_and_events_come_polled_and_streamed_alike_and_mean_the_same_to_the_evidence(
    http_app: MakePod, prometheus: MakePrometheus, load: MakeLoad
) -> None:
    """A gauge's samples are levels, as they were scraped; events are held against the requests of the same pod."""
    clock = SystemClock()
    since = clock.now()
    guardrails = (ERRORS, QUEUE, ORDERS)
    streamed = StreamedSource(clock=clock)
    streamed.watch(CHECKOUT, guardrails, Labels())
    client = HttpClient(timeout=5.0)
    async with world(http_app, prometheus, load) as around:
        until = clock.now()
        polled = PolledSource(url=around.prometheus.url, client=client, clock=clock, scrape_interval=Seconds(1.0))
        requests = [asked(one, since=since, until=until) for one in guardrails]
        samples = await polled.measure(requests)
        first = named(samples)
        newest = max(max(points) for points in first.values())
        second = await caught_up(streamed, around.written, requests, newest)
    await client.close()
    cut = {key: {at: value for at, value in points.items() if at <= newest} for key, points in second.items()}
    assert first == {key: points for key, points in cut.items() if points}
    levels = {key[2]: set(points.values()) for key, points in first.items() if key[1] == Part.VALUE}
    assert levels == {"stable": {0.0}, "canary": {12.0}}
    sold = {key[2]: max(points.values()) for key, points in first.items() if key[1] == Part.COUNT}
    assert sold["stable"] == 300
    assert 200 <= sold["canary"] <= 270

    fleet = Fleet()
    fleet.open(ROLLOUT, policy(guardrails=guardrails, interval=Seconds(1.0)))
    keys = np.array([fleet.series(key) for key in samples.keys])
    fleet.observe(Observed(series=keys[samples.key], time=samples.time, value=samples.value))
    look = fleet.look([ROLLOUT], now=Instant(until))[ROLLOUT]
    assert look.of("queue").canary.level == 12.0
    served, orders = look.of("errors").canary, look.of("orders").canary
    assert orders.requests == served.requests
    assert (orders.level or 0.0) * orders.requests == pytest.approx(served.requests - served.bad)


@pytest.mark.service
async def test_a_frozen_prometheus_is_unavailable_and_the_gap_is_covered_when_it_goes_on(
    http_app: MakePod, prometheus: MakePrometheus, load: MakeLoad
) -> None:
    """No measurement is made up meanwhile; afterwards the counters hold everything that happened."""
    clock = SystemClock()
    since = clock.now()
    pod = http_app(track="canary", pod="c-1")
    server = await asyncio.to_thread(prometheus, PrometheusPlan(targets=[pod.address]))
    await asyncio.to_thread(server.wait_for, "http_requests_total")
    client = HttpClient(timeout=0.5)
    source = PolledSource(url=server.url, client=client, clock=clock, scrape_interval=Seconds(1.0))

    async def total() -> float:
        samples = await source.measure([asked(ERRORS, since=since, until=clock.now())])
        return sum(max(points.values()) for key, points in named(samples).items() if key[1] == Part.TOTAL)

    assert await total() == 0
    server.server.pause()
    with pytest.raises(Unavailable, match=r"no answer within 0\.5 s"):
        await total()
    await asyncio.to_thread(load(LoadPlan(url=pod.url, rate=100.0, duration=1.0)).report)
    server.server.resume()
    await asyncio.to_thread(server.wait_for, 'http_requests_total{status="200"} == 100')
    assert await total() == 100
    await client.close()


@pytest.mark.service
async def test_history_answers_promql_and_says_what_it_cannot(prometheus: MakePrometheus) -> None:
    """For doctor and reports: values at a time, values over time, and a clear no."""
    server = await asyncio.to_thread(prometheus, PrometheusPlan())
    history = PrometheusHistory(url=server.url)
    now = SystemClock().now()
    [line] = await history.query("vector(42)", now)
    assert (line.labels, line.value.tolist()) == ({}, [42.0])
    [line] = await history.query_range("vector(1)", start=Instant(now - 60), end=now, step=Seconds(15.0))
    assert line.value.tolist() == [1.0] * 5
    assert np.diff(line.time).tolist() == [15.0] * 4
    with pytest.raises(Refused, match=r"parse error.*; check the expression"):
        await history.query("rate(", now)


def memory() -> MetricSource:
    """The source that needs nothing, filled with what the next test looks for."""
    source = MemorySource()
    for track, pod in (("stable", "s-1"), ("canary", "c-1"), ("preview", "x-1")):
        for second in range(4):
            labels = {"__name__": "logins_total", "service": "checkout", "track": track, "pod": pod}
            source.add(labels, Instant(T0 + second), float(second))
    return source


async def test_memory_gives_the_samples_of_both_tracks_after_since() -> None:
    """As the others do: later than `since`, up to `until`, raw."""
    samples = await memory().measure([asked(LOGINS, since=T0, until=T0 + 2)])
    assert sorted((key.track, key.pod) for key in samples.keys) == [(Track.CANARY, "c-1"), (Track.STABLE, "s-1")]
    assert [list(points.values()) for points in by_series(samples).values()] == [[1.0, 2.0], [1.0, 2.0]]
