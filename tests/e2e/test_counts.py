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
Counts = list[tuple[str, str, float, float | None]]


def observing(site: Site) -> dict[str, Any]:
    """Return a policy that judges and writes nothing: two rollouts may then watch one service."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS, LATENCY], mode="observe", history="5m")


def counts(world: World, way: str) -> Counts:
    """Return (guardrail, track, requests, errors) as this way counted them; empty before any."""
    rollout = next((one for one in world.daemon.rollouts("checkout") if one["environment"] == way), None)
    if rollout is None:
        return []
    story = world.daemon.get(f"/v1/rollouts/{rollout['id']}/explanation")["guardrails"]
    tracks = [(one["name"], track, one[track]) for one in story for track in ("canary", "stable")]
    return [(name, track, at["requests"], at["bad"]) for name, track, at in tracks]


def served(site: Site) -> float:
    """Return the requests that the canary itself counted."""
    found: Mapping[str, float] = samples(ask(f"{site.canary.url}/metrics").body)
    return sum(value for name, value in found.items() if name.startswith("http_requests_total{"))


def test_polled_and_streamed_count_the_same_requests(service_run: ServiceRun, kafka: Kafka) -> None:
    """Both end with exactly what the canary itself counted, and agree on stable and on every guardrail.

    The canary is served first: stable's row in which that happens is the past or not, as it came before or after.
    """
    plan = WorldPlan(sites=[SitePlan(service="checkout", stable=2)], policies={"checkout": observing}, load=False)
    with running_world(service_run, kafka, plan) as world:
        site = world.sites["checkout"]
        for way in WAYS:
            started = world.event("checkout", way, kind="started", revision="2.0.0", environment=way)
            topic.send(world.bootstrap, world.topics.events, started)
        until(lambda: len(world.daemon.rollouts("checkout")) == 2, what="both rollouts are open")
        site.proxy.set_weights(dict.fromkeys(site.servers, 0) | {"canary": 256})
        load = site.start_load()
        until(lambda: all(requests(one, "canary") for one in seen(world).values()), what="both ways see the canary")
        site.proxy.set_weights(dict.fromkeys(site.servers, 126) | {"canary": 28})
        until(lambda: all(requests(one, "stable") > 500 for one in seen(world).values()), what="both ways see stable")
        assert load.stop().failed == 0
        found = until(partial(agreed, world), what=lambda: f"both ways have all {served(site):g}: {seen(world)}")
        assert served(site) > 100
    assert found["polled"] == found["streamed"]


def seen(world: World) -> dict[str, Counts]:
    """Return what each way has counted so far."""
    return {way: counts(world, way) for way in WAYS}


def requests(found: Counts, track: str) -> float:
    """Return the requests of a track that each guardrail has counted at least."""
    return min((count for _, of, count, _ in found if of == track), default=0.0)


def agreed(world: World) -> dict[str, Counts]:
    """Return both ways' counts once they are equal and have all of the canary's requests; empty before."""
    found, total = seen(world), served(world.sites["checkout"])
    whole = all(one and {count for _, of, count, _ in one if of == "canary"} == {total} for one in found.values())
    return found if whole and found["polled"] == found["streamed"] else {}
