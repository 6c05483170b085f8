"""Polled and streamed metrics are the same observations, down to the last request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from simulator.testing.ask import ask
from simulator.testing.kafka.broker import Kafka
from simulator.testing.run import ServiceRun
from tests.e2e import topic
from tests.e2e.policies import ERRORS, LATENCY, policy
from tests.e2e.site import Site, SitePlan
from tests.e2e.waiting import until
from tests.e2e.world import World, WorldPlan, router_of, running_world
from tests.services.metrics import samples

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

WAYS = ("streamed", "polled")


def observing(site: Site) -> dict[str, Any]:
    """Return a policy that judges and writes nothing: two rollouts may then watch one service."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS, LATENCY], mode="observe", history="5m")


def counts(world: World, way: str) -> list[tuple[Any, ...]]:
    """Return requests and errors of both tracks for each guardrail, as this way counted them; empty before any."""
    rollout = next((one for one in world.daemon.rollouts("checkout") if one["environment"] == way), None)
    if rollout is None:
        return []
    story = world.daemon.get(f"/v1/rollouts/{rollout['id']}/explanation")["guardrails"]
    sides = [(one["name"], one["canary"], one["stable"]) for one in story]
    return [(name, side["requests"], side["bad"]) for name, *both in sides for side in both]


def served(site: Site) -> float:
    """Return the requests that the canary itself counted."""
    found: Mapping[str, float] = samples(ask(f"{site.canary.url}/metrics").body)
    return sum(value for name, value in found.items() if name.startswith("http_requests_total{"))


def test_polled_and_streamed_count_the_same_requests(service_run: ServiceRun, kafka: Kafka) -> None:
    """Both end with exactly what the canary itself counted, and agree on stable and on every guardrail."""
    plan = WorldPlan(sites=[SitePlan(service="checkout", stable=2)], policies={"checkout": observing}, load=False)
    with running_world(service_run, kafka, plan) as world:
        site = world.sites["checkout"]
        for way in WAYS:
            started = world.event("checkout", way, kind="started", revision="2.0.0", environment=way)
            topic.send(world.bootstrap, world.topics.events, started)
        until(lambda: len(world.daemon.rollouts("checkout")) == 2, what="both rollouts are open")
        site.proxy.set_weights(dict.fromkeys(site.servers, 126) | {"canary": 28})
        site.start_load(duration=10.0).report()
        total = served(site)
        assert total > 100
        found = until(partial(agreed, world, total), what="both ways have every request")
    assert found["polled"] == found["streamed"]


def agreed(world: World, total: float) -> dict[str, list[tuple[Any, ...]]]:
    """Return both ways' counts once they are equal and have all of the canary's requests; empty before."""
    found = {way: counts(world, way) for way in WAYS}
    whole = all(one and all(requests == total for _, requests, _ in one[::2]) for one in found.values())
    return found if whole and found["polled"] == found["streamed"] else {}
