"""A real Alertmanager of one's own that posts to a webhook at once.

Waiting times are as short as it allows: no group wait, one second between posts of a group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulator.testing import programs
from simulator.testing.ask import answers, ask
from simulator.testing.errors import ServiceError
from simulator.testing.process import Server
from simulator.testing.run import ServiceRun


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerPlan:
    """webhook: URL it posts to. http_config: as in alertmanager.yml. Durations are written as there."""

    webhook: str
    group_by: Sequence[str] = ("service", "track")
    group_wait: str = "0s"
    group_interval: str = "1s"
    repeat_interval: str = "10s"
    http_config: Mapping[str, Any] | None = None

    def config(self) -> dict[str, Any]:
        """alertmanager.yml, as JSON is YAML."""
        hook: dict[str, Any] = {"url": self.webhook, "send_resolved": True, "max_alerts": 0}
        if self.http_config is not None:
            hook["http_config"] = dict(self.http_config)
        route = {
            "receiver": "guardian",
            "group_by": list(self.group_by),
            "group_wait": self.group_wait,
            "group_interval": self.group_interval,
            "repeat_interval": self.repeat_interval,
        }
        return {"route": route, "receivers": [{"name": "guardian", "webhook_configs": [hook]}]}


class Alertmanager:
    """One running Alertmanager. address: host:port, as `PrometheusPlan.alertmanagers` wants it."""

    def __init__(self, *, port: int, server: Server) -> None:
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self.server = server

    def start(self) -> None:
        """Start and wait until it takes alerts."""
        self.server.start()
        self.server.wait_ready(lambda: answers(f"{self.url}/-/ready"))

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Give it alerts, as Prometheus would (API v2: labels, annotations, startsAt, endsAt)."""
        answer = ask(
            f"{self.url}/api/v2/alerts",
            method="POST",
            body=json.dumps(list(alerts)).encode(),
            headers={"content-type": "application/json"},
        )
        if answer.status != 200:
            raise ServiceError(f"Alertmanager refused the alerts: {answer.body.decode()}", where=self.url)


@contextmanager
def running_alertmanager(run: ServiceRun, plan: AlertmanagerPlan) -> Iterator[Alertmanager]:
    """Alertmanager as planned, until the block ends."""
    folder, port = run.workdir("alertmanager"), run.port()
    config = folder / "alertmanager.yml"
    config.write_text(json.dumps(plan.config()))
    argv = [
        *programs.command(programs.ALERTMANAGER, folder=folder),
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url=http://127.0.0.1:{port}",
        "--cluster.listen-address=",  # empty: otherwise it opens a gossip port on every interface
    ]
    with Server("alertmanager", argv, folder=folder, run=run) as server:
        alertmanager = Alertmanager(port=port, server=server)
        alertmanager.start()
        yield alertmanager
