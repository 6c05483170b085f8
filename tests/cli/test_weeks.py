"""`guardian backtest` and `guardian plan` on two weeks in a real Prometheus: the numbers that were put in."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.power import ratio_growth, requests_needed
from guardian.adapters.metrics.history import PrometheusHistory
from guardian.adapters.samples.tables import Samples
from guardian.cli.measured import Source, measured_past
from guardian.cli.recorded import past_of
from guardian.core.backtest import Arms, Court, Outcome, outcome, survey
from guardian.core.model import Instant, Seconds
from guardian.core.policy import Policy
from guardian.core.pretend import Shape, Window
from simulator.testing.history import Floats, Series
from simulator.testing.plugin import MakePrometheus
from simulator.testing.prometheus import PrometheusPlan
from tests.builders import policy
from tests.cli.daemon import guardian

STEP = 120.0
WEEKS = 14 * 86400.0
PODS = 3
SHAPE = Shape(length=Seconds(3600.0), history=Seconds(3600.0), weight=1 / 3, canary_pods=1, splits=3)
WINDOWS = 60
TEXT = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: production}
  strategy: {kind: canary, steps: [{weight: 25%, bake: 5m}, {weight: 100%, bake: 10m}]}
  guardrails:
    - name: errors
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
"""


def weeks(end: float, *, seed: int) -> tuple[Floats, Floats, Floats]:
    """Times (n,), and what each pod served and failed in the two minutes before each, (n, PODS); the first row is 0.

    In every other twelve hours the last pod has ten times the errors of the others.
    """
    chance = np.random.default_rng(seed)
    times = end - STEP * np.arange(round(WEEKS / STEP), -1, -1, dtype=np.float64)
    rates = np.full((len(times), PODS), 0.005)
    rates[(times - times[0]) % 86400.0 < 43200.0, -1] = 0.05
    requests = chance.poisson(1200.0, rates.shape)
    bad = chance.binomial(requests, rates)
    requests[0], bad[0] = 0, 0
    return times, requests.astype(np.float64), bad.astype(np.float64)


def counters(times: Floats, requests: Floats, bad: Floats) -> list[Series]:
    """The same as the pods' counters."""
    return [
        Series(
            name="http_requests_total", times=times, values=np.cumsum(part[:, pod]),
            labels={"service": "checkout", "track": "stable", "pod": f"s-{pod}", "status": status},
        )
        for pod in range(PODS)
        for status, part in (("200", requests - bad), ("500", bad))
    ]  # fmt: skip


