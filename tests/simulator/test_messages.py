"""What the guardian is told: alert storms and repeated events."""

from __future__ import annotations

import pytest

from guardian.core.facts import DeployRequested
from guardian.core.model import EventRef, Instant, Place, Revision
from simulator.chance import Chance, Purpose
from simulator.messages import AlertStorm, EventRepeats

PLACE = Place(service="checkout", environment="production")
STORM = AlertStorm.model_validate(
    {
        "kind": "alert_storm",
        "at": "60s",
        "labels": {"alertname": "PodErrors"},
        "first": {"alertname": "Errors", "severity": "critical"},
    }
)


def test_a_storm_posts_few_alerts_many_times() -> None:
    """400 posts, 12 fingerprints, half of which end: 18 different pieces of news at most."""
    arrivals = list(STORM.arrivals(Instant(1000.0), PLACE, Chance(1).at(Purpose.EVENTS)))
    assert len(arrivals) == 400
    assert all(1060 <= at <= 1120 for at, _ in arrivals)
    assert [at for at, _ in arrivals] == sorted(at for at, _ in arrivals)
    assert len({alert.labels["instance"] for _, alert in arrivals}) == 12
    assert len({alert.event for _, alert in arrivals}) == 18
    assert sum(alert.labels["alertname"] == "Errors" for _, alert in arrivals) > 10


def test_resolved_alerts_are_the_same_alerts() -> None:
    """Same fingerprint and start, another status: a firing one of the same identity came before."""
    arrivals = list(STORM.arrivals(Instant(1000.0), PLACE, Chance(1).at(Purpose.EVENTS)))
    firing = {alert.event.id.rsplit("/", 1)[0] for _, alert in arrivals if alert.firing}
    resolved = {alert.event.id.rsplit("/", 1)[0] for _, alert in arrivals if not alert.firing}
    assert resolved < firing
    assert len(resolved) == 6


@pytest.mark.parametrize("copies", [1, 5])
def test_a_late_event_keeps_the_time_it_happened_at(copies: int) -> None:
    """Copies are the same event, to the id."""
    request = DeployRequested(
        event=EventRef(source="ci", id="1"), time=Instant(50.0), place=PLACE, revision=Revision("2")
    )
    fault = EventRepeats.model_validate({"kind": "event_repeats", "late": "90s", "copies": copies, "within": "10s"})
    arrivals = list(fault.arrivals(request, Chance(1).at(Purpose.EVENTS)))
    assert arrivals[0] == (140.0, request)
    assert len(arrivals) == copies
    assert all(fact == request for _, fact in arrivals)
