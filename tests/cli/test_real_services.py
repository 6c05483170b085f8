"""doctor and plan against a real Prometheus, a real Kafka and a real HAProxy: what is there, what is not, and why."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.testing.history import PodHistory, pod_history
from simulator.testing.kafka.broker import Kafka
from simulator.testing.plugin import MakeHaProxy, MakePod, MakePrometheus
from simulator.testing.pods.behaviour import Behaviour, Identity, Latency
from simulator.testing.prometheus import PrometheusPlan
from simulator.testing.run import current_run
from tests.cli.daemon import guardian, started

POLICY = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: production}
  strategy: {kind: canary, steps: [{weight: 10%, bake: 5m}, {weight: 100%, bake: 10m}]}
  router: {haproxy: {backend: be}}
  guardrails:
    - name: errors
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
    - name: latency
      sli: {histogram: {buckets: BUCKETS}}
"""


def checks(folder: Path, policy: str, settings: str) -> dict[str, dict[str, Any]]:
    """Return what doctor says of each thing it looked at."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "checkout.yaml").write_text(policy)
    (folder / "guardian.yaml").write_text(settings)
    answer = guardian("doctor", "-o", "json", folder=folder)
    return {one["check"]: one for one in json.loads(answer.out)["checks"]}


def test_doctor_finds_series_routers_and_what_is_missing(
    http_app: MakePod, prometheus: MakePrometheus, haproxy: MakeHaProxy, tmp_path: Path
) -> None:
    """A selector that selects nothing is named as it was asked, before any rollout holds because of it."""
    pod = http_app(track="stable", pod="s-0")
    proxy = haproxy({"stable": pod.address, "canary": pod.address})
    server = prometheus(PrometheusPlan(targets=[pod.address]))
    server.wait_for('http_requests_total{track="stable"}')
    metrics, edge = f"{{url: '{server.url}'}}", f"{{edge: {{socket: {proxy.socket}}}}}"
    settings = f"environments: {{production: {{metrics: {metrics}, haproxy: {edge}}}}}"
    policy = POLICY.replace("BUCKETS", "no_such_seconds_bucket")
    found = checks(tmp_path, policy, settings)
    assert found["production/checkout router"]["health"] == "ok"
    assert found["production/checkout metrics 'errors'"]["health"] == "ok"
    latency = found["production/checkout metrics 'latency'"]
    assert latency["health"] == "problem"
    assert "no_such_seconds_bucket" in latency["text"]
    assert 'track="stable"' in latency["text"]


def test_doctor_tells_a_broker_that_is_down_from_topics_that_are_missing(kafka: Kafka, tmp_path: Path) -> None:
    """The two have different remedies."""
    topics = [kafka.topic(name) for name in ("events", "dead", "decisions")]
    named = f"{{events: {topics[0]}, dead_letter: {topics[1]}, decisions: {topics[2]}}}"
    policy = POLICY.replace("BUCKETS", "seconds_bucket")
    there = checks(tmp_path, policy, f"kafka: {{bootstrap: ['{kafka.bootstrap}'], topics: {named}}}")
    assert there["kafka"]["health"] == "ok"
    absent = checks(tmp_path, policy, f"kafka: {{bootstrap: ['{kafka.bootstrap}'], topics: {{events: never-made}}}}")
    assert "never-made" in absent["kafka"]["text"]
    down = checks(tmp_path, policy, "kafka: {bootstrap: ['127.0.0.1:9']}")
    assert down["kafka"]["health"] == "problem"
    assert "bootstrap" in down["kafka"]["remedy"]


def test_doctor_names_a_pod_whose_buckets_have_no_end(prometheus: MakePrometheus, tmp_path: Path) -> None:
    """One of two pods lost its bucket +Inf on the way: relabelling that is too keen."""
    now, history = time.time() - 1.0, []
    for pod in ("s-0", "s-1"):
        who = PodHistory(identity=Identity(pod=pod), instance=f"{pod}:80", rate=5.0, behaviour=Behaviour())
        history += [one for one in pod_history(who, end=now) if (pod, one.labels.get("le")) != ("s-1", "+Inf")]
    server = prometheus(PrometheusPlan(history=history))
    settings = f"environments: {{production: {{metrics: {{url: '{server.url}'}}}}}}"
    found = checks(tmp_path, POLICY.replace("BUCKETS", "http_request_duration_seconds_bucket"), settings)
    latency = found["production/checkout metrics 'latency'"]
    assert latency["health"] == "problem"
    assert "the buckets of pod 's-1' end without le=\"+Inf\"" in latency["text"]
    assert "relabelling" in latency["remedy"]
    assert found["production/checkout metrics 'errors'"]["health"] == "ok"


def test_plan_reads_todays_traffic_and_pods_from_prometheus(prometheus: MakePrometheus, tmp_path: Path) -> None:
    """Requests, error share and latencies of the last half hour, and how much four pods differ; no flag needed."""
    now, ratios = time.time() - 1.0, (0.006, 0.009, 0.012, 0.013)
    history = [
        series
        for number, ratio in enumerate(ratios)
        for series in pod_history(
            PodHistory(
                identity=Identity(pod=f"s-{number}"), instance=f"10.0.0.{number}:80", rate=50.0,
                behaviour=Behaviour(error_ratio=ratio, queue=25, latency=Latency(median=0.15, sigma=0.6)),
            ),
            end=now, seed=number,
        )
    ]  # fmt: skip
    server = prometheus(PrometheusPlan(history=history))
    policy = POLICY.replace("BUCKETS", "http_request_duration_seconds_bucket")
    policy += "    - {name: orders, sli: {count: {events: orders_total}}}\n"
    (tmp_path / "p.yaml").write_text(f"{policy}    - {{name: queue, sli: {{gauge: {{value: queue_length}}}}}}\n")
    (tmp_path / "guardian.yaml").write_text(f"environments: {{production: {{metrics: {{url: '{server.url}'}}}}}}")
    answer = guardian("plan", "p.yaml", "-o", "json", folder=tmp_path)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    traffic = found["traffic"]
    assert traffic["requests_per_second"] == dict.fromkeys(("errors", "latency", "orders"), pytest.approx(200, rel=0.1))
    assert traffic["events_per_request"]["orders"] == pytest.approx(0.99, rel=0.05)
    assert traffic["error_share"]["errors"] == pytest.approx(0.01, rel=0.2)
    assert traffic["stable_pods"] == 4
    assert traffic["pods_differ"]["errors"] == pytest.approx(0.31, abs=0.12), "sd of the logarithms of the ratios"
    assert traffic["pods_differ"]["latency"] < 0.05
    assert traffic["noise"]["queue"] == pytest.approx(0.2, rel=0.1), "of a Poisson variable around 25"
    step = found["steps"][0]
    assert step["pods"] == {"canary": 1, "stable": 4}
    errors, latency = step["guardrails"][:2]
    assert errors["x2"] is None, "of one pod beside four that lie so far apart"
    assert latency["x2"] is not None
    assert latency["smallest"] < 2.0
    assert "pods of 'errors' differ by" in " ".join(found["notes"])


def test_a_prometheus_that_is_down_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    """Doctor goes on with the rest; plan ends with 1."""
    settings = "environments: {production: {metrics: {url: 'http://127.0.0.1:9', timeout: 2s}}}"
    found = checks(tmp_path, POLICY.replace("BUCKETS", "seconds_bucket"), settings)
    assert found["production/checkout metrics 'errors'"]["health"] == "problem"
    answer = guardian("plan", "policies/checkout.yaml", folder=tmp_path)
    assert answer.code == 1
    assert "remedy:" in answer.err


GATED = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {{name: {service}}}
spec:
  match: {{service: {service}, environment: staging}}
  strategy: {{kind: canary, steps: [{{weight: 10%, bake: 5m}}, {{weight: 100%, bake: 10m}}]}}
  guardrails:
    - name: errors
      sli: {{ratio: {{bad: 'http_requests_total{{status=~"5.."}}', total: http_requests_total}}}}
      objective: {{target: 99%, warning: {{below: 99%, for: 2m}}, critical: {{below: 98%, for: 1m}}}}
"""


