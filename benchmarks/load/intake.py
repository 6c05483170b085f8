"""Deploy events from a real broker into a durable journal: sustained rate, backlog, time until an event is durable.

The mix, over 1,000 places: 10 % new releases (of which a fifth meet a policy that rejects them while another
is under way; the others supersede what runs), 84.5 % repeats of earlier events, 5 % refused for want of a
policy, 0.5 % unparsable (dead letter). The reference does the least that is durable: a bare aiokafka consumer
that writes the bytes to SQLite (WAL, FULL) with one commit a batch, unique by hash, then commits offsets.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from benchmarks.load.daemon import (
    PLACES,
    REGIONS,
    SERVICES,
    counted,
    cpu_of,
    journal_of,
    memory_of,
    running_daemon,
    service_of,
    topics_of,
)
from benchmarks.load.journal import watching
from benchmarks.load.produce import produce
from benchmarks.load.report import Figure, Found, Load, quantile
from benchmarks.rounds import Better
from guardian.core.deploys import rollout_id
from guardian.core.model import EventRef, RolloutId
from simulator.testing.kafka.broker import Kafka, shared_kafka
from simulator.testing.run import ServiceRun
from tests.e2e import topic
from tests.e2e.daemon import Daemon
from tests.e2e.waiting import until
from tests.services.metrics import samples

SHARES: Final = {"new": 0.10, "repeat": 0.845, "refused": 0.05, "unparsable": 0.005}
SUSTAINED, SECONDS = 5000.0, 20.0
SLOW, SLOW_SECONDS = 500.0, 20.0
BACKLOG: Final = 100_000
SOURCE: Final = "ci/load"
UNKNOWN: Final = "unknown"
"""A service that no policy is for."""
LOOK: Final = 0.5
"""Seconds between two looks at the daemon's own metrics, which cost it some 15 ms each."""


def event(number: int, *, service: str, region: str) -> str:
    """A structured CloudEvent; its number is its id and its revision."""
    data = {"service": service, "environment": "production", "region": region, "revision": f"r{number}"}
    head = {"specversion": "1.0", "id": str(number), "source": SOURCE, "type": "slo-guardian.deploy.requested.v1"}
    return json.dumps({**head, "subject": service, "data": data})


def mixed(count: int, *, seed: int, first: int = 0) -> list[str]:
    """`count` messages in the stated mix; ids of new ones begin at `first`."""
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    kinds = chance.choices(list(SHARES), list(SHARES.values()), k=count)
    found: list[str] = []
    fresh: list[str] = []
    for number, kind in enumerate(kinds, start=first):
        region = f"r{chance.randrange(REGIONS)}"
        if kind == "repeat" and fresh:
            found.append(fresh[-1 - min(chance.randrange(2000), len(fresh) - 1)])
        elif kind == "refused":
            found.append(event(number, service=UNKNOWN, region=region))
        elif kind == "unparsable":
            found.append(f"not an event, number {number}")
        else:
            fresh.append(event(number, service=service_of(chance.randrange(SERVICES)), region=region))
            found.append(fresh[-1])
    return found


def measure(run: ServiceRun, repeat: int) -> Found:  # noqa: ARG001 - measured once, over many events
    """Slow first, then sustained, then the backlog, each with a daemon and topics of its own."""
    kafka = shared_kafka(run)
    slow, sustained, backlog = latencies(run, kafka), paced(run, kafka), drained(run, kafka)
    figures = [
        Figure(name="event to durable, p99 at 500/s", value=slow["durable"]["p99"], unit="s", limit=0.1),
        Figure(name="event to decision event, p99 at 500/s", value=slow["told"]["p99"], unit="s", limit=0.1),
        Figure(
            name="sustained intake",
            value=sustained["rate"],
            unit="events/s",
            better=Better.HIGHER,
            limit=SUSTAINED * 0.99,
            reference="bare aiokafka consumer + SQLite group commit, from a backlog",
            reference_value=backlog["reference_rate"],
        ),
        Figure(name="behind when the sustained load ended", value=sustained["behind"], unit="s", limit=1.0),
        Figure(
            name=f"backlog of {BACKLOG:,} events",
            value=backlog["seconds"],
            unit="s",
            limit=60.0,
            reference="bare aiokafka consumer + SQLite group commit",
            reference_value=backlog["reference_seconds"],
        ),
    ]
    return Found(
        figures=figures,
        detail={"mix": SHARES, "places": PLACES, "slow": slow, "sustained": sustained, "backlog": backlog},
    )


def taken(daemon: Daemon) -> float:
    """Events that the journal holds or the dead-letter topic has, repeats included."""
    found = samples(daemon.metrics())
    return counted(found, "guardian_facts_total{", kind="DeployRequested") + counted(
        found, "guardian_dead_letters_total"
    )


def outcome(daemon: Daemon, seconds: float, cpu: float) -> dict[str, Any]:
    """What the daemon counted, per second of this phase."""
    found = samples(daemon.metrics())
    started = counted(found, "deployment_total")
    new = counted(found, "guardian_facts_total{", kind="DeployRequested", new="yes")
    return {
        "seconds": round(seconds, 3),
        "new_per_second": round(new / seconds, 1),
        "rollouts_started_per_second": round(started / seconds, 1),
        "dead_letters": counted(found, "guardian_dead_letters_total"),
        "cpu_us_per_event": round(cpu / taken(daemon) * 1e6, 1),
        "rss_mb": round(memory_of(daemon.server.pid), 1),
    }


