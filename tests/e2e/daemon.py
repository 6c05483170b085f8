"""The daemon under test: `guardian run -c guardian.yaml` as a process, asked over HTTP, killed and restarted."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.testing.ask import Answer, answers, ask
from simulator.testing.process import Server
from simulator.testing.run import ServiceRun
from tests.e2e.waiting import PATIENCE, until

TERMINAL = frozenset({"verified", "rolled-back", "aborted", "superseded", "rejected", "failed"})


class Daemon:
    """One guardian with a folder and an address of its own; `configure` before the first start."""

    def __init__(self, run: ServiceRun) -> None:
        self.folder = run.workdir("guardian")
        self.url = f"http://127.0.0.1:{run.port()}"
        self.config = self.folder / "guardian.yaml"
        self._command = str(Path(sys.executable).with_name("guardian"))
        argv = [self._command, "run", "-c", str(self.config)]
        self.server = Server("guardian", argv, folder=self.folder, run=run)

    def configure(self, *, settings: Mapping[str, Any], policies: Mapping[str, Any]) -> None:
        """Write guardian.yaml (settings: all but data, listen and policies) and a file for each policy."""
        own = {"data": "data", "listen": self.url.removeprefix("http://"), "policies": "policies"}
        self.config.write_text(json.dumps({**own, **settings}))  # JSON is YAML
        (self.folder / "policies").mkdir(exist_ok=True)
        for name, policy in policies.items():
            (self.folder / "policies" / f"{name}.yaml").write_text(json.dumps(policy))

    def start(self) -> None:
        """Start, or start again on the same journal; ready when events are taken."""
        self.server.start()
        self.server.wait_ready(lambda: answers(f"{self.url}/readyz"), deadline=PATIENCE)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self.server.kill()

    def restart(self) -> None:
        """SIGKILL and start."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        return self.server.stop() if self.server.running else 0

    def get(self, path: str) -> Any:
        """Return the JSON of a GET."""
        answer = ask(f"{self.url}{path}")
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body!r}"
        return json.loads(answer.body)

    def post(self, path: str, body: bytes | Mapping[str, Any]) -> Answer:
        """Return the answer to a POST of JSON."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        return ask(f"{self.url}{path}", method="POST", body=sent, headers=headers)

    def metrics(self) -> bytes:
        """Return /metrics."""
        return ask(f"{self.url}/metrics").body

    def rollouts(self, service: str) -> list[dict[str, Any]]:
        """Return the service's rollouts, newest first; none while the daemon is away."""
        try:
            answer = ask(f"{self.url}/v1/rollouts?service={service}")
        except (OSError, http.client.HTTPException):
            return []
        found: list[dict[str, Any]] = json.loads(answer.body).get("items", []) if answer.status == 200 else []
        return found

    def newest(self, service: str) -> dict[str, Any]:
        """Return the service's newest rollout; empty when there is none, or the daemon is away."""
        return next(iter(self.rollouts(service)), {})

    def wait_phase(self, service: str, *phases: str, deadline: float = PATIENCE) -> dict[str, Any]:
        """Return the newest rollout once it is in one of the phases; AssertionError when it ended in another."""

        def look() -> dict[str, Any]:
            found = self.newest(service)
            assert found.get("phase") in {*phases, None} or found["phase"] not in TERMINAL, f"it is over: {found}"
            return found if found.get("phase") in phases else {}

        return until(look, what=lambda: f"{service} is {' or '.join(phases)}: {self.told(service)}", deadline=deadline)

    def told(self, service: str) -> str:
        """Return what the daemon says of the service's newest rollout, with its numbers: the text of a failure."""
        found = self.newest(service)
        if not found:
            return "no rollout"
        explained = self.get(f"/v1/rollouts/{found['id']}/explain")
        return f"{found}\n{json.dumps(explained, indent=1)}"

    def journal(self) -> list[dict[str, Any]]:
        """Return the rows of the journal, as `guardian journal export` prints them beside the running daemon."""
        return [json.loads(line) for line in self._journal("export").splitlines()]

    def verified_rows(self) -> int:
        """Return how many rows `guardian journal verify` finds whole; CalledProcessError when it finds a damage."""
        return int(json.loads(self._journal("verify", "-o", "json"))["rows"])

    def _journal(self, *words: str) -> bytes:
        command = [self._command, "journal", *words, str(self.folder / "data")]
        return subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout
