"""Alertmanager webhooks at 500 a second: latency with a durable journal, CPU beside bare FastAPI and msgspec.

One alert a post, 0.7 kB. Half are repeats (Alertmanager sends again what still fires), the others new; one in
twenty is about a service that is rolling out. Every answer but a repeat's waits for the disk.
"""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime
from typing import Final

from benchmarks.load.bare import running_bare
from benchmarks.load.daemon import SERVICES, cpu_of, running_daemon, service_of
from benchmarks.load.posting import Posted, post_all
from benchmarks.load.report import Figure, Found, Load, quantile
from simulator.testing.run import ServiceRun

RATE, SECONDS, WARM_UP = 500.0, 20.0, 2.0


def alert(number: int, service: str, *, began: float) -> bytes:
    """A webhook as Alertmanager posts it."""
    one = {
        "status": "firing",
        "labels": {
            "alertname": "QueueLong",
            "service": service,
            "severity": "warning",
            "instance": f"10.0.0.{number % 250}",
        },
        "annotations": {
            "summary": f"the queue of {service} holds {number} entries",
            "runbook": "https://wiki.example/q",
        },
        "startsAt": datetime.fromtimestamp(began + number / 1000.0, UTC).isoformat().replace("+00:00", "Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=queue_length+%3E+100&g0.tab=1",
        "fingerprint": f"{number:016x}",
    }
    group = {"groupLabels": {"service": service}, "commonLabels": {"service": service}, "commonAnnotations": {}}
    head = {"version": "4", "groupKey": f'{{}}:{{service="{service}"}}', "status": "firing", "receiver": "guardian"}
    return json.dumps(
        {**head, **group, "truncatedAlerts": 0, "externalURL": "http://am.example", "alerts": [one]}
    ).encode()


def bodies(count: int, *, seed: int) -> list[bytes]:
    """`count` posts in the stated mix."""
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    began = time.time() - 3600.0
    found: list[bytes] = []
    for number in range(count):
        if found and chance.random() < 0.5:
            found.append(found[-1 - chance.randrange(min(len(found), 500))])
            continue
        touches = chance.random() < 0.1
        service = service_of(chance.randrange(SERVICES)) if touches else f"other-{chance.randrange(200)}"
        found.append(alert(seed * 1_000_000 + number, service, began=began))
    return found


def measured(url: str, pid: int, *, seed: int) -> tuple[Posted, float]:
    """What was answered at the rate, and CPU seconds per request; a short load before it is not counted."""
    post_all(url, bodies(int(RATE * WARM_UP), seed=seed), rate=RATE)
    posts = bodies(int(RATE * SECONDS), seed=seed + 1)
    used = cpu_of(pid)
    posted = post_all(url, posts, rate=RATE)
    return posted, (cpu_of(pid) - used) / len(posts)


def measure(run: ServiceRun, repeat: int) -> Found:  # noqa: ARG001 - measured once, over many posts
    """The daemon with ten rollouts under way, then the bare application."""
    with running_daemon(run) as daemon:
        daemon.start()
        for number in range(SERVICES):
            data = {"service": service_of(number), "environment": "production", "revision": "2.0.0"}
            assert daemon.post("/v1/events", data).status == 202
        ours, cpu = measured(f"{daemon.url}/hooks/alertmanager", daemon.server.pid, seed=1)
    with running_bare(run) as (url, server):
        bare, bare_cpu = measured(f"{url}/hooks/alertmanager", server.pid, seed=1)
    detail = {
        "p50": round(quantile(ours.latencies, 0.5), 4),
        "largest": round(max(ours.latencies), 4),
        "bytes": len(bodies(1, seed=1)[0]),
        "posts": len(ours.latencies),
    }
    return Found(figures=figures(ours, bare, cpu=cpu, bare_cpu=bare_cpu), detail=detail)


def figures(ours: Posted, bare: Posted, *, cpu: float, bare_cpu: float) -> list[Figure]:
    """What is claimed, each beside the bare application."""
    reference = "bare FastAPI + msgspec, nothing kept"
    return [
        Figure(
            name="webhook, p99 at 500/s",
            value=quantile(ours.latencies, 0.99),
            unit="s",
            limit=0.1,
            reference=reference,
            reference_value=quantile(bare.latencies, 0.99),
        ),
        Figure(
            name="CPU per webhook",
            value=cpu * 1e6,
            unit="us",
            limit=2.5,
            of_ratio=True,
            reference=reference,
            reference_value=bare_cpu * 1e6,
        ),
        Figure(
            name="answers that are not 200",
            value=sum(ours.statuses.values()) - ours.statuses.get(200, 0),
            unit="",
            limit=0.0,
        ),
    ]


LOAD: Final = Load(
    name="webhooks",
    claim="500 webhooks/s: p99 < 100 ms, CPU per request at most 2.5 times that of bare FastAPI + msgspec",
    measure=measure,
)
