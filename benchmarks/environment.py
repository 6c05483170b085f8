"""On what machine and at what commit a figure was measured: no host names, no paths, no user names.

It describes; whether two machines may be compared is for the reader of the figures.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parent.parent
CODE_SUFFIXES: Final = frozenset({".json", ".py", ".yaml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a reader needs to judge a figure by; load is that of the last minute, in processes."""

    cpu: str
    cores: int
    memory_gib: float
    load: float
    system: str
    python: str
    numpy: str


def machine() -> Machine:
    """The machine this process runs on, now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        load=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        numpy=np.__version__,
    )


def _cpu() -> str:
    """The processor's own name; its architecture where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.machine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The commit that is checked out; dirty: tracked files differ from it."""

    hash: str
    dirty: bool


def commit() -> Commit:
    """The commit of this checkout. Raises CalledProcessError outside a git repository."""
    return Commit(hash=_git("rev-parse", "HEAD"), dirty=bool(_git("status", "--porcelain", "-uno")))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def digest(sources: Iterable[str], *, root: Path = ROOT) -> str:
    """SHA-256 over names and content of the code in these files and folders, relative to `root`.

    Raises FileNotFoundError for a source that is not there.
    """
    state = hashlib.sha256()
    for source in sorted(sources):
        place = root / source
        if not place.exists():
            raise FileNotFoundError(f"source {source!r} is not in the repository")
        files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
        for file in files:
            if file.suffix in CODE_SUFFIXES:
                state.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode())
                state.update(file.read_bytes())
    return state.hexdigest()
