"""What pods show besides requests: attempts that go wrong under HTTP 200, and levels, in both grains."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.library import find, load
from simulator.telemetry import shown
from simulator.traffic import Floats
from simulator.world import World
from tests.simulator.worlds import SERVICE, refused, scenario, shifted, written

SIGMAS = 4.5
MATCHES = {"metric": "matches_total", "of": "20%", "bad": "5%"}
CPU = {"metric": "cpu_usage_ratio", "level": "40%"}
GRAINS = pytest.mark.parametrize("grain", ["flow", "request"])


def _world(*, grain: str = "flow", seed: int = 1, minutes: float = 10, **changed: Any) -> World:
    """Return a world whose canary had half of the traffic for some minutes, the same in both grains."""
    service = {**SERVICE, "errors": {"share": "0.5%"}, "attempts": [MATCHES], "gauges": [CPU]}
    settled = {"service": service, "history": "1m", "traffic": {"kind": "steady", "rate": 50}, "grain": grain}
    return shifted(scenario(**{**settled, **changed}), weight=0.5, seed=seed, minutes=minutes)


def _gauge(**changed: Any) -> dict[str, Any]:
    return {**SERVICE, "gauges": [{**CPU, **changed}]}


def _levels(world: World) -> Floats:
    """Return what the first gauge showed since the shift, shape (rounds, slots)."""
    return np.concatenate([one.levels[..., 0] for one in world.rounds if one.time[0, 0] > world.opening])


def _within(count: int, of: int, share: float) -> bool:
    return abs(count - of * share) < SIGMAS * math.sqrt(of * share * (1 - share))


@GRAINS
def test_attempts_go_wrong_while_http_stays_well(grain: str) -> None:
    """The canary's alone, from the fault on; the share of requests that is an attempt stays as it is."""
    world = _world(grain=grain, faults=[{"kind": "attempt_step", "of": "matches_total", "share": "12%"}])
    canary, stable, end = world.topology.canary.slots, world.topology.stable.slots, world.rounds[-1]
    tried, wrong = end.attempts[0, canary].sum(axis=0)
    before, gone_before = end.attempts[0, stable].sum(axis=0)
    assert _within(wrong, tried, 0.12)
    assert _within(gone_before, before, 0.05)
    assert _within(tried, (end.total - end.bad)[0, canary].sum(), 0.2)
    assert _within(end.bad[0, canary].sum(), end.total[0, canary].sum(), 0.005)


@GRAINS
def test_a_restart_sets_attempts_to_zero_as_well(grain: str) -> None:
    """They are counters of the same process."""
    world = _world(grain=grain, faults=[{"kind": "counter_reset", "at": "5m", "on": "stable", "pods": 1}])
    since = [one for one in world.rounds if one.time[0, 0] > world.opening]
    tried = np.concatenate([one.attempts[:, :, 0] for one in since])
    times = np.concatenate([one.time for one in since]) - world.opening
    steps = np.diff(tried, axis=0)
    assert (steps < 0).sum(axis=0).tolist() == [1, 0, 0, 0, 0, 0]
    assert 300 <= times[1:][steps[:, 0] < 0, 0] <= 310


@GRAINS
def test_a_gauge_grows_by_the_minute_and_ends_at_its_most(grain: str) -> None:
    """40 % and 10 points a minute: 90 % after five minutes, no more than 100 %."""
    fault = {"kind": "gauge_shift", "of": "cpu_usage_ratio", "per_minute": "10%"}
    world = _world(grain=grain, faults=[fault], service=_gauge(most="100%"))
    times = np.concatenate([one.time for one in world.rounds if one.time[0, 0] > world.opening]) - world.opening
    canary, levels = world.topology.canary.slots, _levels(world)
    assert levels[:, canary] == pytest.approx(np.minimum(0.4 + times[:, canary] / 600, 1.0))
    assert np.all(levels[:, world.topology.stable.slots] == 0.4)


