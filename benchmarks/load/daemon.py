"""The daemon under load: a thousand places behind a router in its own memory, its CPU and memory read from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from guardian.app.serve import JOURNAL
from simulator.testing.kafka.broker import Kafka
from simulator.testing.run import ServiceRun
from tests.e2e.daemon import Daemon
from tests.e2e.policies import ERRORS, policy

SERVICES, REGIONS = 10, 100
PLACES: Final = SERVICES * REGIONS
REJECTING: Final = 2
"""Services, of the ten, whose policy rejects a release while another is under way."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def service_of(number: int) -> str:
    """Name of one of the services."""
    return f"service-{number}"


def policies() -> dict[str, dict[str, Any]]:
    """A policy for each service; weights are kept in memory, metrics would come by remote write."""
    found = {}
    for number in range(SERVICES):
        concurrency = "reject" if number < REJECTING else "supersede"
        name = service_of(number)
        found[name] = policy(name, router="memory", guardrails=[ERRORS], concurrency=concurrency, interval="10s")
    return found


@contextmanager
def running_daemon(run: ServiceRun, kafka: Kafka | None = None) -> Iterator[Daemon]:
    """A daemon that was configured and not started yet; stopped when the block ends."""
    daemon = Daemon(run)
    settings: dict[str, Any] = {"environments": {"production": {"metrics": {"stream": True}}}, "log": "warning"}
    if kafka is not None:
        names = {"events": "events", "dead_letter": "dead", "decisions": "decisions"}
        topics = {use: kafka.topic(name, partitions=1 if use == "dead_letter" else 4) for use, name in names.items()}
        settings["kafka"] = {"bootstrap": [kafka.bootstrap], "group": kafka.group("guardian"), "topics": topics}
    daemon.configure(settings=settings, policies=policies())
    try:
        yield daemon
    finally:
        daemon.stop()


def topics_of(daemon: Daemon) -> dict[str, str]:
    """Names of the topics that the daemon was configured with."""
    text = daemon.config.read_text()
    return {use: str(re.search(rf'"{use}": "([^"]+)"', text)[1]) for use in ("events", "dead_letter", "decisions")}  # type: ignore[index]


def journal_of(daemon: Daemon) -> Path:
    """The file of the daemon's journal."""
    return daemon.folder / "data" / JOURNAL


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(pid: int) -> float:
    """Resident memory of a process now, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1000.0 if found else 0.0


def counted(found: Mapping[str, float], name: str, **labels: str) -> float:
    """Sum of a counter's samples whose labels include these."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(value for sample, value in found.items() if sample.startswith(name) and all(w in sample for w in wanted))
