"""What is fetched or built once for the real services, kept under ${XDG_CACHE_HOME:-~/.cache}/slo-guardian.

Each thing has a folder named after a digest of all that it was made from, and is put there whole, by
renaming; a folder that exists is complete. One process makes at a time, others wait.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from simulator.testing.errors import ServiceError
from simulator.testing.run import exclusive

Say = Callable[[str], None]
"""Tells the user one line of progress."""

KEPT: Final = 3
"""Versions of one thing that may lie side by side."""

BEAT: Final = 20.0
"""Seconds between two signs of life of a long step."""

TIMEOUT: Final = 3600.0
"""Seconds that one step (a download, a build) may take."""


def root() -> Path:
    """The cache folder; made when it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "slo-guardian"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(*parts: str | bytes) -> str:
    """Short digest of everything that a cached thing depends on."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(8) + raw)
    return whole.hexdigest()[:16]


def folder_of(name: str, key: str) -> Path:
    """Where the thing is, or will be."""
    return root() / f"{name}-{key}"


def ensure(name: str, key: str, make: Callable[[Path], object], *, say: Say) -> Path:
    """Folder of the thing; `make` fills an empty draft folder if there is none yet.

    The draft becomes the folder only when `make` returns, so that a broken download never looks complete.
    """
    folder = folder_of(name, key)
    if folder.exists():
        say(f"{name}: up to date ({folder})")
        return folder
    with exclusive(root() / f"{name}.lock", waiting=lambda: say(f"{name}: another process makes it, waiting")):
        if folder.exists():
            say(f"{name}: up to date ({folder})")
            return folder
        for broken in root().glob(f".{name}-*"):  # left by a process that was killed
            shutil.rmtree(broken, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root()))
        try:
            make(draft)
            draft.chmod(0o755)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _remove_old(name)
    say(f"{name}: done ({folder})")
    return folder


def _remove_old(name: str) -> None:
    """Keep the youngest few: other checkouts on this machine may use another version."""
    folders = sorted(root().glob(f"{name}-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in folders[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def step(
    argv: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    remedy: str = "",
    beat: Callable[[], None] | None = None,
) -> None:
    """Run one command to its end, output to the log; ServiceError with the log's end when it fails.

    beat: called every BEAT seconds meanwhile, to tell the user that it goes on.
    """
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        except FileNotFoundError as error:
            raise ServiceError(f"{argv[0]} is not installed", where="PATH", remedy=remedy) from error
        with process:
            try:
                code = _wait(process, beat)
            except BaseException:
                process.kill()
                raise
    if code != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ServiceError(f"`{' '.join(argv[:4])} ...` failed:\n{last}", where=str(cwd), remedy=remedy)


def _wait(process: subprocess.Popen[bytes], beat: Callable[[], None] | None) -> int:
    limit = time.monotonic() + TIMEOUT
    while True:
        try:
            return process.wait(BEAT)
        except subprocess.TimeoutExpired:
            if time.monotonic() > limit:
                raise ServiceError(f"no end after {TIMEOUT:g} s", where=str(process.args)) from None
            if beat is not None:
                beat()
