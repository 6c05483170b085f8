"""`guardian backtest` as a person calls it: files and a real Prometheus, exit codes, tables, texts for bad input."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from guardian.adapters.metrics.history import PrometheusHistory
from guardian.cli.measured import Source, measured_past
from guardian.core.model import Instant, Seconds
from guardian.core.pretend import Shape
from simulator.testing.history import PodHistory, Series, pod_history
from simulator.testing.plugin import MakePrometheus
from simulator.testing.pods.behaviour import Behaviour, Identity, Latency
from simulator.testing.prometheus import PrometheusPlan
from tests.builders import ERRORS, LATENCY, policy
from tests.cli.daemon import Answer, guardian

POLICY = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: production}
  strategy: {kind: canary, steps: [{weight: 25%, bake: 5m}, {weight: 100%, bake: 10m}]}
  risk: {false_rollback: 1%, false_promotion: 5%, earliest_promotion: 10m}
  guardrails:
    - name: errors
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
"""
SECOND = """    - name: latency
      sli: {histogram: {buckets: http_request_duration_seconds_bucket}}
"""


def recorded(file: Path, *, rates: Sequence[float], hours: float = 6.0, metric: str = "errors") -> Path:
    """Write stable's past: one pod for each error rate, 600 requests in 15 s."""
    chance = np.random.default_rng(3)
    times = np.arange(-3600.0 * hours + 15.0, 1.0, 15.0)
    rows = len(times) * len(rates)
    requests = chance.poisson(600, rows)
    table = pa.table(
        {
            "rollout_id": ["past"] * rows, "t": np.repeat(times, len(rates)), "dt": np.full(rows, 15.0),
            "track": ["stable"] * rows, "pod": [f"s-{i}" for i in range(len(rates))] * len(times),
            "metric": [metric] * rows, "requests": requests,
            "bad": chance.binomial(requests, np.tile(rates, len(times))),
        }
    )  # fmt: skip
    pq.write_table(table, file)
    return file


def backtest(folder: Path, *arguments: object, policy: str = POLICY) -> Answer:
    """Run the command in a folder that has the policy."""
    (folder / "p.yaml").write_text(policy)
    return guardian("backtest", *map(str, arguments), "--policy", "p.yaml", folder=folder)


