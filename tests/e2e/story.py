"""One story in one world: five services are deployed at once, and each meets another fate.

checkout   healthy                                    streamed
cart       the canary fails ten times as often        polled
catalog    an incident on both tracks, which ends     streamed
search     Prometheus finds the canary slow           polled      through Alertmanager
profile    a critical alert is posted to the daemon   streamed

With `kills` the daemon is killed (SIGKILL) and started again in the middle of each: see KILLS.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
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


KILLS = {
    "first weight": ("checkout", {0.1}),
    "alert": ("profile", {0.1, 0.5}),
    "errors": ("cart", {0.1, 0.5}),
    "incident": ("catalog", {0.1, 0.5}),
    "second weight": ("checkout", {0.1}),
    "bake": ("checkout", {1.0}),
}
"""In the middle of what, and of which service; the canary's share that may be in force while the daemon is dead.

first weight: HAProxy has it and the daemon never learns. alert, errors, second weight: the next weight is ordered and
sent, and HAProxy never gets it. incident: while it lasts and holds the rollout. bake: between promoted and verified.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was recorded.

    kills: in the middle of what, and the service's share while the daemon was dead. injected: unix time at which each
    service's trouble began. rollouts: as the API tells them at the end. messages: the decision topic by service.
    journal: its rows.
    """

    world: World
    kills: dict[str, float]
    injected: dict[str, float]
    rollouts: dict[str, dict[str, Any]]
    messages: dict[str, list[Message]]
    journal: list[dict[str, Any]]

    def shares(self, service: str) -> list[float]:
        """Return the share at the start and after every single write of weights."""
        return self.world.sites[service].wire.shares

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
        yield play(world, Killer(world, awake=kills))


class Killer:
    """Kills the daemon and starts it again, once for each of KILLS; asleep, it does nothing."""

    def __init__(self, world: World, *, awake: bool) -> None:
        self._world, self._awake = world, awake
        self._one_at_a_time = threading.Lock()
        self.kills: dict[str, float] = {}

    def kill(self, why: str) -> None:
        """Kill now; returns when the daemon is ready again."""
        if not self._awake:
            return
        with self._one_at_a_time:
            self._world.daemon.kill()
            self.kills[why] = self._world.sites[KILLS[why][0]].wire.shares[-1]
            self._world.daemon.start()

    def lie_in_wait(self, why: str, *, carried_out: bool) -> None:
        """Kill when the service's next weight is sent to HAProxy: right after it is set, or just before."""
        if self._awake:
            self._world.sites[KILLS[why][0]].wire.ambush(partial(self.kill, why), carried_out=carried_out)

    def wait_for(self, why: str) -> None:
        """Return when that kill is over."""
        until(lambda: not self._awake or why in self.kills, what=f"the kill in the middle of {why}")
        with self._one_at_a_time:
            return


def play(world: World, killer: Killer) -> Story:
    """Deploy everything, make the trouble, wait for the ends. Raises AssertionError when one does not come."""
    sites, daemon = world.sites, world.daemon
    killer.lie_in_wait("first weight", carried_out=True)
    world.deploy("checkout")
    killer.wait_for("first weight")
    killer.lie_in_wait("second weight", carried_out=False)
    for service in SERVICES[1:]:
        world.deploy(service)
    injected = trouble(world, killer)
    daemon.wait_phase("profile", "rolled-back")
    daemon.wait_phase("search", "rolled-back")
    until(lambda: held(world, "catalog"), what="catalog is held")
    killer.kill("incident")
    until(lambda: held(world, "catalog"), what="catalog is held still")
    sites["catalog"].behave(NORMAL)
    daemon.wait_phase("cart", "rolled-back")
    daemon.wait_phase("checkout", "baking", "verified")
    killer.kill("bake")
    for service in ("checkout", "catalog"):
        daemon.wait_phase(service, "verified")
    rollouts = {service: until(partial(daemon.newest, service), what=f"the end of {service}") for service in SERVICES}
    messages = until(lambda: all_told(world, rollouts), what="the topic has every event")
    return Story(
        world=world,
        kills=killer.kills,
        injected=injected,
        rollouts=rollouts,
        messages=messages,
        journal=daemon.journal(),
    )


def trouble(world: World, killer: Killer) -> dict[str, float]:
    """Make each service's trouble as soon as its canary has traffic; return when each began (unix seconds)."""
    sites = world.sites

    def fail() -> None:
        killer.lie_in_wait("errors", carried_out=False)
        sites["cart"].canary.behave(TEN_TIMES)

    def fire() -> None:
        killer.lie_in_wait("alert", carried_out=False)
        alert = alert_of("profile")
        until(lambda: posted(world, alert), what="the alert is taken")

    make: dict[str, Callable[[], None]] = {
        "cart": fail,
        "catalog": lambda: sites["catalog"].behave(INCIDENT),
        "search": lambda: sites["search"].canary.behave(SLOW),
        "profile": fire,
    }
    injected: dict[str, float] = {}

    def all_made() -> bool:
        for service in make.keys() - injected.keys():
            if at_step(world, service, 0):
                injected[service] = time.time()
                make[service]()
        return injected.keys() == make.keys()

    until(all_made, what=lambda: f"traffic of the canaries of {make.keys() - injected.keys()}")
    for why in ("alert", "errors"):
        killer.wait_for(why)
    return injected


def posted(world: World, alert: bytes) -> bool:
    """Whether the webhook was taken; like Alertmanager, who asks posts it again until it is."""
    try:
        return world.daemon.post("/hooks/alertmanager", alert).status == 200
    except (OSError, http.client.HTTPException):
        return False


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
