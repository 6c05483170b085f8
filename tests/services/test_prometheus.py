"""Prometheus and Alertmanager of the tests: scrapes, history, remote write, alerts that reach a webhook."""

from __future__ import annotations

import json
import time

import pytest

from simulator.testing.errors import ServiceError
from simulator.testing.history import PodHistory, pod_history
from simulator.testing.load import LoadPlan
from simulator.testing.plugin import MakeAlertmanager, MakeLoad, MakePod, MakePrometheus, MakeSink
from simulator.testing.pods.behaviour import Behaviour, Identity, Latency
from simulator.testing.prometheus import PrometheusPlan

CANARY_BAD = {
    "name": "canary",
    "interval": "1s",
    "rules": [
        {
            "alert": "CanaryErrors",
            "expr": 'http_requests_total{track="canary",status="500"} > 0',
            "labels": {"severity": "critical"},
        }
    ],
}


def test_a_scrape_appears_with_the_pods_labels(http_app: MakePod, prometheus: MakePrometheus, load: MakeLoad) -> None:
    """What the guardian groups by: service, track, pod."""
    pod = http_app(track="canary", pod="c-7")
    server = prometheus(PrometheusPlan(targets=[pod.address]))
    load(LoadPlan(url=pod.url, rate=50.0, duration=1.0)).report()
    [series] = server.wait_for('http_requests_total{status="200"} == 50')
    assert series["metric"] | {"service": "checkout", "track": "canary", "pod": "c-7"} == series["metric"]


def test_targets_come_and_go_while_it_runs(http_app: MakePod, prometheus: MakePrometheus) -> None:
    """Pods of a rollout appear after Prometheus was started."""
    first, second = http_app(pod="a"), http_app(pod="b")
    server = prometheus(PrometheusPlan(targets=[first.address]))
    server.wait_for('up{job="pods"} == 1')
    server.set_targets([first.address, second.address])
    server.wait_for("count(up == 1) == 2")


def test_forty_minutes_of_history_are_there_before_the_first_scrape(
    http_app: MakePod, prometheus: MakePrometheus
) -> None:
    """The stable past that a comparison needs; the live scrape goes on in the same series."""
    pod = http_app(pod="s-0")
    who = Identity(pod="s-0")
    past = PodHistory(
        identity=who,
        instance=pod.address,
        rate=100.0,
        behaviour=Behaviour(error_ratio=0.005, latency=Latency(median=0.02, sigma=0.5)),
    )
    series = pod_history(past, end=time.time() - 1.0)
    server = prometheus(PrometheusPlan(targets=[pod.address], history=series))
    [errors] = server.query('increase(http_requests_total{status="500"}[39m])', at=series[0].times[-1])
    [total] = server.query("sum(increase(http_requests_total[39m]))", at=series[0].times[-1])
    assert float(total["value"][1]) == pytest.approx(39 * 60 * 100, rel=0.02)
    assert float(errors["value"][1]) / float(total["value"][1]) == pytest.approx(0.005, rel=0.15)
    [p50] = server.query(
        "histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket[30m])))",
        at=series[0].times[-1],
    )
    assert 0.01 <= float(p50["value"][1]) <= 0.025, "the bucket that 20 ms fall into"
    server.wait_for('resets(http_requests_total{status="200"}[10m]) == 1')


def test_what_is_scraped_is_also_written_to_another_server(http_app: MakePod, prometheus: MakePrometheus) -> None:
    """The streamed way: samples arrive by themselves, within a second."""
    pod = http_app()
    receiver = prometheus(PrometheusPlan())
    prometheus(PrometheusPlan(targets=[pod.address], remote_write=[f"{receiver.url}/api/v1/write"]))
    receiver.wait_for(f'process_start_time_seconds{{instance="{pod.address}"}}')


def test_data_survive_a_kill(http_app: MakePod, prometheus: MakePrometheus) -> None:
    """Fault tests kill it and look again; the write-ahead log has the samples."""
    pod = http_app()
    server = prometheus(PrometheusPlan(targets=[pod.address]))
    server.wait_for('count_over_time(up{job="pods"}[1m]) >= 2')
    server.server.kill()
    server.set_targets([])
    server.start()
    assert server.query('last_over_time(up{job="pods"}[1m])') != []


def test_a_query_that_cannot_be_parsed_is_refused_with_the_reason(prometheus: MakePrometheus) -> None:
    """A helper that answered nothing instead would make tests pass on a typing mistake."""
    with pytest.raises(ServiceError, match="parse error"):
        prometheus(PrometheusPlan()).query("sum(")


def test_an_alert_on_the_canary_reaches_the_webhook_and_is_resolved(
    http_app: MakePod,
    prometheus: MakePrometheus,
    alertmanager: MakeAlertmanager,
    webhook_sink: MakeSink,
    load: MakeLoad,
) -> None:
    """The whole way of an alert: bad requests, scrape, rule, Alertmanager, webhook version 4."""
    pod = http_app(track="canary", behaviour=Behaviour(error_ratio=1.0))
    sink = webhook_sink()
    manager = alertmanager(sink.url)
    server = prometheus(PrometheusPlan(targets=[pod.address], rules=[CANARY_BAD], alertmanagers=[manager.address]))
    load(LoadPlan(url=pod.url, rate=20.0, duration=0.5)).report()
    fired = json.loads(sink.wait_for(1)[0].body)
    assert (fired["version"], fired["alerts"][0]["status"]) == ("4", "firing")
    labels = {"alertname": "CanaryErrors", "track": "canary", "service": "checkout", "severity": "critical"}
    assert fired["alerts"][0]["labels"] | labels == fired["alerts"][0]["labels"]
    pod.restart()  # its counter is 0 again
    server.wait_for('absent(ALERTS{alertstate="firing"})')
    assert json.loads(sink.wait_for(2)[-1].body)["alerts"][0]["status"] == "resolved"


def test_a_webhook_that_says_503_is_asked_again(alertmanager: MakeAlertmanager, webhook_sink: MakeSink) -> None:
    """Why overload is answered 503: Alertmanager tries again, and soon."""
    sink = webhook_sink()
    sink.answer_with(503, 503)
    alertmanager(sink.url).post({"labels": {"alertname": "Canary", "service": "checkout"}})
    posts = sink.wait_for(3)
    assert posts[0].body == posts[1].body == posts[2].body