def test_the_gate_answers_by_exit_code(prometheus: MakePrometheus) -> None:
    """0 healthy, 3 failed, 4 without data; a rule that is only shown does not decide."""
    past = [
        sample
        for service, errors in (("well", 0.001), ("ill", 0.1))
        for sample in pod_history(
            PodHistory(
                identity=Identity(service=service, pod=f"{service}-0"),
                instance=f"{service}:80",
                rate=100.0,
                behaviour=Behaviour(error_ratio=errors),
            ),
            end=time.time() - 1.0,
        )
    ]
    server = prometheus(PrometheusPlan(history=past))
    policies = {service: GATED.format(service=service) for service in ("well", "ill", "unseen")}
    with current_run() as run:
        daemon = started(run, environment=f"{{metrics: {{url: '{server.url}'}}}}", policies=policies)
        codes = {service: daemon.guardian("gate", service).code for service in policies}
        shown = daemon.guardian("gate", "ill", "--dry-rule", "errors", "-o", "json")
        unknown = daemon.guardian("gate", "well", "--rule", "latency")
        daemon.server.stop()
    assert codes == {"well": 0, "ill": 3, "unseen": 4}
    assert shown.code == 0
    assert json.loads(shown.out)["rules"][0]["result"] == "fail"
    assert unknown.code == 1
    assert "it has: errors" in unknown.err
