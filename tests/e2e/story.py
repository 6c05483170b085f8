"""One story in one world: five services are deployed at once, and each meets another fate.

checkout   healthy                                    streamed
cart       the canary fails ten times as often        polled
catalog    an incident on both tracks, which ends     streamed
search     Prometheus finds the canary slow           polled      through Alertmanager
profile    a critical alert is posted to the daemon   streamed

With `kills` the daemon is killed (SIGKILL) and started again in the middle of each of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from simulator.testing.kafka.broker import Kafka
from simulator.testing.run import ServiceRun
from tests.e2e.policies import ERRORS, policy
from tests.e2e.site import INCIDENT, NORMAL, SLOW, TEN_TIMES, Site, SitePlan
from tests.e2e.topic import Message
from tests.e2e.waiting import until
from tests.e2e.world import World, WorldPlan, router_of, running_world

SITES = (
    SitePlan(service="checkout", seed=1),
    SitePlan(service="cart", environment="polled", seed=2),
    SitePlan(service="catalog", seed=3),
    SitePlan(service="search", environment="polled", rate=60.0, stable=1, seed=4),
    SitePlan(service="profile", rate=60.0, stable=1, seed=5),
)
SERVICES = tuple(site.service for site in SITES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was recorded.

    injected: unix time at which each service's trouble began. rollouts: as the API tells them at the end.
    messages: the decision topic by service.
    """

    world: World
    kills: int
    injected: dict[str, float]
    rollouts: dict[str, dict[str, Any]]
    messages: dict[str, list[Message]]

    def events(self, service: str) -> list[dict[str, Any]]:
        """Return the service's decision events, the first of each id, in the order of the topic."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.messages[service]:
            event = message.json()
            found.setdefault(event["id"], event)
        return list(found.values())

    def told(self, service: str) -> list[str]:
        """Return the names of the service's events, without prefix and version."""
        return [event["type"].split(".")[2] for event in self.events(service)]


def errors_only(site: Site) -> dict[str, Any]:
    """Return a policy that knows nothing of latencies: those are the alert's business."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS])


@contextmanager
def played(run: ServiceRun, kafka: Kafka, *, kills: bool) -> Iterator[Story]:
    """The world after the story, still running, until the block ends."""
    plan = WorldPlan(sites=SITES, policies={"search": errors_only, "profile": errors_only})
    with running_world(run, kafka, plan) as world:
        yield play(world, kills=kills)


def play(world: World, *, kills: bool) -> Story:
    """Deploy everything, make the trouble, wait for the ends. Raises AssertionError when one does not come."""
    sites, daemon = world.sites, world.daemon
    injected: dict[str, float] = {}
    killed = 0

    def kill() -> None:
        nonlocal killed
        if kills:
            daemon.restart()
            killed += 1

    for service in SERVICES:
        world.deploy(service)
    until(lambda: sites["checkout"].tape.when(0.1), what="the first weight", deadline=60.0)
    kill()
    for service in SERVICES:
        until(partial(at_step, world, service, 0), what=f"{service} has traffic", deadline=60.0)
    injected["cart"] = trouble(sites["cart"].canary.behave, TEN_TIMES)
    injected["catalog"] = trouble(sites["catalog"].behave, INCIDENT)
    injected["search"] = trouble(sites["search"].canary.behave, SLOW)
    injected["profile"] = time.time()
    assert daemon.post("/hooks/alertmanager", alert_of("profile")).status == 200
    kill()
    daemon.wait_phase("profile", "rolled-back", deadline=30.0)
    daemon.wait_phase("search", "rolled-back", deadline=60.0)
    until(lambda: held(world, "catalog"), what="catalog is held", deadline=60.0)
    sites["catalog"].behave(NORMAL)
    daemon.wait_phase("cart", "rolled-back", deadline=90.0)
    until(lambda: at_step(world, "checkout", 1), what="checkout at 50 %", deadline=60.0)
    kill()
    until(lambda: sites["checkout"].tape.when(1.0), what="checkout at 100 %", deadline=120.0)
    kill()
    for service in ("checkout", "catalog"):
        daemon.wait_phase(service, "verified", deadline=180.0)
    rollouts = {service: daemon.newest(service) for service in SERVICES}
    messages = until(lambda: all_told(world, rollouts), what="the topic has every event", deadline=30.0)
    return Story(world=world, kills=killed, injected=injected, rollouts=rollouts, messages=messages)


def trouble(behave: Any, behaviour: Any) -> float:
    """Order the behaviour; return when (unix seconds)."""
    began = time.time()
    behave(behaviour)
    return began


def at_step(world: World, service: str, step: int) -> bool:
    """Whether the service's step began: its weight is accepted and rows of it are judged."""
    found = world.daemon.newest(service)
    return bool(found.get("step", -1) >= step and found["weight"]["requests"] > 0)


def held(world: World, service: str) -> bool:
    """Whether the service's rollout is held for the sake of an objective."""
    found = world.daemon.newest(service).get("held")
    return found is not None and str(found["kind"]) in {"shared-incident", "warning"}


def all_told(world: World, rollouts: dict[str, dict[str, Any]]) -> dict[str, list[Message]]:
    """Return the decision topic once the newest event of every rollout is in it; empty before."""
    messages = world.messages()
    for service, rollout in rollouts.items():
        wanted = f"{rollout['id']}/{rollout['sequence']}"
        if all(message.json()["id"] != wanted for message in messages[service]):
            return {}
    return messages


def alert_of(service: str, *, severity: str = "critical", name: str = "CanaryBad", at: float = 0.0) -> bytes:
    """Return a body as Alertmanager posts it: one alert about the canary that began at `at`, or now."""
    began = datetime.fromtimestamp(at or time.time(), UTC).isoformat().replace("+00:00", "Z")
    alert = {
        "status": "firing",
        "labels": {"alertname": name, "service": service, "track": "canary", "severity": severity},
        "annotations": {"summary": "the canary is bad"},
        "startsAt": began,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": f"{abs(hash((service, name))):016x}"[:16],
    }
    body = {"version": "4", "status": "firing", "receiver": "guardian", "groupKey": "{}", "alerts": [alert]}
    return json.dumps(body).encode()
