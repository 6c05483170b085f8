"""One run of tests and everything it started: folder, ports, processes, shared services.

The folder is common to all workers of the run. A service that tests share is started by the first worker
that asks for it and lives until the run is over; a service of one test ends with that test. Whatever is
left is ended by the janitor, which notices the end of the run even if that was a SIGKILL.

It starts no service itself and does not know what the services are.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from simulator.testing import janitor
from simulator.testing.errors import ServiceError

RUN_VARIABLE: Final = "GUARDIAN_TEST_RUN"
"""Environment variable: folder of the run that this process belongs to."""

PORTS: Final = range(20_000, 32_000)
"""Below the kernel's range for outgoing connections: no client takes a port before its server does."""


class Process(subprocess.Popen[bytes]):
    """A process that may be left running on purpose: then nobody here waits for its end, and none is told to."""

    _left = False

    def leave(self) -> None:
        """Leave it to the janitor; without this, it is told as forgotten when it is collected."""
        self._left = True

    def __del__(self) -> None:
        if not self._left:
            super().__del__()


class ServiceRun:
    """Owner (`open`) or member (`join`) of a run. Only the owner's end ends the run."""

    def __init__(self, folder: Path, *, alive: int | None) -> None:
        self.folder = folder
        self._alive = alive  # file descriptor of the owner's lock; None for a member
        self._lock = threading.Lock()

    @classmethod
    def open(cls) -> Self:
        """Begin a run of its own, in a new temporary folder."""
        folder = Path(tempfile.mkdtemp(prefix="guardian-"))
        for name in ("pids", "ports", "shared"):
            (folder / name).mkdir()
        alive = os.open(folder / "alive.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(alive, fcntl.LOCK_EX)
        return cls(folder, alive=alive)

    @classmethod
    def join(cls, folder: Path) -> Self:
        """Take part in a run that another process owns."""
        if not (folder / "alive.lock").exists():
            raise ServiceError(
                f"there is no run of services in {folder}",
                where=RUN_VARIABLE,
                remedy="unset the variable; a run of its own is begun then",
            )
        return cls(folder, alive=None)

    def keep_logs(self) -> None:
        """Let the logs stay when the run ends."""
        (self.folder / janitor.KEEP_LOGS).touch()

    @property
    def keeps_logs(self) -> bool:
        return (self.folder / janitor.KEEP_LOGS).exists()

    def close(self) -> None:
        """End the run and everything in it; returns when nothing is left (members: does nothing)."""
        if self._alive is None:
            return
        os.close(self._alive)
        self._alive = None
        janitor.main(self.folder)  # the janitor process may be as fast: both do the same, harmlessly

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def register(self, pid: int, *, container: str = "", abrupt: bool = False) -> None:
        """Have the process ended with the run at the latest; abrupt: by SIGKILL at once."""
        self._start_janitor()
        janitor.register(self.folder, pid, container=container, abrupt=abrupt)

    def forget(self, pid: int) -> None:
        """Take back `register`, after the process ended."""
        (self.folder / "pids" / str(pid)).unlink(missing_ok=True)

    def workdir(self, name: str) -> Path:
        """Make a new folder for one server; short, since socket paths may have 107 characters."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def port(self) -> int:
        """Choose a free loopback port that no other part of this run was given."""
        for port in random.SystemRandom().sample(PORTS, 400):
            if _is_free(port) and self._claim(port):
                return port
        raise ServiceError(
            f"no free port in {PORTS.start}..{PORTS.stop - 1}",
            where="loopback",
            remedy="end other test runs on this machine (`ss -ltn` shows who listens)",
        )

    def shared(self, name: str, start: Callable[[Path], Mapping[str, str]]) -> dict[str, str]:
        """Description of the shared service `name`; the first caller starts it in the folder it is given.

        A start that failed is not tried again by the other workers: they fail with the same text.
        """
        folder = self.folder / "shared" / name
        folder.mkdir(parents=True, exist_ok=True)
        description = folder / "service.json"
        with exclusive(folder / "start.lock"):
            if not description.exists():
                description.write_text(json.dumps(_attempt(start, folder)))
        found: dict[str, str] = json.loads(description.read_text())
        if "error" in found:
            raise ServiceError(found["error"], where=found["where"], remedy=found["remedy"])
        return found

    def _start_janitor(self) -> None:
        with self._lock, exclusive(self.folder / "janitor.lock"):
            marker = self.folder / "janitor.pid"
            if marker.exists():
                return
            process = Process(
                [sys.executable, "-I", "-S", str(Path(janitor.__file__).resolve()), str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            process.leave()
            marker.write_text(str(process.pid))

    def _claim(self, port: int) -> bool:
        try:
            (self.folder / "ports" / str(port)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@contextlib.contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file; waits for whoever has it. Freed by the kernel if this process dies.

    waiting: called once if somebody else has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def current_run() -> Iterator[ServiceRun]:
    """Join the run named by the environment, else own one until the block ends."""
    folder = os.environ.get(RUN_VARIABLE)
    if folder:
        yield ServiceRun.join(Path(folder))
        return
    with ServiceRun.open() as run:
        yield run


def _attempt(start: Callable[[Path], Mapping[str, str]], folder: Path) -> Mapping[str, str]:
    try:
        return start(folder)
    except ServiceError as error:
        return {"error": error.what, "where": error.where, "remedy": error.remedy}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