def paced(run: ServiceRun, kafka: Kafka) -> dict[str, Any]:
    """Intake at the sustained rate."""
    messages = mixed(int(SUSTAINED * SECONDS), seed=1)
    with running_daemon(run, kafka) as daemon:
        daemon.start()
        began, used = time.monotonic(), cpu_of(daemon.server.pid)
        load = produce(run, kafka.bootstrap, topics_of(daemon)["events"], messages, rate=SUSTAINED, name="produce")
        until(lambda: not load.running, what="everything is sent", deadline=SECONDS * 6)
        sent = time.monotonic()
        until(lambda: taken(daemon) >= len(messages), what="everything is taken", deadline=240.0, every=LOOK)
        ended = time.monotonic()
        whole = outcome(daemon, ended - began, cpu_of(daemon.server.pid) - used)
    pace = len(messages) / (ended - began - STARTING)
    return {**whole, "rate": min(pace, SUSTAINED), "behind": ended - sent, "sending": sent - began}


STARTING: Final = 1.0
"""Seconds that the producer's process needs before its first message."""


def latencies(run: ServiceRun, kafka: Kafka) -> dict[str, Any]:
    """Time from when an event was due to be sent until the journal shows it, and until its first decision event.

    What another connection reads of a journal in WAL mode and synchronous FULL has been synced. The decision event's
    time is the broker client's when it was sent.
    """
    messages = mixed(int(SLOW * SLOW_SECONDS), seed=2)
    with running_daemon(run, kafka) as daemon:
        daemon.start()
        names, used = topics_of(daemon), cpu_of(daemon.server.pid)
        load = produce(run, kafka.bootstrap, names["events"], messages, rate=SLOW, name="produce")
        with watching(journal_of(daemon)) as shown:
            until(lambda: not load.running, what="everything is sent", deadline=SLOW_SECONDS * 4)
            until(lambda: taken(daemon) >= len(messages), what="everything is taken", deadline=60.0, every=LOOK)
            time.sleep(1.0)  # the last decision events are on their way
        used = cpu_of(daemon.server.pid) - used
        sent, told = topic.read(kafka.bootstrap, names["events"]), topic.read(kafka.bootstrap, names["decisions"])
    due = due_times(sent)
    stored = [at - due[number] for number, at in shown.items() if number in due]
    return {
        "events": len(messages),
        "durable": spread(stored),
        "told": spread(between(due, told)),
        "cpu_us_per_event": round(used / len(messages) * 1e6, 1),
    }


def spread(took: Sequence[float]) -> dict[str, float]:
    """Quantiles of times in seconds."""
    return {
        "measured": len(took),
        "p50": round(quantile(took, 0.5), 4),
        "p99": round(quantile(took, 0.99), 4),
        "largest": round(max(took), 4),
    }


def due_times(sent: Sequence[topic.Message]) -> dict[str, float]:
    """When each event, by its id, was due to be sent for the first time."""
    due: dict[str, float] = {}
    for message in sent:
        try:
            found = message.json()
        except ValueError:
            continue
        due.setdefault(found["id"], message.at)
    return due


def between(due: Mapping[str, float], told: Sequence[topic.Message]) -> list[float]:
    """Seconds from each new event to the first decision event of its rollout."""
    services = [*map(service_of, range(SERVICES)), UNKNOWN]
    begun = {
        rollout_id(name, EventRef(source=SOURCE, id=number)): at for number, at in due.items() for name in services
    }
    first: dict[str, float] = {}
    for message in told:
        first.setdefault(message.json()["data"]["rollout"], message.at)
    return [at - begun[RolloutId(rollout)] for rollout, at in first.items() if rollout in begun]


def drained(run: ServiceRun, kafka: Kafka) -> dict[str, Any]:
    """A backlog that was there before the daemon, and the same topic read by the reference."""
    messages = mixed(BACKLOG, seed=3)
    with running_daemon(run, kafka) as daemon:
        name = topics_of(daemon)["events"]
        load = produce(run, kafka.bootstrap, name, messages, rate=0.0, name="produce")
        until(lambda: not load.running, what="the backlog is there", deadline=120.0)
        reference = asyncio.run(bare(kafka.bootstrap, name, run.workdir("bare") / "journal.sqlite", BACKLOG))
        daemon.start()
        began, used = time.monotonic(), cpu_of(daemon.server.pid)
        until(lambda: taken(daemon) >= BACKLOG, what="the backlog is taken", deadline=300.0, every=LOOK)
        seconds = time.monotonic() - began
        whole = outcome(daemon, seconds, cpu_of(daemon.server.pid) - used)
    return {**whole, "reference_seconds": round(reference, 3), "reference_rate": round(BACKLOG / reference, 1)}


async def bare(bootstrap: str, name: str, file: Path, count: int) -> float:
    """Seconds that the least durable-and-deduplicating consumer needs for the topic."""
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE event (hash BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID")
    consumer = AIOKafkaConsumer(
        name,
        bootstrap_servers=bootstrap,
        group_id=f"bare-{file.parent.name}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    began = time.monotonic()
    await consumer.start()
    try:
        seen = 0
        while seen < count:
            batches = await consumer.getmany(timeout_ms=1000, max_records=500)
            rows = [(hashlib.sha256(r.value).digest()[:16], r.value) for batch in batches.values() for r in batch]
            database.execute("BEGIN")
            database.executemany("INSERT OR IGNORE INTO event VALUES (?, ?)", rows)
            database.execute("COMMIT")
            await consumer.commit()
            seen += len(rows)
        return time.monotonic() - began
    finally:
        await consumer.stop()
        database.close()


LOAD: Final = Load(
    name="intake",
    claim="5,000 events/s over 1,000 places, durable and deduplicated; p99 < 100 ms at 500/s; 100,000 in < 60 s",
    measure=measure,
)
