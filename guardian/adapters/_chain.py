"""What writer and auditor of the SQLite journal share: opening it, its hash chain, its errors."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from guardian.core import records
from guardian.core.model import Seconds
from guardian.errors import JournalError

CONTENT_VERSION: Final = records.VERSION

GENESIS: Final = bytes(32)
"""What stands before the first row."""
APPLICATION: Final = 0x534C4F47
"""SQLite application id of a journal: "SLOG"."""


def link(chain: bytes, columns: tuple[Any, ...]) -> bytes:
    """Return the hash of a row (seq, at, rollout, source, event, body), given that of the row before it."""
    return hashlib.sha256(chain + msgspec.json.encode(columns)).digest()


def opened(path: Path, *, busy: Seconds, writable: bool = False) -> sqlite3.Connection:
    """Return a connection in autocommit.

    Raises sqlite3.Error, or JournalError for what is no journal or a newer one.
    """
    connection = sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False)
    try:
        if writable and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
        _is_ours(connection, path)
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        else:
            connection.execute("PRAGMA query_only = 1")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_ours(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
        raise JournalError(
            "is a database, but no journal of the guardian",
            where=str(path),
            remedy="name another data folder",
        )
    if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").fetchone() == (0,):
        return
    found = connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    if found is not None and found[0] > CONTENT_VERSION:
        raise JournalError(
            f"was written by a newer slo-guardian (version {found[0]}; this one knows {CONTENT_VERSION})",
            where=str(path),
            remedy="start the newer version again, or move the folder away to begin with an empty journal",
        )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into JournalError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise JournalError(
            f"cannot be read: {error} ({name})",
            where=str(path),
            remedy="check disk and permissions; `guardian journal verify` names the first damaged row",
        ) from error
