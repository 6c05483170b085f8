"""Webhooks of Alertmanager and Grafana: recorded bodies, one fact per alert."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from guardian.core.facts import AlertSeen
from guardian.errors import EventError
from guardian.wire import DECODERS, decode_alerts

LABELS = {"alertname": "CanaryBad", "service": "checkout", "severity": "page", "track": "canary"}


def alert(**changes: Any) -> dict[str, Any]:
    """Return one alert of a group."""
    return {
        "status": "firing",
        "labels": LABELS,
        "annotations": {"summary": "checkout canary is bad"},
        "startsAt": "2026-11-21T08:04:16.225Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph",
        "fingerprint": "dab959bfd7f2ce81",
        **changes,
    }


def webhook(*alerts: dict[str, Any], **changes: Any) -> bytes:
    """Return a body as Alertmanager 0.25 posts it."""
    body = {
        "receiver": "guardian",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": {"service": "checkout"},
        "commonLabels": LABELS,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "version": "4",
        "groupKey": '{}:{service="checkout"}',
        "truncatedAlerts": 0,
        **changes,
    }
    return msgspec.json.encode(body)


def seen(body: bytes) -> list[AlertSeen]:
    """Return the facts of a webhook."""
    return [fact for fact in decode_alerts(body).facts if isinstance(fact, AlertSeen)]


def test_an_alert_carries_fingerprint_start_and_status_as_its_identity() -> None:
    """The same alert again is the same event; its resolution is another."""
    (fact,) = seen(webhook(alert()))
    assert fact.event.id == "dab959bfd7f2ce81/1795248256.225/firing"
    assert fact.firing
    assert fact.ends_at is None
    assert fact.labels == LABELS


def test_each_alert_is_judged_by_its_own_status() -> None:
    """A group that is firing may hold alerts that are resolved."""
    resolved = alert(status="resolved", endsAt="2026-11-21T08:05:00Z")
    facts = seen(webhook(alert(), resolved, status="firing"))
    assert [fact.firing for fact in facts] == [True, False]
    assert facts[1].ends_at == 1795248300.0


def test_annotations_are_no_part_of_the_identity() -> None:
    """They are rendered anew at each evaluation."""
    (first,) = seen(webhook(alert()))
    (second,) = seen(webhook(alert(annotations={"summary": "error ratio 9.091%"})))
    assert first.event == second.event


def test_without_fingerprint_the_labels_are_the_identity() -> None:
    """Old senders give none; the order of labels means nothing."""
    (first,) = seen(webhook(alert(fingerprint=None)))
    (second,) = seen(webhook(alert(fingerprint=None, labels=dict(reversed(LABELS.items())))))
    (other,) = seen(webhook(alert(fingerprint=None, labels={**LABELS, "pod": "a"})))
    assert first.event == second.event != other.event


def test_grafana_is_understood_with_its_own_fields() -> None:
    """Version 1, orgId, values, silenceURL."""
    body = webhook(
        alert(values={"B": 22.5}, silenceURL="http://grafana.example/silence", valueString="[]"),
        version="1",
        orgId=1,
        title="[FIRING:1]",
        state="alerting",
        message="text",
    )
    (fact,) = seen(body)
    assert fact.event.source == "grafana"


def test_cut_off_alerts_are_said() -> None:
    """What was cut off may be the alert that matters."""
    assert decode_alerts(webhook(alert(), truncatedAlerts=7)).notes == (
        "7 alerts of the group were cut off: raise max_alerts",
    )


def test_a_group_without_alerts_is_no_mistake() -> None:
    """Alertmanager would not send it again, and there is nothing to lose."""
    assert decode_alerts(webhook()).facts == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"nonsense", "unparsable"),
        (b"[]", "unparsable"),
        (b"{}", "missing-field"),
        (webhook(alert(), version="3"), "unknown-type"),
        (webhook(alert(status="pending")), "bad-field"),
        (webhook(alert(startsAt="now")), "bad-time"),
        (webhook(alert(startsAt="2026-11-21T08:04:16")), "bad-time"),
        (webhook(alert(labels={"a": 1})), "bad-field"),
        (webhook(*[alert()] * 4000), "too-large"),
    ],
)
def test_nonsense_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    """A 400 names what is wrong; Alertmanager does not send it again."""
    with pytest.raises(EventError) as caught:
        decode_alerts(body)
    assert caught.value.reason == reason


def test_the_table_serves_the_webhook() -> None:
    """POST /hooks/alertmanager looks it up there."""
    assert DECODERS["alertmanager"] is decode_alerts
