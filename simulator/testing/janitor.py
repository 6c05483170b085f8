"""Ends every server of one run of tests once that run is over, even if it was killed.

Run as a script with the run's folder as its argument. The run holds a lock on `alive.lock`; the kernel
frees it when the run ends, however it ends. Then the registered processes are ended (SIGTERM, after a grace
SIGKILL) and the folder is removed. Only the standard library is used, so that it costs little memory and
starts at once.

It does not decide which processes belong to a run: whoever starts one registers it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
KEEP_LOGS = "kept.log"  # marker file: leave *.log files, itself among them, and remove the rest


def started_at(pid: int) -> str:
    """Kernel's start time of the process, empty when it is gone (or a zombie) or the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def alive(pid: int, stamp: str) -> bool:
    """Whether this very process runs: a pid that was given to another process has another start time."""
    if Path("/proc/self/stat").exists():
        return bool(stamp) and started_at(pid) == stamp
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def register(folder: Path, pid: int, *, container: str, abrupt: bool) -> None:
    """Note a process to be ended. container: its name, or empty. abrupt: by SIGKILL, it ignores SIGTERM."""
    entry = {"stamp": started_at(pid), "container": container, "abrupt": abrupt}
    draft = folder / "pids" / f"{pid}.draft"
    draft.write_text(json.dumps(entry))
    draft.replace(folder / "pids" / str(pid))


def registered(folder: Path) -> dict[int, dict[str, Any]]:
    """Processes of the run: pid -> what `register` noted."""
    found: dict[int, dict[str, Any]] = {}
    for entry in (folder / "pids").glob("*"):
        with contextlib.suppress(OSError, ValueError):
            found[int(entry.name)] = json.loads(entry.read_text())
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Signal one process; it may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def end_all(folder: Path) -> None:
    """SIGTERM to all that still run, SIGKILL to those that are there after the grace."""
    servers = registered(folder)
    for pid, server in servers.items():
        if server["container"]:
            subprocess.run(["docker", "rm", "-f", server["container"]], capture_output=True, check=False)
        if alive(pid, server["stamp"]):
            send(pid, signal.SIGKILL if server["abrupt"] else signal.SIGTERM)
            send(pid, signal.SIGCONT)  # a stopped process takes SIGTERM only once it goes on
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and any(alive(pid, one["stamp"]) for pid, one in servers.items()):
        time.sleep(0.02)
    for pid, server in servers.items():
        if alive(pid, server["stamp"]):
            send(pid, signal.SIGKILL)


def remove(folder: Path) -> None:
    """Remove the folder, or everything but the logs where the run asked to keep them."""
    if not (folder / KEEP_LOGS).exists():
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.suffix != ".log":
                path.unlink()


def main(folder: Path) -> None:
    """Wait for the run's end, then clean up behind it."""
    with contextlib.suppress(OSError), (folder / "alive.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        end_all(folder)
        remove(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
