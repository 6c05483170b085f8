"""A real server as a process: started, awaited, stopped, killed, frozen; its output is a log file.

Ends by pid only, never by name. It knows nothing of what the server does: whether it is ready is asked by a
function.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Self

from simulator.testing.errors import ServiceError
from simulator.testing.programs import container_name
from simulator.testing.run import Process, ServiceRun

POLL: Final = 0.02
"""Seconds between two looks while waiting for a server."""

LOG_TAIL: Final = 40
"""Lines of a log that are shown with a failure."""

CONTAINER_PREFIX: Final = ["docker", "run"]
CONTAINER_VERBS: Final = {
    signal.SIGKILL: "kill",
    signal.SIGSTOP: "pause",
    signal.SIGCONT: "unpause",
}


class Server:
    """One process and its restarts, all on the same folder. abrupt: it ignores SIGTERM.

    Freezing (`pause`) is SIGSTOP: the connections stay, nothing is answered. `kill` is SIGKILL. `stop` is
    SIGTERM, and SIGKILL after the grace. The run's janitor ends it if nobody else does.
    """

    def __init__(
        self,
        name: str,
        argv: list[str],
        *,
        folder: Path,
        run: ServiceRun,
        env: Mapping[str, str] | None = None,
        abrupt: bool = False,
        container: str = "",
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.container = container_name(folder) if argv[:2] == CONTAINER_PREFIX else container
        self._run = run
        self._env = dict(env or {})
        self._abrupt = abrupt
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Pid of the running process; ServiceError when it does not run."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the process; returns at once, before it is ready."""
        if self.running:
            raise ServiceError(f"{self.name} runs already", where=str(self.folder), remedy="stop it first")
        with self.log.open("ab") as log:
            try:
                self._process = Process(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env={**os.environ, **self._env},
                    start_new_session=True,
                )
            except OSError as error:
                raise ServiceError(
                    f"{self.name} cannot be started: {error}",
                    where=self.argv[0],
                    remedy="run `make services`",
                ) from error
        self._run.register(self._process.pid, container=self.container, abrupt=self._abrupt)
        return self

    def wait_ready(self, ready: Callable[[], bool], *, deadline: float = 120.0) -> None:
        """Wait until `ready()`; ServiceError when the process ends or the deadline (s) passes."""
        limit = time.monotonic() + deadline
        while not ready():
            if not self.running:
                raise self._failure(f"ended with code {self._running_or_ended().returncode} before it was ready")
            if time.monotonic() > limit:
                raise self._failure(f"was not ready after {deadline:g} s")
            time.sleep(POLL)

    def stop(self, *, grace: float = 10.0) -> int:
        """SIGTERM, after `grace` seconds SIGKILL; returns the exit code. Does nothing if it ended before."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            self._signal(signal.SIGKILL if self._abrupt else signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a frozen process takes SIGTERM only once it goes on
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        return self._ended(process)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        process = self._running()
        self._signal(signal.SIGKILL)
        self._ended(process)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, from when this returns."""
        process = self._running()
        self._signal(signal.SIGSTOP)
        if not self.container:  # a thread on another core may still be answering
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT: go on after `pause`."""
        self._running()
        self._signal(signal.SIGCONT)

    def leave(self) -> None:
        """Leave the process running until the end of the run."""
        self._running().leave()

    def log_tail(self, lines: int = LOG_TAIL) -> str:
        """Last lines of what the server printed."""
        return log_tail(self.log, lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if self.container and number in CONTAINER_VERBS:  # the engine's client passes on SIGTERM only
            subprocess.run(["docker", CONTAINER_VERBS[number], self.container], capture_output=True, check=False)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._running_or_ended().pid, number)

    def _ended(self, process: Process) -> int:
        code = process.wait()
        self._run.forget(process.pid)
        return code

    def _running(self) -> Process:
        process = self._process
        if process is None or process.poll() is not None:
            raise self._failure("does not run")
        return process

    def _running_or_ended(self) -> Process:
        if self._process is None:
            raise self._failure("was never started")
        return self._process

    def _failure(self, what: str) -> ServiceError:
        return ServiceError(f"{self.name} {what}", where=str(self.log), remedy=f"its last lines:\n{self.log_tail()}")


def log_tail(log: Path, lines: int = LOG_TAIL) -> str:
    """Last lines of a log file; empty when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def listening(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def python_module(module: str, *arguments: str) -> list[str]:
    """Command line that runs a module of this project in a process of its own, wherever it is installed."""
    root = str(Path(__file__).resolve().parents[2])
    run = f"runpy.run_module({module!r}, alter_sys=True, run_name='__main__')"
    start = f"import runpy, sys; sys.path.insert(0, {root!r}); {run}"
    return [sys.executable, "-c", start, *arguments]