def test_levels_differ_lastingly_and_wobble() -> None:
    """As far as the scenario says, each with the mean it says."""
    service = _gauge(spread=0.2, noise={"sd": 0.1}) | {"pods": {"stable": 400, "canary": 1}}
    world = _world(service=service, minutes=20)
    levels = np.log(_levels(world)[:, world.topology.stable.slots])
    assert levels.mean(axis=0).std() == pytest.approx(0.2, rel=0.15)
    assert (levels - levels.mean(axis=0)).std() == pytest.approx(0.1, rel=0.05)
    assert np.exp(levels).mean() == pytest.approx(0.4, rel=0.05)


def test_memory_in_use_grows_with_a_leak_and_falls_with_a_restart() -> None:
    """What stays after collections, shown in request grain; it dies at 98 %."""
    memory = {"live": "50%", "garbage": "1%", "pause": "10ms", "restart": "20s"}
    leak = {"kind": "memory_leak", "on": "canary", "share": "0.02%"}
    world = _world(grain="request", faults=[leak], request={"memory": memory}, service=SERVICE)
    first = world.topology.canary.slots.start
    levels = _levels(world)
    assert np.all(levels[:, world.topology.stable.slots] == 0.5)
    assert levels[:, first].max() > 0.9
    assert np.diff(levels[:, first]).min() < -0.3


def test_cpu_is_the_work_of_requests_and_no_waiting() -> None:
    """12.5 requests/s of 91 ms on each canary pod of ten workers: 11 %; calls to others add nothing."""
    slow = [{"name": "index", "median": "300ms", "sigma": 0}]
    request = {"workers": 10, "cpu": "cpu_ratio", "calls": [{"to": "index"}], "dependencies": slow}
    calm = {
        "body": [{"share": "100%", "median": "80ms", "sigma": 0.5}],
        "tail": {"median": "1s", "sigma": 0, "share": 0},
    }
    service = {**SERVICE, "latency": calm}
    world = _world(grain="request", request=request, service=service, minutes=20)
    levels = _levels(world)[1:, world.topology.canary.slots]
    assert levels.mean() == pytest.approx(12.5 * 0.08 * math.exp(0.125) / 10, rel=0.05)


@pytest.mark.parametrize(
    ("sli", "what", "remedy"),
    [
        ("gauge: {value: memory_bytes}", "does not have", "a simulated service has no gauge; it has http_requests"),
        ("ratio: {bad: 'lost_total{x=\"y\"}', total: writes_total}", "does not have", "of a ratio there is http_req"),
        ("histogram: {buckets: http_requests_total}", "does not have", "http_request_duration_seconds_bucket"),
        ("count: {events: http_requests_total}", "does not have", "a simulated service has no count"),
    ],
)
def test_a_policy_that_measures_something_else_is_told_what_there_is(
    tmp_path: Path, sli: str, what: str, remedy: str
) -> None:
    """It would be judged on nothing."""
    guardrails = f"spec:\n  guardrails:\n    - name: other\n      sli: {{{sli}}}\n"
    error = refused(written(tmp_path, f"extends: S02\n---\n{guardrails}"))
    assert what in error.what
    assert remedy in error.remedy
    assert error.where.endswith("mine.yaml:9:12")


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("{faults: [{kind: attempt_step, of: orders_total, share: 5%}]}", "the service has no attempt 'orders_total'"),
        ("{faults: [{kind: gauge_shift, of: cpu, factor: 2}]}", "the service has no gauge 'cpu'"),
        ("{service: {attempts: [{metric: http_requests_total, bad: 1%}]}}", "'http_requests_total' is there already"),
        ("{service: {gauges: [{metric: 'a b', level: 1}]}}", "'a b'"),
        ("{service: {gauges: [{metric: cpu, level: -1}]}}", "-1"),
    ],
)
def test_meters_that_cannot_be_are_refused(tmp_path: Path, spec: str, what: str) -> None:
    """With the line."""
    error = refused(written(tmp_path, f"extends: S02\nspec: {spec}\n"))
    assert what in error.what
    assert ":5:" in error.where


def test_the_metrics_of_a_service_are_listed_by_kind() -> None:
    """What a policy of S25 may measure."""
    (file,) = find("S25")
    assert shown(load(file).spec) == {
        "http_requests_total": "ratio",
        "http_request_duration_seconds_bucket": "histogram",
        "matches_total": "ratio",
    }
