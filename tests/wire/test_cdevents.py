"""CDEvents mean deploys somebody else drives, their ends, and incidents."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from guardian.core.facts import AlertSeen, DeployEnd, DeployReported, DeployRequested, Fact
from guardian.core.model import Change, Driver, EventRef, Instant, Place
from guardian.errors import EventError
from guardian.wire import Headers, decode_event

NOW = Instant(1795251700.0)
STAMP = 1679322425.315384


def event(kind: str, *, custom: Any = None, subject: str = "checkout", **content: Any) -> dict[str, Any]:
    """Return a CDEvent of the specification's shape."""
    body: dict[str, Any] = {
        "context": {
            "specversion": "0.6.0-draft",
            "id": "271069a8",
            "source": "/event/source/123",
            "type": f"dev.cdevents.{kind}.0.3.0",
            "timestamp": "2023-03-20T14:27:05.315384Z",
        },
        "subject": {
            "id": subject,
            "source": "/event/source/123",
            "content": {"environment": {"id": "production"}, **content},
        },
    }
    return body if custom is None else {**body, "customData": custom}


def decode(content: Any) -> tuple[Fact, ...]:
    """Return the facts of one message."""
    body = msgspec.json.encode(content)
    return decode_event(body, Headers(), received=NOW, fallback=EventRef(source="s", id="i")).facts


@pytest.mark.parametrize("predicate", ["deployed", "upgraded"])
def test_a_service_that_was_deployed_is_a_rollout_of_somebody_else(predicate: str) -> None:
    """CDEvents report; they do not ask the guardian to act."""
    (fact,) = decode(event(f"service.{predicate}", artifactId="pkg:oci/checkout@sha256%3A0b31?tag=2.1.0"))
    assert fact == DeployRequested(
        event=EventRef(source="/event/source/123", id="271069a8"),
        time=Instant(STAMP),
        place=Place(service="checkout", environment="production"),
        revision="2.1.0",  # type: ignore[arg-type]
        driver=Driver.OTHER,
    )


def test_custom_data_says_what_cdevents_cannot() -> None:
    """Region, policy and previous revision have no field of their own."""
    custom = {"region": "eu-1", "policy": "strict", "previous": "2.0.3", "revision": "2.1.0", "weight": 10}
    (fact,) = decode(event("service.upgraded", custom=custom, artifactId="pkg:oci/checkout@sha256%3A0b31"))
    assert isinstance(fact, DeployRequested)
    assert (fact.place.region, fact.policy, fact.previous, fact.revision) == ("eu-1", "strict", "2.0.3", "2.1.0")
    assert fact.extra == {"weight": 10}


def test_a_subject_id_with_a_kind_names_the_service() -> None:
    """The specification's own example is `service/myapp`."""
    (fact,) = decode(event("service.deployed", subject="service/myapp", artifactId="v3"))
    assert isinstance(fact, DeployRequested)
    assert fact.place.service == "myapp"


@pytest.mark.parametrize("predicate", ["rolledback", "removed"])
def test_a_service_rolled_back_elsewhere_cancels_whatever_runs(predicate: str) -> None:
    """The artifact named is the one restored, so it must not be taken for the one that went."""
    (fact,) = decode(event(f"service.{predicate}", artifactId="pkg:oci/checkout@2.0.3"))
    assert isinstance(fact, DeployReported)
    assert fact.end is DeployEnd.CANCELLED
    assert fact.revision is None


def test_an_incident_is_an_alert_and_its_resolution_ends_it() -> None:
    """Both carry the incident's id, whatever their own event ids and times are."""
    service = {"id": "checkout"}
    (fired,) = decode(
        event("incident.detected", subject="inc-1", service=service, custom={"track": "canary", "severity": "critical"})
    )
    (resolved,) = decode(event("incident.resolved", subject="inc-1", service=service))
    assert isinstance(fired, AlertSeen)
    assert isinstance(resolved, AlertSeen)
    assert fired.firing
    assert not resolved.firing
    assert fired.labels["service"] == "checkout"
    assert fired.labels["environment"] == "production"
    assert fired.labels["track"] == "canary"
    assert fired.event.id.rsplit("/", 1)[0] == resolved.event.id.rsplit("/", 1)[0] == "inc-1"


def test_a_merged_change_is_a_configuration_rollout_when_it_names_its_service() -> None:
    """A change event alone knows a repository, not a place."""
    assert decode(event("change.merged", subject="pr-7")) == ()
    (fact,) = decode(
        event("change.merged", subject="pr-7", custom={"service": "checkout", "environment": "production"})
    )
    assert isinstance(fact, DeployRequested)
    assert (fact.change, fact.revision, fact.driver) == (Change.CONFIG, "pr-7", Driver.OTHER)


@pytest.mark.parametrize("predicate", ["created", "updated", "reviewed", "abandoned"])
def test_other_change_events_are_understood_and_nothing_follows(predicate: str) -> None:
    """They are no mistake of the sender, so they must not become dead letters."""
    assert decode(event(f"change.{predicate}")) == ()


def test_a_cdevent_inside_a_cloudevent_keeps_its_context() -> None:
    """The binding repeats id, source and type in the envelope."""
    inner = event("service.deployed", artifactId="v3")
    outer = {
        "specversion": "1.0",
        "id": "other",
        "source": "gateway",
        "type": "dev.cdevents.service.deployed.0.3.0",
        "data": inner,
    }
    (fact,) = decode(outer)
    assert isinstance(fact, DeployRequested)
    assert fact.event == EventRef(source="/event/source/123", id="271069a8")


@pytest.mark.parametrize("kind", ["artifact.packaged", "service.published", "change.eaten", "service.deployed.9"])
def test_other_cdevents_are_refused_by_type(kind: str) -> None:
    """A reader must know that they were not understood."""
    with pytest.raises(EventError) as caught:
        decode(event(kind))
    assert caught.value.reason == "unknown-type"


def test_a_service_event_without_revision_is_refused() -> None:
    """Nothing can be judged when it is not known what went out."""
    with pytest.raises(EventError) as caught:
        decode(event("service.deployed"))
    assert caught.value.reason == "missing-field"