def file_of(path: Path, times: Floats, requests: Floats, bad: Floats) -> Path:
    """The same as a file of samples."""
    rows = times.size * PODS
    seconds = np.where(np.arange(times.size) > 0, STEP, 0.0)
    columns = {
        "rollout_id": ["past"] * rows, "t": np.repeat(times - times[0], PODS), "dt": np.repeat(seconds, PODS),
        "track": ["stable"] * rows, "pod": [f"s-{pod}" for pod in range(PODS)] * times.size,
        "metric": ["errors"] * rows, "requests": requests.ravel(), "bad": bad.ravel(),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


def judged(windows: Sequence[Window], pods: Sequence[str], rules: Policy) -> list[Outcome]:
    """False rollbacks, pods against pods and time against time, with their intervals."""
    seen = survey(windows, SHAPE, seed=1, where="here")
    court = Court(windows, SHAPE, metrics=["errors"], pods=pods, seed=1, heard=lambda _: None)
    both = ((Arms.PODS, seen.pretences), (Arms.TIME, seen.before))
    return [outcome(arms, court.judge(rules, each), each, risk=0.01) for arms, each in both]


def test_two_weeks_in_prometheus_are_the_two_weeks_of_the_file(prometheus: MakePrometheus, tmp_path: Path) -> None:
    """Counts, false rollbacks and their interval: by range queries through the client what a file of them gives."""
    rules, end = policy(), float(int(time.time() / STEP - 1) * STEP)
    times, requests, bad = weeks(end, seed=1)
    server = prometheus(PrometheusPlan(history=counters(times, requests, bad)))
    source = Source(
        history=PrometheusHistory(url=server.url, timeout=Seconds(60.0)), url=server.url, policy=rules, everywhere={},
        dropped=frozenset(),
    )  # fmt: skip
    asked = measured_past(
        source, since=Instant(times[0]), until=Instant(end), step=Seconds(STEP), windows=WINDOWS, shape=SHAPE,
        heard=lambda _: None,
    )  # fmt: skip
    reader = Samples([file_of(tmp_path / "weeks.parquet", times, requests, bad)])
    read = past_of(reader, rules, metrics=reader.metrics, windows=WINDOWS, shape=SHAPE, files=[tmp_path])
    assert (asked.span, len(asked.windows)) == (WEEKS, WINDOWS)
    for window, (_, start) in zip(asked.windows, read.starts, strict=True):
        [rows] = window.parts
        at = np.searchsorted(times - times[0] - start, rows.time)
        first = rows.seconds == 0  # where a range query begins: the baseline, which counts nothing
        assert np.array_equal(rows.requests, np.where(first, 0.0, requests[at, rows.pod]))
        assert np.array_equal(rows.bad, np.where(first, 0.0, bad[at, rows.pod]))
    measured, recorded = judged(asked.windows, asked.pods, rules), judged(read, reader.pods, rules)
    assert measured == recorded
    assert measured[0].rolled_back.share == pytest.approx(1 / 6, abs=0.05), "one pod of three, half of the time"
    assert measured[0].rolled_back.lower > 0.01


def test_the_commands_read_two_weeks_and_todays_traffic(prometheus: MakePrometheus, tmp_path: Path) -> None:
    """backtest: the pod that is worse is found; plan: known rates, and what they need by the formula of the power."""
    times, requests, bad = weeks(time.time() - 1.0, seed=2)
    requests[-60:], bad[-60:] = 1200.0, 6.0  # the last two hours: exactly 30 a second, 0.5 % bad
    server = prometheus(PrometheusPlan(history=counters(times, requests, bad)))
    (tmp_path / "guardian.yaml").write_text(f"environments: {{production: {{metrics: {{url: '{server.url}'}}}}}}")
    (tmp_path / "p.yaml").write_text(TEXT)
    options = (
        "--since",
        "14d",
        "--step",
        "2m",
        "--windows",
        "40",
        "--splits",
        "3",
        "--canary-pods",
        "1",
        "--rate-only",
    )
    answer = guardian("backtest", "--policy", "p.yaml", *options, "-o", "json", folder=tmp_path)
    assert answer.code == 3, answer.err
    found = json.loads(answer.out)
    assert (found["source"], found["windows"]) == (server.url, {"used": 40, "left_out": {}})
    assert found["false_rollbacks"][0]["share"] == pytest.approx(1 / 6, abs=0.06)
    assert found["false_rollbacks"][0]["finding"] == "rejected"

    told = json.loads(guardian("plan", "p.yaml", "-o", "json", folder=tmp_path).out)
    assert told["traffic"]["requests_per_second"]["errors"] == pytest.approx(30.0, rel=1e-3)
    assert told["traffic"]["error_share"]["errors"] == pytest.approx(0.005, rel=1e-3)
    flags = ("--rps", "30", "--error-rate", "0.5%")
    assert told["steps"][0]["lasts"] == pytest.approx(planned(tmp_path, *flags)["steps"][0]["lasts"], rel=1e-3)
    growth = ratio_growth(
        stable_rate=np.array([0.005]), canary_rate=np.array([0.01]), theta=np.array([1.05 + 0.00005 / 0.005]),
        weight=np.array([0.25]),
    )  # fmt: skip
    needed = float(requests_needed(growth, alpha=0.01)[0])
    assert told["steps"][0]["guardrails"][0]["x2"] * 30.0 * 0.25 == pytest.approx(needed, rel=1e-2)


def planned(folder: Path, *flags: str) -> dict[str, list[dict[str, float]]]:
    """What plan says of traffic that it is told."""
    found: dict[str, list[dict[str, float]]] = json.loads(
        guardian("plan", "p.yaml", *flags, "-o", "json", folder=folder).out
    )
    return found
