"""The monitor over a real Prometheus with a past: what it counts, what it tells, and that nothing stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from structlog.testing import capture_logs

from guardian.adapters._http import HttpClient
from guardian.adapters.metrics.past import PrometheusPast
from guardian.core.model import Instant, Place, Seconds
from guardian.core.monitor import Standing
from guardian.core.policy import Match, Policy, with_margins
from guardian.core.pretend import Shape, Window, splits
from guardian.errors import Refused
from guardian.ports import PastSource
from guardian.runtime.clock import FastClock
from guardian.runtime.monitor import Monitor, Watched
from simulator.testing.history import Series
from simulator.testing.plugin import MakePrometheus
from simulator.testing.prometheus import PrometheusPlan
from tests.builders import PLACE, policy
from tests.core.test_monitor import LENGTH
from tests.runtime.stage import until

STEP = 30.0
SPAN = Seconds(5 * 3600.0)
OTHER = Place(service="basket", environment="production")
RULES = policy()
BASKET = replace(RULES, name="basket", match=Match(service="basket", environment="production"))


def a_time() -> Instant:
    """Half an hour ago or less, in the middle of a window: nine of the span are settled."""
    return Instant((time.time() // LENGTH - 0.5) * LENGTH)


def counters(service: str, rates: Sequence[float], *, end: float, seconds: float = SPAN + 3600.0) -> list[Series]:
    """The past of a service up to `end`: one pod for each error rate, 40 requests a second each."""
    chance = np.random.default_rng(len(service))
    times = end - STEP * np.arange(round(seconds / STEP), -1, -1, dtype=np.float64)
    found = []
    for pod, rate in enumerate(rates):
        requests = chance.poisson(40.0 * STEP, len(times))
        bad = chance.binomial(requests, rate)
        for status, part in (("200", requests - bad), ("500", bad)):
            labels = {"service": service, "track": "stable", "pod": f"s-{pod}", "status": status}
            values = np.cumsum(part).astype(np.float64)
            found.append(Series(name="http_requests_total", labels=labels, times=times, values=values))
    return found


class Watch:
    """A monitor that runs, its metrics, and who it watches."""

    def __init__(self, past: PastSource, *rules: Policy, start: Instant, every: float) -> None:
        self.registry = CollectorRegistry()
        self.wanted = [
            Watched(place=Place(service=one.match.service, environment="production"), policy=one, past=lambda: past)
            for one in rules
        ]
        clock = FastClock(speed=1.0, start=start)
        self.monitor = Monitor(
            wanted=lambda: self.wanted, clock=clock, over=SPAN, every=Seconds(every), registry=self.registry
        )

    def of(self, place: Place = PLACE) -> Standing | None:
        """How a place stands."""
        return next((found for watched, found in self.monitor.standings() if watched.place == place), None)

    def complete(self) -> bool:
        """Whether the whole span of all services was judged."""
        found = [standing for _, standing in self.monitor.standings()]
        return len(found) == len(self.wanted) and all(standing.complete for standing in found)

    def metric(self, name: str, place: Place = PLACE) -> float | None:
        """One of the metrics it gives out."""
        labels = {"service": place.service, "environment": "production", "region": "", "policy": place.service}
        return self.registry.get_sample_value(f"guardian_monitor_{name}", labels)


@asynccontextmanager
async def watching(past: PastSource, *rules: Policy, start: Instant) -> AsyncIterator[Watch]:
    """Run a monitor until the block ends."""
    watch = Watch(past, *rules, start=start, every=0.2)
    task = asyncio.create_task(watch.monitor.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def prometheus_past(url: str) -> AsyncIterator[PrometheusPast]:
    """The past as a daemon reads it."""
    client = HttpClient(timeout=10.0)
    try:
        yield PrometheusPast(url=url, client=client, everywhere={}, dropped=(), step=Seconds(STEP))
    finally:
        await client.close()


def drawn(found: Standing) -> int:
    """How many of the windows judged have the last of three pods for canary."""
    assert found.since is not None
    assert found.newest is not None
    starts = np.arange(found.since, found.newest, LENGTH)
    draws = [splits(np.arange(3), size=1, count=1, chance=np.random.default_rng(int(at))) for at in starts]
    assert len(starts) == found.windows
    return draws.count([(2,)])


async def test_services_are_counted_and_told_and_a_restart_counts_the_same(prometheus: MakePrometheus) -> None:
    """Of `basket` one pod of three has ten times the errors; `checkout` is well. Nothing was stored in between."""
    end = a_time()
    series = counters("checkout", [0.01] * 4, end=end) + counters("basket", [0.005, 0.005, 0.05], end=end)
    server = prometheus(PrometheusPlan(history=series))
    counted: list[tuple[Standing | None, ...]] = []
    watches: list[Watch] = []
    with capture_logs() as logs:
        async with prometheus_past(server.url) as past:
            for _ in range(2):
                async with watching(past, RULES, BASKET, start=end) as watch:
                    await until(watch.complete)
                    counted.append((watch.of(), watch.of(OTHER)))
                watches.append(watch)
    assert counted[0] == counted[1]
    watch = watches[1]
    well, ill = counted[0]
    assert well is not None
    assert ill is not None
    assert (well.windows, well.false_rollbacks, well.exceeded, well.problem) == (9, 0, False, "")
    assert (ill.windows, ill.guardrails) == (9, {"errors": drawn(ill)} if drawn(ill) else {})
    assert ill.exceeded is (drawn(ill) > 1)
    assert (watch.metric("windows"), watch.metric("false_rollbacks"), watch.metric("upper")) == (9, 0, well.upper)
    assert watch.metric("false_rollbacks", OTHER) == drawn(ill)
    assert watch.metric("exceeded", OTHER) == float(ill.exceeded)
    assert watch.metric("newest_timestamp_seconds") == well.newest
    warned = [log for log in logs if log["event"] == "pods_differ_too_much"]
    assert [log["service"] for log in warned] == ["basket"] * (2 * ill.exceeded)
    watch.wanted.pop()
    watch.monitor._look()
    assert (watch.of(OTHER), watch.metric("windows", OTHER)) == (None, None), "who is gone has no metrics"


async def test_pods_that_differ_more_than_the_evidence_allows_for_are_told_once(prometheus: MakePrometheus) -> None:
    """Under a margin of half of stable's errors every canary goes back: what the policy promises does not hold here."""
    absurd = with_margins(RULES, {"errors": 0.5})
    end = a_time()
    server = prometheus(PrometheusPlan(history=counters("checkout", [0.01] * 4, end=end)))
    with capture_logs() as logs:
        async with prometheus_past(server.url) as past, watching(past, absurd, start=end) as watch:
            await until(watch.complete)
            found = watch.of()
            await asyncio.sleep(1.0)
    assert found is not None
    assert (found.windows, found.false_rollbacks, found.exceeded) == (9, 9, True)
    [told] = [log for log in logs if log["log_level"] == "warning"]
    assert (told["event"], told["service"], told["guardrails"]) == ("pods_differ_too_much", "checkout", {"errors": 9})
    assert told["text"].startswith("this service's pods differ more than the evidence allows for")
    assert watch.metric("exceeded") == 1


