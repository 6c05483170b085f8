"""What the guardian is told: alert storms and repeated events."""

from __future__ import annotations

from typing import cast

import pytest
from pydantic import ValidationError

from guardian.core.facts import DeployRequested
from guardian.core.model import EventRef, Instant, Place, Revision
from simulator.chance import Chance, Purpose
from simulator.messages import AlertStorm, DeployEvent

PLACE = Place(service="checkout", environment="production")
REQUEST = DeployRequested(event=EventRef(source="ci", id="1"), time=Instant(50.0), place=PLACE, revision=Revision("2"))
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
    event = DeployEvent.model_validate({"at": "-10s", "late": "90s", "copies": copies, "within": "10s"})
    arrivals = list(event.arrivals(REQUEST, Instant(60.0), Chance(1).at(Purpose.EVENTS)))
    assert arrivals[0] == (140.0, REQUEST)
    assert len(arrivals) == copies
    assert all(fact == REQUEST and 140.0 <= at <= 150.0 for at, fact in arrivals)


def test_a_sender_s_clock_is_off_by_so_much_at_most_and_copies_by_the_same() -> None:
    """When it comes has nothing to do with that."""
    event = DeployEvent.model_validate({"clock": "2m", "copies": 3})
    told = [list(event.arrivals(REQUEST, Instant(60.0), Chance(seed).at(Purpose.EVENTS))) for seed in range(1, 40)]
    times = [{cast("DeployRequested", fact).time for _, fact in one} for one in told]
    assert all(len(one) == 1 for one in times)
    off = [one.pop() - 60.0 for one in times]
    assert all(abs(each) <= 120.0 for each in off)
    assert min(off) < -60.0
    assert max(off) > 60.0
    assert all(one[0][0] == 60.0 for one in told)


def test_an_event_that_nobody_could_hear_is_refused() -> None:
    """Before the guardian listens there is nobody to tell."""
    with pytest.raises(ValidationError, match=r"arrives 30s before the guardian listens; write `late: 40s` or more"):
        DeployEvent.model_validate({"at": "-40s", "late": "10s"})
