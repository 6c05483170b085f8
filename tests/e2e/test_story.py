"""Releases from deploy event to end over the real parts, the daemon left alone and killed in the middle of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from simulator.testing.kafka.broker import Kafka
from simulator.testing.run import ServiceRun
from tests.e2e.story import KILLS, SERVICES, Story, played
from tests.e2e.tape import unexplained

pytestmark = [pytest.mark.service, pytest.mark.timeout(1500), pytest.mark.xdist_group("e2e-story")]

GUARDED = {"cart": "errors", "profile": "alert", "search": "alert"}


@pytest.fixture(scope="module", params=[False, True], ids=["calm", "killed"])
def story(request: pytest.FixtureRequest, service_run: ServiceRun, kafka: Kafka) -> Iterator[Story]:
    """The story, played once for all the facts below."""
    with played(service_run, kafka, kills=request.param) as told:
        yield told


def test_a_healthy_release_goes_to_10_then_50_then_100_percent_and_is_verified(story: Story) -> None:
    """An event by a plain producer is all it takes; each weight is set once and never taken back."""
    assert story.shares("checkout") == [0.0, 0.1, 0.5, 1.0]
    assert story.rollouts["checkout"]["phase"] == "verified"


@pytest.mark.parametrize("service", ["cart", "search", "profile"])
def test_what_harms_users_in_the_canary_alone_takes_its_traffic_away(story: Story, service: str) -> None:
    """Errors by evidence, alerts through Alertmanager and directly: weight 0, once, and it stays there."""
    assert story.shares(service) == [0.0, 0.1, 0.0]
    assert story.rollouts[service]["phase"] == "rolled-back"


def test_a_rollback_says_what_ordered_it(story: Story) -> None:
    """Evidence of the errors guardrail for one, an alert for the others."""
    causes = {service: story.rollouts[service]["cause"] for service in GUARDED}
    assert causes["cart"]["why"] in {"guardrail", "objective"}
    assert causes["cart"]["guardrail"] == "errors"
    assert (causes["search"]["why"], causes["profile"]["why"]) == ("alert", "alert")
    assert "CanarySlow" in causes["search"]["reason"]
    assert "CanaryBad" in causes["profile"]["reason"]


def test_trouble_comes_before_its_rollback(story: Story) -> None:
    """No service lost its canary before anything was wrong with it."""
    for service in GUARDED:
        wire = story.world.sites[service].wire
        zero = wire.when(0.0, after=wire.when(0.1) or 0.0)
        assert zero is not None
        assert zero > story.injected[service]


def test_an_incident_on_both_tracks_rolls_nothing_back(story: Story) -> None:
    """It holds the rollout while it lasts; afterwards the release goes its way."""
    assert story.shares("catalog") == [0.0, 0.1, 0.5, 1.0]
    assert story.rollouts["catalog"]["phase"] == "verified"
    assert "held" in story.told("catalog")
    assert "rolled-back" not in story.told("catalog")


def test_the_decision_topic_tells_each_rollout_without_a_gap_in_sequence(story: Story) -> None:
    """Consumers can count: 1, 2, 3 and so on up to what the API says."""
    for service in SERVICES:
        numbers = [event["data"]["sequence"] for event in story.events(service)]
        assert numbers == list(range(1, story.rollouts[service]["sequence"] + 1))


def test_repeats_in_the_decision_topic_are_byte_equal(story: Story) -> None:
    """After a crash some events are sent again: the same bytes under the same id, in the same partition."""
    for service in SERVICES:
        seen: dict[str, set[bytes]] = defaultdict(set)
        for message in story.messages[service]:
            seen[message.json()["id"]].add(message.value)
        assert all(len(bodies) == 1 for bodies in seen.values())


def test_the_key_of_every_decision_is_the_service(story: Story) -> None:
    """So one service's decisions are in one partition, in their order."""
    for service in SERVICES:
        messages = story.messages[service]
        assert {message.key for message in messages} == {service}
        assert len({message.partition for message in messages}) == 1


def test_users_met_what_was_written_and_nothing_else(story: Story) -> None:
    """HAProxy's weights, looked at all the time, are those of the guardian's commands, in their order, none twice."""
    for service in SERVICES:
        site = story.world.sites[service]
        assert unexplained(site.tape.states, site.wire.states) is None


def test_the_topic_tells_the_weights_that_users_met(story: Story) -> None:
    """Advanced events, then the end: the same story as the commands that HAProxy got."""
    for service in SERVICES:
        events = story.events(service)
        told = [event["data"]["weight"] for event in events if name_of(event) == "advanced"]
        assert [share for share in story.shares(service) if share > 0.0] == told
        assert events[-1]["data"]["phase"] == story.rollouts[service]["phase"]


def name_of(event: dict[str, Any]) -> str:
    """Return the event's name, without prefix and version."""
    return str(event["type"].split(".")[2])


def test_the_kills_were_in_the_middle(story: Story) -> None:
    """Promotion, errors, alert and incident: each was under way, and its next weight not yet in force."""
    if story.kills:
        assert story.kills.keys() == KILLS.keys()
        assert all(share in KILLS[why][1] for why, share in story.kills.items()), story.kills


def test_the_journal_is_whole(story: Story) -> None:
    """The chain of hashes holds, however often the daemon was killed, and what it tells explains the release."""
    assert story.world.daemon.verified_rows() >= len(story.journal)
    explained = story.world.daemon.get(f"/v1/rollouts/{story.rollouts['checkout']['id']}/explanation")
    assert explained["phase"] == "verified"
    assert explained["history"]