async def test_a_past_that_cannot_be_read_is_told_and_read_later(prometheus: MakePrometheus) -> None:
    """Prometheus is down at first: said once, asked again, and then it is counted as if nothing had been."""
    end = a_time()
    server = prometheus(PrometheusPlan(history=counters("checkout", [0.01] * 4, end=end)))
    server.server.kill()
    with capture_logs() as logs:
        async with prometheus_past(server.url) as past, watching(past, RULES, start=end) as watch:
            await until(lambda: (found := watch.of()) is not None and found.problem)
            found = watch.of()
            assert found is not None
            assert found.sentence.startswith("not measured at this service, stable against stable: ")
            assert server.url in found.problem
            assert (watch.metric("unmeasured"), watch.metric("windows"), watch.metric("lower")) == (1, 0, None)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(server.start)
            await until(watch.complete)
            assert (watch.metric("unmeasured"), watch.metric("windows")) == (0, 9)
    said = [log["text"] for log in logs if log["event"] == "stable_not_measured"]
    assert len(said) == len(set(said)) > 0, "while it starts it may answer otherwise"
    assert [log["event"] for log in logs].count("stable_measured_again") == 1


async def test_a_service_without_a_past_says_what_is_missing(prometheus: MakePrometheus) -> None:
    """An empty answer is not a service without false rollbacks."""
    end = a_time()
    server = prometheus(PrometheusPlan(history=counters("basket", [0.01] * 3, end=end)))
    async with prometheus_past(server.url) as past, watching(past, RULES, start=end) as watch:
        await until(watch.complete)
        found = watch.of()
    assert found is not None
    assert (found.windows, found.left_out) == (0, 9)
    assert "no window of its past can be judged (9 with no rows)" in found.sentence


