"""One daemon per data folder: a lock the operating system lets go of when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guardian.errors import JournalError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder. Raises JournalError when it cannot be written, or another daemon holds it."""
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(
            f"the data folder cannot be written: {error.strerror}",
            where=str(folder),
            remedy="name a folder of your own as 'data:' in guardian.yaml",
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise JournalError(
                f"another guardian (process {holder}) is using this data folder",
                where=str(folder),
                remedy="stop it first, or name another folder as 'data:' in guardian.yaml",
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
