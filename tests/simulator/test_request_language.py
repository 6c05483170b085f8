"""The section `request` of a scenario file: what cannot be is refused with line, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.errors import ScenarioError
from simulator.library import find, library, load
from simulator.request.language import Grain
from simulator.scenario import Scenario
from tests.simulator.worlds import POLICY

WORLD = """apiVersion: slo-guardian/v1
kind: Scenario
metadata: {name: X1, title: a test}
spec:
  story: a test
  service:
    name: checkout
    errors: {share: 0.5%}
    latency:
      body: [{share: 100%, median: 80ms, sigma: 0.5}]
      tail: {share: 0.3%, median: 2.5s, sigma: 0.2}
  traffic: {kind: steady, rate: 200}
  grain: request
  request:
    workers: 16
    clients: {timeout: 5s, retries: 2}
    calls: [{to: stock}]
    dependencies:
      - {name: stock, median: 20ms, calls: [{to: database}]}
      - {name: database, median: 5ms, workers: 10}
    memory: {live: 50%, garbage: 0.1%, pause: 100ms}
    autoscaler: {busy: 50%}
  faults:
    - {kind: outage, of: database, at: 1m, share: 5%}
  truth: {verdict: rollback, onset: 1m, within: 60s}
---
"""


def _written(folder: Path, text: str, *, grain: Grain | None = None) -> Scenario:
    file = folder / "x.yaml"
    file.write_text(text + POLICY, encoding="utf-8")
    return load(file, grain=grain)


def test_a_good_section_loads(tmp_path: Path) -> None:
    """All that may be said in one file."""
    scenario = _written(tmp_path, WORLD)
    assert scenario.spec.request is not None
    assert scenario.spec.request.clients.retries == 2


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("workers: 16", "worker: 16", 15, "did you mean 'workers'"),
        ("timeout: 5s", "timeout: -5s", 16, "not a duration"),
        ("timeout: 5s", "timeout: 0s", 16, "more than 0"),
        ("retries: 2", "retries: -1", 16, "0"),
        ("calls: [{to: stock}]", "calls: [{to: stok}]", 17, "did you mean 'stock'"),
        (
            "median: 5ms, workers: 10",
            "median: 5ms, workers: 10, calls: [{to: stock}]",
            19,
            "stock -> database -> stock",
        ),
        ("calls: [{to: database}]", "calls: [{to: stock}]", 19, "stock -> stock"),
        ("name: database", "name: stock", 20, "two dependencies are named 'stock'"),
        ("median: 5ms, workers: 10", "median: 5ms, queue: 3", 20, "without `workers`"),
        ("live: 50%", "live: 99%", 21, "do not fit"),
        ("busy: 50%", "busy: 50%, least: 9", 22, "write at most 1"),
        ("    workers: 16\n", "", 21, "an autoscaler needs workers"),
        ("of: database", "of: databse", 24, "did you mean 'database'"),
        ("    memory: {live: 50%, garbage: 0.1%, pause: 100ms}\n", "", 23, "pods without a `memory`"),
        ("  grain: request\n", "", 23, "flow grain counts effects only"),
        ("grain: request", "grain: requests", 13, "did you mean 'request'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    """A file whose causes are not played would make every gate look good."""
    text = WORLD.replace(old, new, 1)
    assert text != WORLD
    if "memory" in said:
        text = text.replace("kind: outage, of: database", "kind: memory_leak")
    with pytest.raises(ScenarioError) as caught:
        _written(tmp_path, text)
    assert said in str(caught.value)
    assert f"x.yaml:{line}:" in caught.value.where


@pytest.mark.parametrize(("rate", "said"), [("9000000", "9e+10 events a run"), ("1e9", "4e+09 events a second")])
def test_more_requests_than_can_be_played_are_refused_with_their_number(tmp_path: Path, rate: str, said: str) -> None:
    """It would run for weeks; counts per scrape are as quick for any number of users."""
    with pytest.raises(ScenarioError) as caught:
        _written(tmp_path, WORLD.replace("rate: 200", f"rate: {rate}"))
    assert said in caught.value.what
    assert "flow" in caught.value.remedy
    assert "x.yaml:12:" in caught.value.where


def test_a_scenario_told_by_causes_is_not_played_in_flow_grain(tmp_path: Path) -> None:
    """It would be a healthy release there, and every rollback of it right by chance."""
    with pytest.raises(ScenarioError, match=r"told by its causes.*--grain request"):
        _written(tmp_path, WORLD, grain=Grain.FLOW)


def test_a_scenario_may_have_other_faults_in_each_grain() -> None:
    """What is stated as an effect for counts has its cause in the request grain, and never both."""
    flow, request = (load(find("S06")[0], grain=grain) for grain in Grain)
    assert [fault.kind for fault in flow.spec.faults] == ["warm_up"]
    assert request.spec.faults == ()


@pytest.mark.parametrize("name", sorted(library()))
def test_every_shipped_scenario_can_be_played_request_by_request(name: str) -> None:
    """Faults of the flow grain act on a request's own work."""
    assert load(find(name)[0], grain=Grain.REQUEST).spec.grain is Grain.REQUEST
