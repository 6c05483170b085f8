"""The HTTP pods that tests put under load: what they answer, count and change while they run."""

from __future__ import annotations

import json

import pytest

from simulator.testing.ask import ask
from simulator.testing.errors import ServiceError
from simulator.testing.load import LoadPlan
from simulator.testing.plugin import MakeLoad, MakePod
from simulator.testing.pods.behaviour import Behaviour, Latency
from tests.services.metrics import samples


def test_a_pod_says_who_it_is_and_that_it_is_well(http_app: MakePod) -> None:
    """Probes and smoke tests read these paths."""
    pod = http_app(version="2.1.0")
    assert [ask(pod.url + path).status for path in ("/health", "/ready", "/live")] == [200, 200, 200]
    assert json.loads(ask(pod.url + "/version").body) == {"version": "2.1.0"}
    assert ask(pod.url + "/nothing-here").status == 404


def test_health_and_readiness_can_be_taken_away_while_it_runs(http_app: MakePod) -> None:
    """A release that never becomes healthy is one of the cases to be tested."""
    pod = http_app()
    pod.behave(Behaviour(healthy=False, ready=False, metrics=False))
    assert [ask(pod.url + path).status for path in ("/health", "/ready", "/metrics")] == [503, 503, 503]
    assert ask(pod.url + "/").status == 200


def test_a_behaviour_that_cannot_be_is_refused_with_what_is_allowed(http_app: MakePod) -> None:
    """Otherwise a mistyped share would silently make another test than was written."""
    pod = http_app()
    answer = ask(pod.url + "/control", method="POST", body=b'{"error_ratio": 5}')
    assert (answer.status, answer.body) == (400, b"error_ratio 5.0 is not a share: allowed is 0..1\n")
    with pytest.raises(ValueError, match="impossible latency"):
        Latency(median=-1.0)


def test_every_request_is_counted_once_by_status(http_app: MakePod, load: MakeLoad) -> None:
    """The counters are the ground truth that evidence is compared with."""
    pod = http_app(track="canary", pod="c-0", behaviour=Behaviour(error_ratio=0.3))
    report = load(LoadPlan(url=pod.url, rate=300.0, duration=1.0)).report()
    counted = samples(ask(pod.url + "/metrics").body)
    labels = 'pod="c-0",service="checkout",status="{}",track="canary"'
    by_status = {status: counted[f"http_requests_total{{{labels.format(status)}}}"] for status in (200, 500)}
    assert by_status == dict(report.by("status"))
    assert 50 < by_status[500] < 130, "300 requests at 30 %: mean 90, deviation 8"
    count = 'http_request_duration_seconds_count{pod="c-0",service="checkout",track="canary"}'
    assert counted[count] == report.answered == 300


def test_latency_follows_the_distribution_that_was_set(http_app: MakePod, load: MakeLoad) -> None:
    """A tail of 20 % at ten times the median shows at the 95th percentile and not at the median."""
    latency = Latency(median=0.02, tail_share=0.2, tail_factor=10.0)
    pod = http_app(behaviour=Behaviour(latency=latency))
    median, p95, _, _ = load(LoadPlan(url=pod.url, rate=100.0, duration=2.0)).report().latency
    assert 0.02 <= median < 0.1
    assert p95 >= 0.2


def test_a_killed_pod_starts_again_on_its_port_with_counters_from_zero(http_app: MakePod) -> None:
    """That is the counter reset which readers of metrics must survive."""
    pod = http_app()
    assert ask(pod.url + "/").status == 200
    pod.server.kill()
    with pytest.raises(OSError, match="refused"):
        ask(pod.url + "/")
    pod.start()
    counted = samples(ask(pod.url + "/metrics").body)
    assert sum(value for name, value in counted.items() if name.startswith("http_requests_total")) == 0


def test_a_pod_that_hangs_answers_its_probes_only(http_app: MakePod) -> None:
    """The nastiest failure: healthy by its own word, useless to users."""
    pod = http_app(behaviour=Behaviour(hang=True))
    assert ask(pod.url + "/health").status == 200
    with pytest.raises(TimeoutError):
        ask(pod.url + "/", timeout=0.2)


def test_a_server_that_ends_before_it_is_ready_is_reported_with_its_log(http_app: MakePod) -> None:
    """A test that fails for want of a service must say why."""
    pod = http_app()
    twin = http_app()
    pod.server.stop()
    pod.server.argv[-1] = pod.server.argv[-1].replace(str(pod.port), str(twin.port))
    with pytest.raises(ServiceError, match=r"(?s)ended with code 1 before it was ready.*address already in use"):
        pod.start()
