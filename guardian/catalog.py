"""Every adapter by its kind, imported when it is first used, so that nobody pays for a library he does not use.

Other distributions add kinds through entry points `guardian.routers`, `guardian.workloads` and `guardian.probes`;
one of ours is never replaced. An adapter from there is made by its class method `create(environment)`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final

from guardian.errors import PolicyError


class Port(StrEnum):
    """What an adapter is for, in the words of policies."""

    ROUTER = "router"
    WORKLOAD = "workload"
    PROBE = "probe"


ROUTERS: Final = {
    "memory": "guardian.adapters.routers.memory:MemoryRouter",
    "haproxy": "guardian.adapters.routers.haproxy:HaproxyRouter",
    "istio": "guardian.adapters.routers.istio:IstioRouter",
}
WORKLOADS: Final = {
    "memory": "guardian.adapters.workloads.memory:MemoryWorkload",
    "deployment": "guardian.adapters.workloads.deployment:DeploymentWorkload",
}
PROBES: Final = {
    "memory": "guardian.adapters.probes.memory:MemoryProbe",
    "http": "guardian.adapters.probes.http:HttpProbe",
}
METRIC_SOURCES: Final = {
    "memory": "guardian.adapters.metrics.memory:MemorySource",
    "polled": "guardian.adapters.metrics.polled:PolledSource",
    "streamed": "guardian.adapters.metrics.streamed:StreamedSource",
}
EVENT_SOURCES: Final = {
    "memory": "guardian.adapters.events.memory:MemorySource",
    "kafka": "guardian.adapters.events.kafka:KafkaSource",
}
EVENT_SINKS: Final = {
    "memory": "guardian.adapters.events.memory:MemorySink",
    "kafka": "guardian.adapters.events.kafka_sink:KafkaSink",
}
JOURNALS: Final = {
    "memory": "guardian.adapters.journal.memory:MemoryJournal",
    "sqlite": "guardian.adapters.journal.sqlite:SqliteJournal",
}
NOTIFIERS: Final = {
    "memory": "guardian.adapters.notify.memory:MemoryNotifier",
    "log": "guardian.adapters.notify.log:LogNotifier",
    "webhook": "guardian.adapters.notify.webhook:WebhookNotifier",
    "slack": "guardian.adapters.notify.slack:SlackNotifier",
    "pagerduty": "guardian.adapters.notify.pagerduty:PagerDutyNotifier",
    "email": "guardian.adapters.notify.email:EmailNotifier",
}
POLICY_PORTS: Final[Mapping[Port, Mapping[str, str]]] = {
    Port.ROUTER: ROUTERS,
    Port.WORKLOAD: WORKLOADS,
    Port.PROBE: PROBES,
}


def imported(source: str) -> Any:
    """Return the object behind "module:name"."""
    module, _, name = source.partition(":")
    return getattr(importlib.import_module(module), name)


def find(port: Port, kind: str) -> Any:
    """Return the class of this kind. Raises PolicyError with the nearest name when there is none."""
    known = kinds(port)
    if kind in known:
        return imported(known[kind])
    near = difflib.get_close_matches(kind, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise PolicyError(f"there is no {port} of kind '{kind}'", remedy=f"{hint}there are: {', '.join(sorted(known))}")


def kinds(port: Port) -> dict[str, str]:
    """Return every kind that is installed, with the place of its class."""
    return {**_installed(port), **POLICY_PORTS[port]}


@cache
def _installed(port: Port) -> dict[str, str]:
    """Return what other distributions bring along; looked for once, since it takes some 20 ms of reading files."""
    from importlib.metadata import entry_points  # noqa: PLC0415  reads the disk

    return {point.name: point.value for point in entry_points(group=f"guardian.{port}s")}
