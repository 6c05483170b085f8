"""A whole world of real parts around one daemon: Kafka, Prometheus with 40 minutes of history, services behind HAProxy.

Two environments see the same Prometheus: `streamed` takes what remote write brings, `polled` asks. A test
plays a story in it and then states facts about what was recorded: the weights (site.tape), the decision
topic, the journal as the API tells it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from simulator.testing.alertmanager import Alertmanager, AlertmanagerPlan, running_alertmanager
from simulator.testing.kafka.broker import Kafka
from simulator.testing.process import Server
from simulator.testing.prometheus import Prometheus, PrometheusPlan, running_prometheus
from simulator.testing.run import ServiceRun
from tests.e2e import topic
from tests.e2e.daemon import Daemon
from tests.e2e.policies import ERRORS, LATENCY, policy
from tests.e2e.site import Site, SitePlan, running_site

SLOW_CANARY = {
    "alert": "CanarySlow",
    "expr": (
        "sum by (service, track) (rate(http_request_duration_seconds_sum{track='canary'}[5s]))"
        " / sum by (service, track) (rate(http_request_duration_seconds_count{track='canary'}[5s])) > 0.5"
    ),
    "labels": {"severity": "critical"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPlan:
    """sites: the services. policies: by service, where the usual one (errors and latency) is not meant.

    places: keys that every environment of guardian.yaml gets besides metrics and HAProxy. session: of the
    consumer group; so long that a test in which the group waits for a killed daemon fails. load: whether users come
    from the start.
    """

    sites: Sequence[SitePlan]
    policies: Mapping[str, Callable[[Site], dict[str, Any]]] = field(default_factory=dict)
    places: Mapping[str, Any] = field(default_factory=dict)
    session: str = "20m"
    load: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Names on the broker."""

    events: str
    dead_letter: str
    decisions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that runs."""

    bootstrap: str
    topics: Topics
    prometheus: Prometheus
    alertmanager: Alertmanager
    daemon: Daemon
    sites: Mapping[str, Site]

    def deploy(self, service: str, revision: str = "2.0.0", **more: Any) -> str:
        """Write a deploy event with a plain Kafka producer; return the event's id."""
        event = f"{service}-{revision}"
        topic.send(self.bootstrap, self.topics.events, self.event(service, event, revision=revision, **more))
        return event

    def event(self, service: str, name: str, *, kind: str = "requested", **data: Any) -> bytes:
        """Return a structured CloudEvent about the service: requested, started, cancelled ..."""
        body = {"service": service, "environment": self.sites[service].plan.environment, **data}
        head = {"specversion": "1.0", "id": name, "source": "ci/e2e", "type": f"slo-guardian.deploy.{kind}.v1"}
        return json.dumps({**head, "subject": service, "data": body}).encode()

    def messages(self) -> dict[str, list[topic.Message]]:
        """Return the records of the decision topic by service, repeats included, in the order of the topic."""
        found: dict[str, list[topic.Message]] = {service: [] for service in self.sites}
        for message in topic.read(self.bootstrap, self.topics.decisions):
            found.setdefault(message.json()["subject"], []).append(message)
        return found


def usual_policy(site: Site) -> dict[str, Any]:
    """Return the policy of a service judged by errors and latency, behind its own HAProxy."""
    return policy(site.service, router=router_of(site), guardrails=[ERRORS, LATENCY])


def router_of(site: Site) -> dict[str, Any]:
    """Return the router part of the service's policy."""
    return {"haproxy": {"process": site.service, "stable": site.servers, "canary": "canary"}}


@contextmanager
def running_world(run: ServiceRun, kafka: Kafka, plan: WorldPlan) -> Iterator[World]:
    """The world with its daemon ready and load on every service, until the block ends."""
    with ExitStack() as stack:
        sites = {one.service: stack.enter_context(running_site(run, one)) for one in plan.sites}
        topics = Topics(
            events=kafka.topic("events", partitions=3),
            dead_letter=kafka.topic("dead"),
            decisions=kafka.topic("decisions", partitions=3),
        )
        daemon = Daemon(run)
        hook = AlertmanagerPlan(webhook=f"{daemon.url}/hooks/alertmanager")
        alertmanager = stack.enter_context(running_alertmanager(run, hook))
        prometheus = stack.enter_context(running_prometheus(run, prometheus_plan(sites, daemon, alertmanager)))
        daemon.configure(
            settings=settings_of(kafka, topics, prometheus, sites, plan),
            policies={name: plan.policies.get(name, usual_policy)(site) for name, site in sites.items()},
        )
        for site in sites.values() if plan.load else ():
            site.start_load()
        stack.callback(daemon.stop)
        stack.callback(ended, prometheus.server)
        daemon.start()
        prometheus.wait_for(f"count(up == 1) == {sum(len(site.targets) for site in sites.values())}")
        yield World(
            bootstrap=kafka.bootstrap,
            topics=topics,
            prometheus=prometheus,
            alertmanager=alertmanager,
            daemon=daemon,
            sites=sites,
        )


def ended(server: Server) -> None:
    """Kill a server that still runs: Prometheus would wait ten seconds for a daemon that is gone."""
    if server.running:
        server.kill()


def prometheus_plan(sites: Mapping[str, Site], daemon: Daemon, alertmanager: Alertmanager) -> PrometheusPlan:
    """Scrape every pod each second, write on to the daemon, alert on slow canaries; stable has a past."""
    end = time.time() - 5.0
    return PrometheusPlan(
        targets=[target for site in sites.values() for target in site.targets],
        remote_write=[f"{daemon.url}/api/v1/write"],
        alertmanagers=[alertmanager.address],
        rules=[{"name": "canary", "interval": "1s", "rules": [SLOW_CANARY]}],
        history=[one for site in sites.values() for one in site.history(end)],
    )


def settings_of(
    kafka: Kafka, topics: Topics, prometheus: Prometheus, sites: Mapping[str, Site], plan: WorldPlan
) -> dict[str, Any]:
    """Return guardian.yaml: the broker, and the same services in two environments."""
    metrics = {"url": prometheus.url, "scrape_interval": "1s", "timeout": "30s"}
    haproxy = {name: {"socket": str(site.wire.socket), "timeout": "10s"} for name, site in sites.items()}
    return {
        "kafka": {
            "bootstrap": [kafka.bootstrap],
            "group": kafka.group("guardian"),
            "session_timeout": plan.session,
            "topics": {
                "events": topics.events,
                "dead_letter": topics.dead_letter,
                "decisions": topics.decisions,
            },
        },
        "environments": {
            "streamed": {"metrics": {**metrics, "stream": True}, "haproxy": haproxy, **plan.places},
            "polled": {"metrics": metrics, "haproxy": haproxy, **plan.places},
        },
    }