def test_a_past_without_releases_gives_rate_power_and_margins(tmp_path: Path) -> None:
    """Exit 0: the risk is not refuted; with few starting times it is not shown either, and that is said."""
    answer = backtest(tmp_path, recorded(tmp_path / "past.parquet", rates=[0.01] * 4), "-o", "json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert (found["apiVersion"], found["kind"], found["policy"]) == ("slo-guardian/v1", "Backtest", "checkout")
    pods, before = found["false_rollbacks"]
    assert (pods["arms"], before["arms"]) == ("pods", "time")
    assert pods["rolled_back"] == 0
    assert pods["interval"][0] == 0.0
    assert pods["interval"][1] > 0.01
    assert pods["finding"] == "undecided"
    assert any("368 starting times without a rollback show 1.00%" in note for note in found["notes"])
    assert [(one["guardrail"], one["worse"]) for one in found["power"]] == [("errors", 1.5), ("errors", 2.0)]
    assert found["power"][1]["share"] > 0.8
    assert found["margins"] == [{"guardrail": "errors", "given": 1.05, "suggested": 1.02}]


def test_a_policy_beyond_its_risk_ends_with_3(tmp_path: Path) -> None:
    """One pod of three has ten times the errors: a third of single canaries is rolled back, healthy as they are."""
    past = recorded(tmp_path / "past.parquet", rates=[0.005, 0.005, 0.05])
    answer = backtest(tmp_path, past, "--canary-pods", 1, "--splits", 3, "--rate-only", "-o", "json")
    assert answer.code == 3, answer.err
    found = json.loads(answer.out)
    assert found["false_rollbacks"][0]["finding"] == "rejected"
    assert found["false_rollbacks"][0]["share"] == pytest.approx(1 / 3, abs=0.05)
    assert (found["power"], found["margins"]) == ([], [])


def test_the_tables_fit_an_ordinary_terminal(tmp_path: Path) -> None:
    """A hundred columns, notes and all; only the name of the source is as long as it is."""
    answer = backtest(tmp_path, recorded(tmp_path / "past.parquet", rates=[0.01] * 12))
    lines = answer.out.splitlines()
    assert max(len(line.rstrip()) for line in lines if "past.parquet" not in line) <= 100
    assert "pods, 3 of 12" in answer.out
    assert "Measured, not proved" in answer.out


@pytest.mark.parametrize(
    ("rates", "hours", "metric", "said"),
    [
        ([0.01] * 4, 2 / 60, "errors", "past.parquet: holds 2m of stable rows; one pretended rollout needs 70m"),
        ([0.01], 6.0, "errors", "no starting time can be used"),
        ([0.01] * 4, 6.0, "logins", "no stable row of a guardrail that the policy compares; metrics in it: logins"),
    ],
    ids=["two-minutes", "one-pod", "other-metric"],
)
def test_a_past_that_is_too_thin_ends_with_4(
    tmp_path: Path, rates: Sequence[float], hours: float, metric: str, said: str
) -> None:
    """Undecided, not wrong: what is missing, where, and what to do."""
    past = recorded(tmp_path / "past.parquet", rates=rates, hours=hours, metric=metric)
    answer = backtest(tmp_path, past)
    assert (answer.code, answer.out) == (4, "")
    assert said in answer.err
    assert "remedy: " in answer.err


def test_a_file_that_cannot_be_read_ends_with_2(tmp_path: Path) -> None:
    """As `guardian judge` does."""
    (tmp_path / "past.csv").write_text("rollout_id,t,dt,track,pod,metric,requests,bad\np,1,1,stable,a,errors,1,2\n")
    answer = backtest(tmp_path, "past.csv")
    assert (answer.code, answer.out) == (2, "")
    assert "past.csv: line 2, column bad: is more than requests" in answer.err


def test_without_files_and_settings_it_says_where_a_past_could_come_from(tmp_path: Path) -> None:
    """Nothing is guessed."""
    answer = backtest(tmp_path)
    assert answer.code == 2
    assert "name files of samples, or with --config a guardian.yaml" in answer.err


def pods(count: int, *, hours: float, end: float) -> list[Series]:
    """The past of some pods of stable, scraped every 15 s."""
    behaviour = Behaviour(error_ratio=0.02, latency=Latency(median=0.02, sigma=0.5), queue=40.0)
    found: list[Series] = []
    for number in range(count):
        past = PodHistory(
            identity=Identity(pod=f"s-{number}"), instance=f"10.0.0.{number}:80", rate=20.0, behaviour=behaviour
        )
        found += pod_history(past, end=end, seconds=3600.0 * hours, step=15.0, seed=number)
    return found


def settings(folder: Path, url: str) -> None:
    """Write a guardian.yaml that has this Prometheus."""
    (folder / "guardian.yaml").write_text(f"environments: {{production: {{metrics: {{url: '{url}'}}}}}}")


def test_the_past_is_read_from_prometheus(prometheus: MakePrometheus, tmp_path: Path) -> None:
    """Four hours of four pods, both kinds of guardrail, without an option but how far to look."""
    server = prometheus(PrometheusPlan(history=pods(4, hours=4.0, end=time.time() - 60.0)))
    settings(tmp_path, server.url)
    answer = backtest(tmp_path, "--since", "6h", "--windows", 4, "-o", "json", policy=POLICY + SECOND)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["source"] == server.url
    assert found["windows"] == {"used": 4, "left_out": {}}
    assert (found["pods"], found["canary_pods"]) == ({"fewest": 4, "most": 4}, {"fewest": 1, "most": 1})
    assert found["false_rollbacks"][0]["rolled_back"] == 0
    shares = {(one["guardrail"], one["worse"]): one["share"] for one in found["power"]}
    assert set(shares) == {("errors", 1.5), ("errors", 2.0), ("latency", 1.5), ("latency", 2.0)}
    assert shares["latency", 2.0] == 1.0
    assert shares["errors", 2.0] >= 0.5


def test_levels_and_events_of_the_past_are_judged_too(prometheus: MakePrometheus, tmp_path: Path) -> None:
    """A queue and orders of healthy pods: they take part, and promote like the others; no power is told of them."""
    server = prometheus(PrometheusPlan(history=pods(4, hours=4.0, end=time.time() - 60.0)))
    settings(tmp_path, server.url)
    more = "    - {name: queue, sli: {gauge: {value: queue_length}}}\n"
    more += "    - {name: orders, sli: {count: {events: orders_total}}}\n"
    answer = backtest(tmp_path, "--since", "6h", "--windows", 4, "-o", "json", policy=POLICY + more)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["windows"] == {"used": 4, "left_out": {}}
    assert found["false_rollbacks"][0]["rolled_back"] == 0
    assert {one["guardrail"] for one in found["margins"]} == {"errors", "queue", "orders"}
    assert {one["guardrail"] for one in found["power"]} == {"errors"}


def test_counters_become_counts_and_none_is_lost(prometheus: MakePrometheus) -> None:
    """Series are differenced, then summed; a new process and a gap of two minutes lose no more than they must."""
    end = float(int(time.time() - 60.0))
    series = pods(2, hours=3.0, end=end)
    for one in series:
        if one.labels["pod"] == "s-1":
            one.values[-40:] -= one.values[-41]  # it begins anew 10 min before the end
            one.values[-70:-62] = np.nan
    server = prometheus(PrometheusPlan(history=series))
    rules = replace(policy(), guardrails=(ERRORS, LATENCY))
    source = Source(
        history=PrometheusHistory(url=server.url), url=server.url, policy=rules, everywhere={}, dropped=frozenset()
    )
    shape = Shape(length=Seconds(1800.0), history=Seconds(2400.0), weight=0.5)
    past = measured_past(
        source, since=Instant(end - 10200.0), until=Instant(end), step=Seconds(15.0), windows=50, shape=shape,
        heard=lambda _: None,
    )  # fmt: skip
    assert past.pods == ("s-0", "s-1"), "the same past gives the same splits"
    [rows] = past.windows[-1].parts
    begin, final = end - 1800.0 - shape.history - shape.length, end
    for number, pod in enumerate(past.pods):
        mine = (rows.pod == number) & (rows.metric == 0)
        bad = counted(series, begin, final, pod=pod, status="500")
        assert rows.bad[mine].sum() == bad
        assert rows.requests[mine].sum() == bad + counted(series, begin, final, pod=pod, status="200")
        top = (rows.pod == number) & (rows.metric == 1) & np.isinf(rows.bound)
        assert rows.count[top].max() == rows.requests[mine].sum()
        assert rows.seconds[mine].sum() == pytest.approx(final - begin, abs=1.0)


def counted(series: Sequence[Series], begin: float, end: float, **labels: str) -> float:
    """Events of the one counter of these labels between two samples, resets counted from 0."""
    [one] = [each for each in series if each.name == "http_requests_total" and labels.items() <= each.labels.items()]
    kept = np.isfinite(one.values) & (one.times >= begin) & (one.times <= end)
    steps = np.diff(one.values[kept])
    return float(np.where(steps < 0, one.values[kept][1:], steps).sum())


def test_a_prometheus_with_too_little_says_what_was_asked_for(prometheus: MakePrometheus, tmp_path: Path) -> None:
    """Two minutes of history, no series at all, and a step that would be refused: each with its remedy."""
    server = prometheus(PrometheusPlan(history=pods(2, hours=2 / 60, end=time.time() - 60.0)))
    settings(tmp_path, server.url)
    short = backtest(tmp_path, "--since", "6h")
    assert (short.code, short.out) == (4, "")
    assert "of stable's series; one pretended rollout needs 70m" in short.err
    empty = backtest(tmp_path, "--since", "6h", policy=POLICY.replace("service: checkout", "service: basket"))
    assert (empty.code, empty.out) == (4, "")
    assert 'no series of stable in all that time; asked for: {__name__="http_requests_total"' in empty.err
    assert 'service="basket"' in empty.err
    fine = backtest(tmp_path, "--since", "6h", "--step", "100ms")
    assert fine.code == 2
    assert "Prometheus gives 11,000" in fine.err


def test_a_prometheus_that_is_down_ends_with_1(tmp_path: Path) -> None:
    """It may work later; nothing is said of the policy."""
    settings(tmp_path, "http://127.0.0.1:9")
    answer = backtest(tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert "127.0.0.1:9" in answer.err
