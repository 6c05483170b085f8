"""The real command, twice over: by two processes, killed on the way and resumed; by two Dask workers, in one go.

Each search keeps what it played in a file, so a benchmark that was stopped goes on where it was. Judges nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.environment import ROOT

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is tuned; policy, space and scenarios are paths below root, the folder the command is typed in."""

    root: Path
    policy: Path
    space: Path
    scenarios: Path


_GAME: Final = Path("examples/game")
GAME: Final = Asked(root=ROOT, policy=_GAME / "policy.yaml", space=_GAME / "space.yaml", scenarios=_GAME / "scenarios")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is searched, as the options of the same names; jobs: processes, and Dask workers."""

    trials: int
    seeds: int
    fresh: int
    jobs: int = 2


class Walls:
    """Seconds that each part took, over all sessions, and how many tasks were kept when the search was killed."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def put(self, name: str, value: float) -> None:
        """Keep a value."""
        self.known[name] = round(value, 1)
        self.file.write_text(json.dumps(self.known), encoding="utf-8")

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what is done inside, also where it is stopped."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.put(name, self.known.get(name, 0.0) + time.monotonic() - began)


def command(asked: Asked, size: Size, state: Path, *more: str) -> list[str]:
    """Return the search as a person would type it."""
    return [
        sys.executable, "-m", "guardian", "tune", str(asked.policy), "--space", str(asked.space),
        "--scenarios", str(asked.scenarios), "--trials", str(size.trials), "--seeds", str(size.seeds),
        "--fresh", str(size.fresh), "--state", str(state), "--output", "json", *more,
    ]  # fmt: skip


def by_processes(asked: Asked, size: Size, folder: Path, walls: Walls) -> tuple[Json, Path]:
    """Search by processes of this machine, once killed on the way; returns what was found, and the file of its runs."""
    state = folder / "processes.jsonl"
    typed = command(asked, size, state, "--jobs", str(size.jobs), "--report", str(folder / "report.html"))
    with walls.timed("processes"):
        if "killed_after" not in walls.known:
            searched = size.trials * sum(1 for _ in (asked.root / asked.scenarios).iterdir())
            walls.put("killed_after", killed(typed, asked.root, state, after=searched // 2))
        return _found(typed, asked.root), state


def by_dask(asked: Asked, size: Size, folder: Path, walls: Walls) -> Json:
    """Search by Dask workers, from nothing; returns what was found."""
    with walls.timed("dask"), dask_workers(size.jobs) as address:
        return _found(command(asked, size, folder / "dask.jsonl", "--scheduler", address), asked.root)


def killed(typed: list[str], root: Path, state: Path, *, after: int) -> int:
    """Start a search and kill it (SIGKILL) when `after` tasks are kept; returns how many were kept.

    Raises RuntimeError where it ended by itself: there was nothing to kill.
    """
    with subprocess.Popen(typed, cwd=root, stdout=subprocess.DEVNULL) as search:
        while search.poll() is None and kept(state) < after:
            time.sleep(0.02)
        if search.poll() is not None:
            raise RuntimeError(f"the search ended before it could be killed, with exit code {search.returncode}")
        search.kill()
    return kept(state)


def kept(state: Path) -> int:
    """How many tasks a file of runs holds; its first line says what is searched."""
    return max(state.read_bytes().count(b"\n") - 1, 0) if state.is_file() else 0


def _found(typed: list[str], root: Path) -> Json:
    done = subprocess.run(typed, cwd=root, stdout=subprocess.PIPE, check=True)
    found: Json = json.loads(done.stdout)
    return found


@contextmanager
def dask_workers(number: int) -> Iterator[str]:
    """Yield the address of a Dask scheduler on this machine whose workers are processes of their own."""
    from distributed import LocalCluster  # noqa: PLC0415  an extra

    anywhere = "127.0.0.1:0"  # its web servers would else listen everywhere, on a port that may be taken
    with LocalCluster(
        n_workers=number, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=anywhere,
        worker_dashboard_address=anywhere,
    ) as dask:  # fmt: skip
        yield dask.scheduler_address


def patched(asked: Asked, patch: str) -> str:
    """Return the policy after the patch was applied, as its author would do it."""
    with TemporaryDirectory() as name:
        copy = Path(name) / asked.policy
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((asked.root / asked.policy).read_bytes())
        if patch:
            subprocess.run(["git", "apply", "-p1"], cwd=name, input=patch.encode(), check=True)
        return copy.read_text(encoding="utf-8")
