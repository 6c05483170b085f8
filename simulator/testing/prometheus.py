"""A real Prometheus of one's own, with targets that can be changed, rules, remote write, and a past.

Targets come from a watched file, so that pods may come and go while it runs. History is put into the data
folder as blocks before the start. The query helpers are for tests to look on; the product has its own
client.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from simulator.testing import programs
from simulator.testing.ask import answers, ask
from simulator.testing.errors import ServiceError
from simulator.testing.history import Series, write_openmetrics
from simulator.testing.process import Server
from simulator.testing.run import ServiceRun

QUEUE: Final = {"batch_send_deadline": "100ms", "min_backoff": "30ms", "max_samples_per_send": 2000}
"""Remote write leaves within 100 ms; with the defaults a small batch waits 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusPlan:
    """What Prometheus shall do. Everything may be left out.

    targets: host:port of what to scrape. rules: groups as in a rule file. alertmanagers: host:port.
    remote_write: URLs, or whole remote_write entries (authorization, relabelling). scrape_configs: further
    ones, as in prometheus.yml. history: series that end before now.
    """

    targets: Sequence[str] = ()
    rules: Sequence[Mapping[str, Any]] = ()
    alertmanagers: Sequence[str] = ()
    remote_write: Sequence[str | Mapping[str, Any]] = ()
    scrape_configs: Sequence[Mapping[str, Any]] = ()
    external_labels: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Series] = ()
    scrape_interval: str = "1s"
    scrape_timeout: str = "900ms"

    def config(self, folder: Path) -> dict[str, Any]:
        """prometheus.yml, as JSON is YAML."""
        return {
            "global": {
                "scrape_interval": self.scrape_interval,
                "scrape_timeout": self.scrape_timeout,
                "evaluation_interval": self.scrape_interval,
                "external_labels": dict(self.external_labels),
            },
            "rule_files": [str(folder / "rules.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(self.alertmanagers)}]}]},
            "remote_write": [
                {"queue_config": QUEUE} | ({"url": entry} if isinstance(entry, str) else dict(entry))
                for entry in self.remote_write
            ],
            "scrape_configs": [
                {
                    "job_name": "pods",
                    "file_sd_configs": [{"files": [str(folder / "targets.json")], "refresh_interval": "1s"}],
                },
                *map(dict, self.scrape_configs),
            ],
            "storage": {"tsdb": {"out_of_order_time_window": "30d"}},
        }


class Prometheus:
    """One running server. `server` can be killed, frozen, stopped and started again on the same data."""

    def __init__(self, *, port: int, folder: Path, server: Server) -> None:
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self.folder = folder
        self.server = server

    def start(self) -> None:
        """Start and wait until it is ready to answer queries."""
        self.server.start()
        self.server.wait_ready(lambda: answers(f"{self.url}/-/ready"))

    def set_targets(self, targets: Iterable[str]) -> None:
        """Scrape these (host:port) from now on; noticed within about 5 seconds (discovery's own interval)."""
        file = self.folder / "targets.json"
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps([{"targets": list(targets)}]))
        draft.replace(file)

    def query(self, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """Instant query now or `at` unix seconds: the result's series as Prometheus answers them."""
        parameters = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        answer = json.loads(ask(f"{self.url}/api/v1/query?{urlencode(parameters)}").body)
        if answer["status"] != "success":
            raise ServiceError(f"Prometheus refused {expression!r}: {answer.get('error')}", where=self.url)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def wait_for(self, expression: str, *, deadline: float = 120.0) -> list[dict[str, Any]]:
        """The query's result as soon as it has any series; ServiceError when the deadline (s) passes."""
        limit = time.monotonic() + deadline
        while not (found := self.query(expression)):
            if time.monotonic() > limit:
                raise ServiceError(
                    f"{expression!r} had no result for {deadline:g} s",
                    where=self.url,
                    remedy=f"its log's last lines:\n{self.server.log_tail()}",
                )
            time.sleep(0.05)
        return found


@contextmanager
def running_prometheus(run: ServiceRun, plan: PrometheusPlan) -> Iterator[Prometheus]:
    """Prometheus as planned, with its remote-write receiver open, until the block ends."""
    folder, port = run.workdir("prometheus"), run.port()
    (folder / "data").mkdir()
    (folder / "rules.yml").write_text(json.dumps({"groups": list(plan.rules)}))
    (folder / "prometheus.yml").write_text(json.dumps(plan.config(folder)))
    if plan.history:
        backfill(folder, plan.history)
    argv = [
        *programs.command(programs.PROMETHEUS, folder=folder),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=1y",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url=http://127.0.0.1:{port}",
        "--web.enable-lifecycle",
        "--web.enable-remote-write-receiver",
        "--enable-feature=exemplar-storage",
        "--rules.alert.resend-delay=1s",
        "--scrape.discovery-reload-interval=100ms",  # on top of the 5 s that discovery itself takes
    ]
    with Server("prometheus", argv, folder=folder, run=run) as server:
        prometheus = Prometheus(port=port, folder=folder, server=server)
        prometheus.set_targets(plan.targets)
        prometheus.start()
        yield prometheus


def backfill(folder: Path, history: Sequence[Series]) -> None:
    """Put the series into the data folder as blocks; the server must not run yet.

    Blocks may be long: the text is read once for each, and weeks would be hundreds of the usual two hours.
    """
    text = folder / "history.om"
    with text.open("w") as file:
        write_openmetrics(history, file)
    argv = [
        *programs.command(programs.PROMTOOL, folder=folder),
        "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=744h",
        str(text), str(folder / "data"),
    ]  # fmt: skip
    made = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if made.returncode != 0:
        raise ServiceError(f"promtool made no blocks: {made.stderr.strip()}", where=str(text))
    text.unlink()
