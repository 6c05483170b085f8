"""From trouble to no traffic, over real pods, Prometheus, HAProxy and the daemon as a process.

errors   the canary at 10 % of 200 rps begins to fail ten times as often (0.5 % -> 5 %): seconds until HAProxy's
         weight is 0, seen from outside. Several services at a time, `repeat` runs in all.
alert    a critical canary alert is posted to the webhook: seconds until the weight is 0. Fifty times.

The reference of the alert is the same look at HAProxy after its weight was set by hand.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from benchmarks.load.report import Figure, Found, Load, quantile
from benchmarks.rounds import Better
from simulator.testing.haproxy import HaProxy
from simulator.testing.kafka.broker import shared_kafka
from simulator.testing.run import ServiceRun
from tests.e2e.policies import ERRORS, policy
from tests.e2e.site import NORMAL, TEN_TIMES, Site, SitePlan
from tests.e2e.story import alert_of, at_step
from tests.e2e.waiting import until
from tests.e2e.world import World, WorldPlan, router_of, running_world

AT_ONCE, WITHIN, PATIENCE = 4, 30.0, 90.0
ALERTS, QUICK = 50, 5
COMPARED: Final = frozenset({"hold", "promote"})
"""Verdicts of a canary whose rows came; promotion waits for its time."""
LOOK: Final = 0.002
"""Seconds between two looks at HAProxy."""


def measure(run: ServiceRun, repeat: int) -> Found:
    """Errors first, alerts in a world of their own after it."""
    errors, alerts, by_hand = injected(run, repeat), alerted(run), set_by_hand(run)
    soon = sum(one <= WITHIN for one in errors)
    figures = [
        Figure(
            name=f"runs of {len(errors)} at weight 0 within 30 s of ten times the errors",
            value=soon,
            unit="runs",
            better=Better.HIGHER,
            limit=0.95 * len(errors),
        ),
        Figure(
            name=f"alert webhook to weight 0, p95 of {len(alerts)}",
            value=quantile(alerts, 0.95),
            unit="s",
            limit=0.3,
            reference="weight set by hand, seen the same way",
            reference_value=quantile(by_hand, 0.95),
        ),
    ]
    rounded = {"errors, s": errors, "alert, s": alerts, "by hand, s": by_hand}
    return Found(figures=figures, detail={name: [round(one, 4) for one in values] for name, values in rounded.items()})


def injected(run: ServiceRun, repeat: int) -> list[float]:
    """Seconds from injection to weight 0, `repeat` of them in whole rounds; PATIENCE where it never came."""
    environments = ("streamed", "polled")
    sites = [
        SitePlan(service=f"service-{number}", environment=environments[number % 2], seed=number + 1)
        for number in range(AT_ONCE)
    ]
    found: list[float] = []
    with running_world(run, shared_kafka(run), WorldPlan(sites=sites)) as world:
        for number in range(-(-repeat // AT_ONCE)):
            found += one_round(world, number)
    return found


def one_round(world: World, number: int) -> list[float]:
    """Deploy everywhere, break every canary as soon as it has been judged at 10 %, wait for the weights."""
    for site in world.sites.values():
        site.behave(NORMAL)
        world.deploy(site.service, f"2.{number}.0")
    for site in world.sites.values():
        until(partial(judged, world, site.service, f"2.{number}.0"), what=site.service, deadline=90.0, every=0.5)
    began: dict[str, float] = {}
    for site in world.sites.values():
        began[site.service] = time.time()
        site.canary.behave(TEN_TIMES)
    found = [PATIENCE] * len(world.sites)
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and PATIENCE in found:
        for place, site in enumerate(world.sites.values()):
            zero = site.tape.when(0.0, after=began[site.service])
            if zero is not None:
                found[place] = zero - began[site.service]
        time.sleep(0.1)
    for site in world.sites.values():
        world.daemon.wait_phase(site.service, "rolled-back", deadline=60.0)
    return found


def judged(world: World, service: str, revision: str) -> bool:
    """Whether this revision's canary is being compared with stable, nothing missing."""
    found = world.daemon.newest(service)
    return bool(found.get("revision") == revision and found["verdict"] in COMPARED and found["held"] is None)


def quick(site: Site) -> dict[str, Any]:
    """Return a policy that reads little history, so that fifty rollouts begin soon."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS], history="30s")


def alerted(run: ServiceRun) -> list[float]:
    """Seconds from the post of an alert until HAProxy has weight 0."""
    sites = [SitePlan(service=f"quick-{number}", rate=50.0, stable=1, seed=number + 31) for number in range(QUICK)]
    plan = WorldPlan(sites=sites, policies={site.service: quick for site in sites})
    found: list[float] = []
    with running_world(run, shared_kafka(run), plan) as world:
        for number in range(ALERTS // QUICK):
            revision = f"3.{number}.0"
            for service in world.sites:
                world.deploy(service, revision)
            for service, site in world.sites.items():
                until(partial(running, world, service, revision), what=service, deadline=60.0, every=0.2)
                body = alert_of(service, name=f"Bad{number}")
                began = time.monotonic()
                assert world.daemon.post("/hooks/alertmanager", body).status == 200
                found.append(until_zero(site.proxy) - began)
                assert world.daemon.post("/hooks/alertmanager", resolved(body)).status == 200
    return found


def resolved(body: bytes) -> bytes:
    """The same alert, over: one that still fires keeps the next canary without traffic."""
    told = json.loads(body)
    ended = datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")
    told["alerts"] = [{**alert, "status": "resolved", "endsAt": ended} for alert in told["alerts"]]
    return json.dumps({**told, "status": "resolved"}).encode()


def running(world: World, service: str, revision: str) -> bool:
    """Whether this revision's canary has traffic."""
    return world.daemon.newest(service).get("revision") == revision and at_step(world, service, 0)


def until_zero(proxy: HaProxy) -> float:
    """Monotonic time at which HAProxy was first seen with the canary at weight 0."""
    limit = time.monotonic() + 10.0
    while not proxy.ask(f"get weight {proxy.backend}/canary").startswith("0 "):
        if time.monotonic() > limit:
            raise AssertionError("the weight never became 0")
        time.sleep(LOOK)
    return time.monotonic()


def set_by_hand(run: ServiceRun) -> list[float]:
    """Seconds that setting a weight by hand and seeing it takes."""
    found: list[float] = []
    plan = WorldPlan(sites=[SitePlan(service="byhand", rate=50.0, stable=1, seed=41)])
    with running_world(run, shared_kafka(run), plan) as world:
        proxy = world.sites["byhand"].proxy
        for _ in range(ALERTS):
            proxy.set_weights({"canary": 28})
            began = time.monotonic()
            proxy.set_weights({"canary": 0})
            found.append(until_zero(proxy) - began)
    return found


LOAD: Final = Load(
    name="reaction",
    claim="ten times the errors: weight 0 within 30 s in 19 of 20 runs; critical alert: p95 of 50 below 300 ms",
    measure=measure,
    repeat=20,
)
