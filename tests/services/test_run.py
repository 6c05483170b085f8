"""A run of services: what was started is shared, found again, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator.testing.errors import ServiceError
from simulator.testing.janitor import alive, started_at
from simulator.testing.process import Server, listening, python_module
from simulator.testing.run import RUN_VARIABLE, ServiceRun, current_run

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


def until_dead(pid: int, stamp: str) -> bool:
    """Whether the process is gone within ten seconds."""
    limit = time.monotonic() + 10
    while alive(pid, stamp) and time.monotonic() < limit:
        time.sleep(0.02)
    return not alive(pid, stamp)


def test_closing_a_run_ends_what_was_left_and_removes_its_folder() -> None:
    """Also what was frozen, and what ignores SIGTERM."""
    with ServiceRun.open() as run:
        servers = [Server(name, SLEEPER, folder=run.workdir(name), run=run).start() for name in ("a", "b")]
        servers[1].pause()
        stamps = {server.pid: started_at(server.pid) for server in servers}
    assert not any(alive(pid, stamp) for pid, stamp in stamps.items())
    assert not run.folder.exists()
    assert [server.stop() for server in servers] == [-signal.SIGTERM, -signal.SIGTERM]


def test_a_killed_run_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    """The janitor sees the kernel free the run's lock, which no SIGKILL can prevent."""
    program = f"""
import sys
from pathlib import Path
from simulator.testing.process import Server
from simulator.testing.run import ServiceRun
run = ServiceRun.open()
server = Server("left", {SLEEPER!r}, folder=run.workdir("left"), run=run).start()
Path({str(tmp_path / "out")!r}).write_text(f"{{server.pid}} {{run.folder}}")
print("started", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        pid, folder = (tmp_path / "out").read_text().split()
        stamp = started_at(int(pid))
        owner.kill()
    assert stamp
    assert until_dead(int(pid), stamp)
    limit = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < limit:
        time.sleep(0.02)
    assert not Path(folder).exists()


def test_what_is_left_to_the_run_is_not_told_as_forgotten() -> None:
    """A worker ends before the services that all share, and before the janitor: on purpose, so not a word of it."""
    program = f"""
from simulator.testing.process import Server
from simulator.testing.run import ServiceRun
run = ServiceRun.open()
Server("left", {SLEEPER!r}, folder=run.workdir("left"), run=run).start().leave()
"""
    argv = [sys.executable, "-W", "always::ResourceWarning", "-c", program]
    ended = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_a_server_that_nobody_ended_is_told() -> None:
    """Only what was left on purpose is passed over in silence."""
    program = f"""
from simulator.testing.process import Server
from simulator.testing.run import ServiceRun
run = ServiceRun.open()
Server("forgotten", {SLEEPER!r}, folder=run.workdir("forgotten"), run=run).start()
"""
    argv = [sys.executable, "-W", "always::ResourceWarning", "-c", program]
    ended = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert ended.stderr.count("ResourceWarning: subprocess") == 1


def test_a_server_that_ignores_sigterm_is_killed_after_the_grace(service_run: ServiceRun) -> None:
    """A test must end even where its service does not want to."""
    server = Server("deaf", DEAF, folder=service_run.workdir("deaf"), run=service_run).start()
    server.wait_ready(lambda: "deaf" in server.log_tail())
    assert server.stop(grace=0.2) == -signal.SIGKILL


def test_a_shared_service_is_started_once(service_run: ServiceRun) -> None:
    """Whoever asks later gets what the first one started."""
    starts: list[Path] = []

    def start(folder: Path) -> dict[str, str]:
        starts.append(folder)
        return {"address": "here"}

    assert service_run.shared("once", start) == service_run.shared("once", start) == {"address": "here"}
    assert len(starts) == 1


def test_a_shared_service_that_cannot_start_fails_the_same_way_for_all(service_run: ServiceRun) -> None:
    """Each worker says why, and none waits for another attempt."""
    attempts: list[Path] = []

    def fail(folder: Path) -> dict[str, str]:
        attempts.append(folder)
        raise ServiceError("it is not built", where="cache", remedy="run `make services`")

    for _ in range(2):
        with pytest.raises(ServiceError, match="cache: it is not built; run `make services`"):
            service_run.shared("broken", fail)
    assert len(attempts) == 1


def test_no_port_is_given_twice(service_run: ServiceRun) -> None:
    """Two services that start at once must not meet."""
    ports = [service_run.port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert not any(listening(port) for port in ports[:5])


def test_members_leave_the_run_to_its_owner(service_run: ServiceRun) -> None:
    """A worker that ends early must not take the others' broker with it."""
    member = ServiceRun.join(service_run.folder)
    member.close()
    assert service_run.folder.exists()


def test_without_a_run_the_block_owns_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Demos and benchmarks use the services without pytest."""
    monkeypatch.delenv(RUN_VARIABLE)
    with current_run() as run:
        assert run.folder.is_dir()
    assert not run.folder.exists()


def test_a_run_that_is_gone_cannot_be_joined(tmp_path: Path) -> None:
    """A variable left over in a shell is named as the cause."""
    with pytest.raises(ServiceError, match=rf"{RUN_VARIABLE}: there is no run .*unset the variable"):
        ServiceRun.join(tmp_path)


def test_logs_stay_where_they_are_asked_to() -> None:
    """After a failure they are what is left to look at; everything else goes."""
    run = ServiceRun.open()
    folder = run.workdir("talker")
    server = Server("talker", [sys.executable, "-c", "print('last words')"], folder=folder, run=run).start()
    (folder / "data").write_bytes(b"0" * 1000)
    with pytest.raises(ServiceError, match=r"(?s)ended with code 0 before it was ready.*last words"):
        server.wait_ready(lambda: False)
    server.stop()
    run.keep_logs()
    run.close()
    left = sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file())
    assert left == ["kept.log", f"{folder.name}/talker.log"]
    for path in sorted(run.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run.folder.rmdir()


def test_a_module_runs_in_a_process_wherever_the_project_lies(tmp_path: Path) -> None:
    """Pods and load generators start from any working directory."""
    argv = python_module("simulator.testing.services", "--help")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ})
    assert "prepare" in done.stdout
