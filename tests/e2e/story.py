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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from simulator.testing.kafka.broker import Kafka
from simulator.testing.run import ServiceRun
from tests.e2e.policies import ERRORS, LATENCY, LONG, SHORT, policy
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
    "alert": ("profile", {0.1}),
    "errors": ("cart", {0.1}),
    "incident": ("catalog", {0.1, 0.5}),
    "second weight": ("checkout", {0.1}),
    "bake": ("checkout", {1.0}),
}
"""In the middle of what, and of which service; the canary's share that may be in force while the daemon is dead.

first weight: HAProxy has it and the daemon never learns. alert, errors, second weight: the weight that follows (0, 0,
50 %) is ordered and sent, and HAProxy never gets it. incident: while it lasts and holds the rollout. bake: between
promoted and verified.
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
    """Return a policy that knows nothing of latencies: those are the alert's business, however long it takes."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS], bakes=(LONG, SHORT, SHORT))


def patient(site: Site) -> dict[str, Any]:
    """Return a policy whose first step lasts until the trouble is found."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS, LATENCY], bakes=(LONG, SHORT, SHORT))


@contextmanager
def played(run: ServiceRun, kafka: Kafka, *, kills: bool) -> Iterator[Story]:
    """The world after the story, still running, until the block ends."""
    plan = WorldPlan(sites=SITES, policies={"cart": patient, "search": errors_only, "profile": errors_only})
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

    def lie_in_wait(self, why: str, share: float, *, carried_out: bool) -> None:
        """Kill when the service's weight for this share is sent to HAProxy: right after it is set, or just before."""
        if self._awake:
            self._world.sites[KILLS[why][0]].wire.ambush(share, partial(self.kill, why), carried_out=carried_out)

    def wait_for(self, why: str) -> None:
        """Return when that kill is over."""
        until(lambda: not self._awake or why in self.kills, what=f"the kill in the middle of {why}")
        with self._one_at_a_time:
            return


def play(world: World, killer: Killer) -> Story:
    """Deploy everything, make the trouble, wait for the ends. Raises AssertionError when one does not come."""
    sites, daemon = world.sites, world.daemon
    killer.lie_in_wait("first weight", 0.1, carried_out=True)
    killer.lie_in_wait("second weight", 0.5, carried_out=False)
    world.deploy("checkout")
    killer.wait_for("first weight")
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
    rollouts, messages = until(lambda: all_told(world, SERVICES), what="the topic has every event")
    return Story(
        world=world,
        kills=killer.kills,
        injected=injected,
        rollouts=rollouts,
        messages=messages,
        journal=daemon.journal(),
    )


def trouble(world: World, killer: Killer) -> dict[str, float]:
    """Make each service's trouble once its canary has traffic; return when each began (unix seconds).

    catalog's comes first, since it is the only one that must be found before a step is over.
    """
    sites = world.sites

    def fire() -> None:
        alert = alert_of("profile")
        until(lambda: posted(world, alert), what="the alert is taken")

    make: dict[str, Callable[[], None]] = {
        "catalog": lambda: sites["catalog"].behave(INCIDENT),
        "cart": lambda: sites["cart"].canary.behave(TEN_TIMES),
        "search": lambda: sites["search"].canary.behave(SLOW),
        "profile": fire,
    }
    for why in ("alert", "errors"):
        killer.lie_in_wait(why, 0.0, carried_out=False)
    injected: dict[str, float] = {}
    for service, begin in make.items():
        until(partial(at_step, world, service, 0), what=f"traffic of {service}'s canary")
        injected[service] = time.time()
        begin()
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


Told = tuple[dict[str, dict[str, Any]], dict[str, list[Message]]]


def all_told(world: World, services: Iterable[str]) -> Told | None:
    """Return rollouts and decision topic as of one moment: the topic ends with every rollout's newest event.

    None as long as it does not, or while the daemon is away.
    """
    rollouts = {service: world.daemon.newest(service) for service in services}
    messages = world.messages()
    for service, rollout in rollouts.items():
        ids = {message.json()["id"] for message in messages[service]}
        if not rollout or f"{rollout['id']}/{rollout['sequence']}" not in ids:
            return None
    later = {service: world.daemon.newest(service).get("sequence") for service in services}
    return (rollouts, messages) if later == {name: one["sequence"] for name, one in rollouts.items()} else None


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
