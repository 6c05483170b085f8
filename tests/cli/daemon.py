"""The real daemon as a process, over a platform in memory and without metrics: rollouts move on time and orders."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from guardian.cli import main
from guardian.cli.output import SCREEN
from simulator.testing.process import Server, python_module
from simulator.testing.run import ServiceRun

POLICY = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {{name: {service}}}
spec:
  match: {{service: {service}, environment: staging}}
  strategy: {{kind: canary, steps: [{{weight: 10%, bake: {bake}{gate}}}, {{weight: 100%, bake: {last}}}]}}
  router: memory
  workload: memory
  interval: 1s
  guardrails:
    - name: errors
      sli: {{ratio: {{bad: errors_total, total: requests_total}}}}
      compare: none
      objective: {{target: 99%}}
"""
QUICK = {"bake": "1s", "gate": "", "last": "1s"}
LONG = {"bake": "1h", "gate": "", "last": "1h"}
ASKED = {"bake": "1s", "gate": ", approval: true", "last": "1h"}
SERVICES = {
    "promoted": QUICK, "verified": QUICK, "aborted": LONG, "rolled": LONG, "superseded": LONG, "waiting": LONG,
    "paused": LONG, "amended": LONG, "retried": LONG, "twice": LONG, "lost": LONG, "approved": ASKED, "rejected": LONG,
    "told": LONG, "gated": LONG, "watched": LONG, "named": LONG, "asked": LONG, "drawn": LONG,
}  # fmt: skip
"""Each test has a service of its own, so that none depends on another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A daemon and its folder, which holds guardian.yaml."""

    server: Server
    folder: Path
    url: str

    def guardian(self, *arguments: str) -> Answer:
        """Run a command in the daemon's folder."""
        return guardian(*arguments, folder=self.folder)

    def ready(self) -> bool:
        """Say whether it takes events."""
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def guardian(*arguments: str, folder: Path) -> Answer:
    """Run a command as if in that folder, in this process: starting Python takes longer than most commands."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GUARDIAN_")}
    code = 0
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.environ.update(before)
        SCREEN.color, SCREEN.quiet = True, False
    out.seek(0)
    return Answer(code=code, out=out.read(), err=err.getvalue())


def guardian_process(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command as a user would: in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GUARDIAN_")}
    return subprocess.Popen(
        python_module("guardian", *arguments), cwd=folder, env=clean, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@contextlib.contextmanager
def watching(folder: Path, rollout: str) -> Iterator[subprocess.Popen[str]]:
    """Watch a rollout in a process that ends with the block."""
    process = guardian_process("status", rollout, "-w", "-o", "json", "--timeout", "60s", folder=folder)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def started(
    run: ServiceRun, *, environment: str = "{}", policies: Mapping[str, str] | None = None, settings: str = ""
) -> Daemon:
    """Start a daemon in a new folder and wait until it takes events.

    policies: name -> text of the file. settings: further lines of guardian.yaml.
    """
    folder, port = run.workdir("guardian"), run.port()
    (folder / "guardian.yaml").write_text(
        f"listen: 127.0.0.1:{port}\nenvironments: {{staging: {environment}}}\n{settings}"
    )
    (folder / "policies").mkdir()
    simple = {service: POLICY.format(service=service, **times) for service, times in SERVICES.items()}
    for name, text in (policies or simple).items():
        (folder / "policies" / f"{name}.yaml").write_text(text)
    server = Server("daemon", python_module("guardian", "run", "-c", "guardian.yaml"), folder=folder, run=run)
    daemon = Daemon(server=server.start(), folder=folder, url=f"http://127.0.0.1:{port}")
    server.wait_ready(daemon.ready)
    return daemon


def until(daemon: Daemon, rollout: str, phase: str, *, deadline: float = 20.0) -> None:
    """Wait until the rollout is in that phase."""
    limit = time.monotonic() + deadline
    while httpx.get(f"{daemon.url}/v1/rollouts/{rollout}", trust_env=False).json()["phase"] != phase:
        assert time.monotonic() < limit, f"{rollout} did not reach {phase}"
        time.sleep(0.05)
