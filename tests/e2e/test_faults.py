"""Bad input and parts that fail, end to end: a clear word, no lost event, no verdict from nothing.

One world, one broker of its own, three services: orders loses Prometheus, payment its HAProxy, basket the
broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from simulator.testing.kafka.broker import KafkaBroker, running_broker
from simulator.testing.run import ServiceRun
from tests.e2e import topic
from tests.e2e.policies import ERRORS, LONG, SHORT, policy
from tests.e2e.site import Site, SitePlan
from tests.e2e.story import all_told, at_step
from tests.e2e.topic import Message
from tests.e2e.waiting import until
from tests.e2e.world import World, WorldPlan, router_of, running_world

pytestmark = [pytest.mark.service, pytest.mark.timeout(1500), pytest.mark.xdist_group("e2e-faults")]

BAD = b"\xff\xfe this is no event"
SITES = (
    SitePlan(service="orders", stable=1, seed=11),
    SitePlan(service="payment", environment="polled", stable=1, seed=12),
    SitePlan(service="basket", stable=1, rate=60.0, seed=13),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What was recorded. while_away: basket's rollout with the broker down. payment_shares: as they were written."""

    dead_letters: list[Message]
    messages: dict[str, list[Message]]
    while_away: dict[str, Any]
    basket: dict[str, Any]
    payment_shares: list[float]
    metrics: bytes

    def events(self, service: str) -> list[dict[str, Any]]:
        """Return the service's decision events, the first of each id."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.messages[service]:
            found.setdefault(message.json()["id"], message.json())
        return list(found.values())

    def holds(self, service: str) -> str:
        """Return the names and reasons of the service's events, one a line."""
        return "\n".join(f"{event['type'].split('.')[2]}: {event['data']['reason']}" for event in self.events(service))


def errors_only(site: Site) -> dict[str, Any]:
    """Return a policy that knows nothing of latencies: no other hold comes between while the machine is busy."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS])


def easy(site: Site) -> dict[str, Any]:
    """Return a policy whose first step needs few requests, and whose second lasts beyond the test.

    There are no requests while HAProxy is away.
    """
    rules = [{**ERRORS, "min_requests": 20}]
    return policy(site.service, router=router_of(site), guardrails=rules, bakes=(SHORT, LONG, SHORT))


def unhurried(site: Site) -> dict[str, Any]:
    """Return a policy whose first step lasts however long the broker takes to come back."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS], bakes=(LONG, SHORT, SHORT))


POLICIES = {"orders": errors_only, "payment": easy, "basket": unhurried}


@pytest.fixture(scope="module")
def faults(service_run: ServiceRun) -> Iterator[Faults]:
    """All faults, staged once for the facts below."""
    with (
        running_broker(service_run) as broker,
        running_world(service_run, broker.endpoint, WorldPlan(sites=SITES, policies=POLICIES)) as world,
    ):
        yield stage(world, broker)


def stage(world: World, broker: KafkaBroker) -> Faults:
    """Stage one fault after the other; payment's takes longest, so it begins first."""
    daemon, payment = world.daemon, world.sites["payment"]
    payment.wire.ambush(0.5, lambda: stop(payment), carried_out=False)
    good = [world.event(name, f"{name}-1", revision="2.0.0") for name in ("payment", "orders")]
    topic.send(world.bootstrap, world.topics.events, BAD, *good, partition=0)

    until(lambda: at_step(world, "orders", 0), what="orders has traffic")
    world.prometheus.server.kill()
    until(lambda: hold_of(world, "orders") == "no-data", what="orders is held")
    world.prometheus.start()
    until(lambda: hold_of(world, "orders") not in {"no-data", None}, what="orders goes on")

    broker.stop()
    posted = daemon.post("/v1/events", world.event("basket", "basket-1", revision="2.0.0"))
    assert posted.status == 202, posted
    until(lambda: world.sites["basket"].wire.when(0.1), what="basket's weight without a broker")
    while_away = daemon.wait_phase("basket", "progressing")
    broker.start()
    cancelled = world.event("basket", "basket-2", kind="cancelled", revision="2.0.0")
    topic.send(world.bootstrap, world.topics.events, cancelled)
    basket = daemon.wait_phase("basket", "aborted")

    until(lambda: paged(world, "payment"), what="payment is paged about")
    payment.proxy.start()
    until(lambda: payment.tape.when(0.5), what="payment's weight, after all")
    _, messages = until(lambda: all_told(world, POLICIES), what="the topic has every event")
    return Faults(
        dead_letters=topic.read(world.bootstrap, world.topics.dead_letter),
        messages=messages,
        while_away=while_away,
        basket=basket,
        payment_shares=payment.wire.shares,
        metrics=daemon.metrics(),
    )


def stop(site: Site) -> None:
    """Stop the service's HAProxy."""
    site.proxy.server.stop()


def hold_of(world: World, service: str) -> str | None:
    """Return what the service's rollout is held for, nothing when it is not; None while the daemon does not tell."""
    found = world.daemon.newest(service)
    if not found:
        return None
    return found["held"]["kind"] if found["held"] else ""


def paged(world: World, service: str) -> bool:
    """Whether a person was called because the service's weight cannot be set, by its explanation."""
    rollout = world.daemon.newest(service)
    if not rollout:
        return False
    history = world.daemon.get(f"/v1/rollouts/{rollout['id']}/explanation")["history"]
    return any("goes on being tried" in line for line in history)


def test_bytes_that_are_no_event_are_put_aside_with_their_place_and_the_reason(faults: Faults) -> None:
    """The dead letter has the original bytes, and headers that lead back to it."""
    [letter] = faults.dead_letters
    assert letter.value == BAD
    assert letter.headers["reason"] == "unparsable"
    assert (letter.headers["partition"], letter.headers["offset"]) == ("0", "0")
    assert letter.headers["topic"].startswith("events-")
    assert b'guardian_dead_letters_total{reason="unparsable"} 1.0' in faults.metrics


def test_the_good_events_behind_bad_bytes_are_taken(faults: Faults) -> None:
    """One bad message blocks nobody: both rollouts that came after it began."""
    assert {"started", "advanced"} <= {line.split(":")[0] for line in faults.holds("orders").splitlines()}
    assert {"started", "advanced"} <= {line.split(":")[0] for line in faults.holds("payment").splitlines()}


def test_without_prometheus_a_rollout_is_held_and_goes_on_by_itself(faults: Faults) -> None:
    """Absent data is neither good nor bad news: no verdict, no rollback, and no person is needed."""
    story = faults.holds("orders")
    assert "no metrics of the canary" in story
    assert "resumed: no longer held: no-data" in story
    assert "rolled-back" not in story


def test_without_the_broker_rollouts_go_on_and_nothing_is_lost(faults: Faults) -> None:
    """HTTP takes events meanwhile; what happened in the outage is told afterwards, without a gap."""
    assert faults.while_away["phase"] == "progressing"
    numbers = [event["data"]["sequence"] for event in faults.events("basket")]
    assert numbers == list(range(1, faults.basket["sequence"] + 1))


def test_after_the_outage_the_broker_is_read_again(faults: Faults) -> None:
    """The event that ended basket's rollout was written to the broker that came back."""
    assert faults.basket["phase"] == "aborted"
    assert faults.basket["cause"]["why"] == "cancelled"


def test_without_haproxy_the_weight_is_tried_again_and_a_person_is_called(faults: Faults) -> None:
    """Retried, held, paged once, and done as soon as HAProxy is there, which by then has forgotten its weights."""
    story = faults.holds("payment")
    assert "held: setting the weight to 50% is not done after" in story
    assert story.count("goes on being tried") == 1
    assert faults.payment_shares == [0.0, 0.1, 0.5]
