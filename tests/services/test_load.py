"""The load generator: its rate holds, it is bounded, and it says truly what came back."""

from __future__ import annotations

import pytest

from simulator.testing.load import LoadPlan, generate
from simulator.testing.plugin import MakeHaProxy, MakeLoad, MakePod
from simulator.testing.pods.behaviour import Behaviour, Latency


def test_the_rate_holds_and_the_proxy_splits_by_weight(http_app: MakePod, haproxy: MakeHaProxy, load: MakeLoad) -> None:
    """200 requests per second through HAProxy at weights 90 to 10: every tenth reaches the canary."""
    stable, canary = http_app(), http_app(track="canary")
    proxy = haproxy({"stable": stable.address, "canary": canary.address}, weights={"stable": 90, "canary": 10})
    report = load(LoadPlan(url=proxy.url, rate=200.0, duration=5.0)).report()
    assert (report.sent, report.failed, report.dropped) == (1000, 0, 0)
    assert report.rate == pytest.approx(200.0, rel=0.02)
    assert report.by("track") == pytest.approx({"stable": 900, "canary": 100}, abs=1)
    assert proxy.served() == report.by("track")


async def test_poisson_arrivals_keep_the_mean_and_repeat_with_their_seed(http_app: MakePod) -> None:
    """Random gaps, yet the same test each time: 400 expected arrivals, deviation 20."""
    pod = http_app()
    plan = LoadPlan(url=pod.url, rate=400.0, duration=1.0, poisson=True, seed=7)
    first, second = await generate(plan), await generate(plan)
    assert first.sent == second.sent
    assert 320 < first.sent < 480


async def test_slow_answers_do_not_slow_the_load(http_app: MakePod) -> None:
    """Open loop: at 0.3 s an answer, a client that waits for it would send 3 requests a second."""
    pod = http_app(behaviour=Behaviour(latency=Latency(median=0.3)))
    report = await generate(LoadPlan(url=pod.url, rate=100.0, duration=1.0))
    assert (report.sent, report.failed, report.dropped) == (100, 0, 0)
    assert report.latency[0] >= 0.3


async def test_requests_without_a_free_connection_are_dropped_and_counted(http_app: MakePod) -> None:
    """Otherwise a hanging service would make the generator open connections without end."""
    pod = http_app(behaviour=Behaviour(hang=True))
    report = await generate(LoadPlan(url=pod.url, rate=50.0, duration=0.5, connections=5, timeout=2.0))
    assert (report.sent, report.failed, report.dropped) == (5, 5, 20)


async def test_a_service_that_is_gone_is_failures_and_not_an_error(http_app: MakePod) -> None:
    """Load goes on while services are killed; the report is what tells."""
    pod = http_app()
    pod.server.kill()
    report = await generate(LoadPlan(url=pod.url, rate=50.0, duration=0.2))
    assert (report.sent, report.failed, report.answered) == (10, 10, 0)


def test_stopping_early_still_reports(http_app: MakePod, load: MakeLoad) -> None:
    """Tests stop the load when they have seen what they wanted."""
    pod = http_app()
    running = load(LoadPlan(url=pod.url, rate=100.0, duration=600.0))
    report = running.stop()
    assert report.sent == report.answered
    assert not running.server.running