class Broken:
    """A source with a mistake in it, but for the newest windows of `checkout`."""

    def __init__(self, past: PastSource) -> None:
        self.past, self.asked = past, list[Instant]()

    async def window(
        self, place: Place, policy: Policy, *, start: Instant, shape: Shape, pods: dict[str, int]
    ) -> Window:
        if place == OTHER:
            raise TypeError("nobody thought of this")
        self.asked.append(start)
        return await self.past.window(place, policy, start=start, shape=shape, pods=pods)


async def test_a_mistake_with_one_service_keeps_nobody_else_from_being_counted(prometheus: MakePrometheus) -> None:
    """Newest first, each window once, whatever happens beside it."""
    end = a_time()
    server = prometheus(PrometheusPlan(history=counters("checkout", [0.01] * 4, end=end)))
    with capture_logs() as logs:
        async with prometheus_past(server.url) as past:
            broken = Broken(past)
            async with watching(broken, BASKET, RULES, start=end) as watch:
                await until(lambda: (found := watch.of()) is not None and found.complete)
                failed = watch.of(OTHER)
    assert failed is not None
    assert failed.problem == "TypeError: nobody thought of this"
    assert len(broken.asked) == 9
    assert broken.asked == sorted(broken.asked, reverse=True)
    assert {log["event"] for log in logs if log["log_level"] == "error"} == {"monitor_fault"}


class Torn:
    """A past in which one window cannot be read."""

    def __init__(self, past: PastSource, start: Instant) -> None:
        self._past, self.start = past, start
        self.asked = 0

    async def window(
        self, place: Place, rules: Policy, *, start: Instant, shape: Shape, pods: dict[str, int]
    ) -> Window:
        """Refuse one, and hand on the others."""
        if start == self.start:
            self.asked += 1
            raise Refused("the answer is larger than 10 bytes", where="metrics", remedy="ask for less")
        return await self._past.window(place, rules, start=start, shape=shape, pods=pods)


async def test_a_window_that_cannot_be_read_holds_up_no_other(prometheus: MakePrometheus) -> None:
    """It is asked for once more, left out and counted as such."""
    now = a_time()
    server = prometheus(PrometheusPlan(history=counters("checkout", [0.01] * 4, end=now)))
    async with prometheus_past(server.url) as past:
        torn = Torn(past, Instant(now - 2.5 * LENGTH))
        async with watching(torn, RULES, start=now) as watch:
            await until(watch.complete)
            found = watch.of(PLACE)
    assert found is not None
    assert (found.windows, found.left_out, torn.asked) == (8, 1, 2)


def no_certificate() -> PastSource:
    """A source that cannot be made."""
    raise FileNotFoundError("ca.pem")


async def test_a_source_that_cannot_be_made_is_told_at_its_service() -> None:
    """A certificate that is not there is found out when it is needed, and ends nothing."""
    broken = Watched(place=PLACE, policy=RULES, past=no_certificate)
    with capture_logs() as logs:
        async with watching(Broken(None), start=a_time()) as watch:  # type: ignore[arg-type]
            watch.wanted.append(broken)
            await until(lambda: (found := watch.of()) is not None and found.problem)
            found = watch.of()
    assert found is not None
    assert found.problem == "FileNotFoundError: ca.pem"
    assert "stable_not_measured" in {log["event"] for log in logs}


async def test_who_is_watched_may_fail_to_be_told() -> None:
    """A mistake there is logged, and asked again; the task of the monitor goes on."""
    answers = [RuntimeError("a mistake"), RuntimeError("again"), None]

    def wanted() -> list[Watched]:
        if (mistake := answers.pop(0)) is not None:
            raise mistake
        answers.append(None)
        return [Watched(place=PLACE, policy=RULES, past=no_certificate)]

    monitor = Monitor(
        wanted=wanted, clock=FastClock(speed=1.0, start=a_time()), over=SPAN, every=Seconds(0.1),
        registry=CollectorRegistry(),
    )  # fmt: skip
    with capture_logs() as logs:
        task = asyncio.create_task(monitor.run())
        await until(lambda: [standing.problem for _, standing in monitor.standings()] == ["FileNotFoundError: ca.pem"])
        task.cancel()
        await asyncio.wait({task})
    assert [log["event"] for log in logs].count("monitor_fault") >= 2


def test_metrics_are_there_before_anything_is_counted() -> None:
    """A dashboard finds the names, without a sample."""
    watch = Watch(Broken(None), start=a_time(), every=1.0)  # type: ignore[arg-type]
    assert b"# HELP guardian_monitor_windows" in generate_latest(watch.registry)
    assert watch.metric("windows") is None
