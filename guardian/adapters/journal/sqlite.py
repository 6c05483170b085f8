"""A journal in one SQLite file: WAL, synchronous FULL, one writer thread that commits in groups.

Each row carries a hash over itself and the row before it, so that a row changed, lost or slipped in is found
(guardian.adapters.journal.audit). It does not know what the rows say.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from guardian.adapters._chain import CONTENT_VERSION, GENESIS, link, opened, translated
from guardian.core.model import EventRef, Seconds
from guardian.errors import JournalError
from guardian.ports import Row

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY, at REAL NOT NULL, rollout TEXT NOT NULL, source TEXT, event TEXT,
  body TEXT NOT NULL, chain BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_event ON journal (source, event) WHERE source IS NOT NULL;
CREATE INDEX journal_rollout ON journal (rollout);
CREATE TABLE note (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
_MOST_ROWS: Final = 2_000  # of one transaction: some 50 ms of writing
_GATHER: Final = Seconds(0.008)
"""Commits begin at least this far apart: what comes quicker shares one. After a quiet moment nothing waits."""
_CHUNKS: Final = (256, 64, 16, 4, 1)
"""Rows of one INSERT. A statement gives the interpreter lock away once, however many rows it has."""
_PASSING: Final = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL"})
"""Primary codes after which the transaction is surely undone and the next try may succeed."""
_BUSY: Final = Seconds(5.0)
_KNOWN: Final = """
SELECT j.source, j.event, j.seq FROM json_each(?) AS e
JOIN journal AS j ON j.source = e.value ->> 0 AND j.event = e.value ->> 1 AND j.source IS NOT NULL
"""
_KNOWN_ONE: Final = "SELECT source, event, seq FROM journal WHERE source = ? AND event = ?"


@dataclass(frozen=True, slots=True)
class _Append:
    """One call of `append` on its way to the disk."""

    rows: Sequence[Row]
    notes: Mapping[str, bytes | None]
    future: Future[int]
    loop: AbstractEventLoop


class SqliteJournal:
    """Keeps the promise of guardian.ports.Journal. Called from one event loop; `read` from any thread."""

    def __init__(self, path: Path, *, busy: Seconds = _BUSY, most_bytes: int | None = None) -> None:
        """Open or create the journal.

        busy: how long one try waits for a lock held by somebody else. most_bytes: size of the file beyond
        which nothing is stored. Raises JournalError when the file is no journal, a newer one, cut at its
        end, or cannot be written.
        """
        self._path = path
        self._write = _writable(path, busy=busy, most_bytes=most_bytes)
        self._seq, self._chain = _head(self._write, path)
        self._look, self._read = opened(path, busy=busy), opened(path, busy=busy)
        self._reading = threading.Lock()
        self._queue: deque[_Append] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._began = -_GATHER
        self._broken: JournalError | None = None
        self._trouble: JournalError | None = None
        self._writer = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._writer.start()

    @property
    def trouble(self) -> JournalError | None:
        return self._broken or self._trouble

    def append(self, rows: Sequence[Row], *, notes: Mapping[str, bytes | None] = {}) -> Future[int]:
        loop = asyncio.get_running_loop()
        future: Future[int] = loop.create_future()
        with self._wake:
            refusal = self._broken or (_closed(self._path) if self._closing else None)
            if refusal is None:
                self._queue.append(_Append(rows, notes, future, loop))
                self._wake.notify()
        if refusal is not None:
            future.set_exception(refusal)
        return future

    def known(self, events: Sequence[EventRef]) -> Mapping[EventRef, int]:
        if not events:
            return {}
        odd = [event for event in events if "\0" in event.source or "\0" in event.id]  # SQLite's JSON ends at a zero
        wanted = msgspec.json.encode([(event.source, event.id) for event in events if event not in odd]).decode()
        with translated(self._path):
            found = self._look.execute(_KNOWN, (wanted,)).fetchall()
            for event in odd:
                found += self._look.execute(_KNOWN_ONE, (event.source, event.id)).fetchall()
        return {EventRef(source=source, id=name): seq for source, name, seq in found}

    def read(self, *, after: int = 0, limit: int = 1000) -> Sequence[Row]:
        return self._rows("seq > ? ORDER BY seq LIMIT ?", (after, limit))

    def history(self, rollout: str, *, limit: int = 1000) -> Sequence[Row]:
        newest = self._rows("rollout = ? ORDER BY seq DESC LIMIT ?", (rollout, limit))
        return newest[::-1]

    def _rows(self, which: str, values: tuple[Any, ...]) -> list[Row]:
        query = f"SELECT seq, at, rollout, source, event, body FROM journal WHERE {which}"  # noqa: S608  our own text
        with self._reading, translated(self._path):
            found = self._read.execute(query, values).fetchall()
        return [_row(*columns) for columns in found]

    def notes(self, prefix: str = "") -> Mapping[str, bytes]:
        query = "SELECT name, value FROM note WHERE substr(name, 1, ?) = ?"
        with self._reading, translated(self._path):
            return dict(self._read.execute(query, (len(prefix), prefix)).fetchall())

    async def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._writer.join)
        for connection in (self._look, self._read, self._write):
            connection.close()

    def _run(self) -> None:
        while group := self._take():
            self._store(group)

    def _take(self) -> list[_Append]:
        """Wait for work; return what one transaction shall hold, nothing when closing."""
        with self._wake:
            while not self._queue and not self._closing:
                self._wake.wait()
        time.sleep(max(0.0, self._began + _GATHER - time.monotonic()))
        self._began = time.monotonic()
        with self._wake:
            group: list[_Append] = []
            rows = 0
            while self._queue and rows < _MOST_ROWS:
                group.append(self._queue.popleft())
                rows += len(group[-1].rows)
            return group

    def _store(self, group: list[_Append]) -> None:
        """Commit the group, again and again while that may still succeed; then tell who waits."""
        while True:
            try:
                ends = self._commit(group)
            except sqlite3.Error as error:
                trouble = _trouble(error, self._path)
                if _passes(error) and self._pause(trouble):
                    continue
                self._give_up(group, trouble)
                return
            self._trouble = None
            _tell(group, ends)
            return

    def _commit(self, group: list[_Append]) -> list[int]:
        """Write one transaction; return the last seq of each append."""
        seq, chain = self._seq, self._chain
        values: list[tuple[Any, ...]] = []
        ends: list[int] = []
        for append in group:
            for row in append.rows:
                seq += 1
                columns = _columns(seq, row)
                chain = link(chain, columns)
                values.append((*columns, chain))
            ends.append(seq)
        notes = {name: value for append in group for name, value in append.notes.items()}
        try:
            self._execute(values, notes, seq, chain)
        except BaseException:
            with suppress(sqlite3.Error):
                self._write.execute("ROLLBACK")
            raise
        self._seq, self._chain = seq, chain
        return ends

    def _execute(
        self, values: list[tuple[Any, ...]], notes: Mapping[str, bytes | None], seq: int, chain: bytes
    ) -> None:
        execute = self._write.execute
        execute("BEGIN IMMEDIATE")
        for part in _chunks(values):
            marks = ",".join(["(?,?,?,?,?,?,?)"] * len(part))
            execute(f"INSERT INTO journal VALUES {marks}", [value for row in part for value in row])  # noqa: S608
        for name, value in notes.items():
            if value is None:
                execute("DELETE FROM note WHERE name = ?", (name,))
            else:
                execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value))
        if values:
            self._write.executemany("UPDATE meta SET value = ? WHERE name = ?", ((seq, "seq"), (chain, "chain")))
        execute("COMMIT")

    def _pause(self, trouble: JournalError) -> bool:
        """Say what is wrong and wait a moment; False when it is time to close."""
        self._trouble = trouble
        with self._wake:
            self._wake.wait_for(lambda: self._closing, timeout=0.25)
            return not self._closing

    def _give_up(self, group: list[_Append], trouble: JournalError) -> None:
        with self._wake:
            self._broken = trouble
            waiting = [*group, *self._queue]
            self._queue.clear()
        _tell(waiting, trouble)


def _tell(group: list[_Append], outcome: list[int] | JournalError) -> None:
    """End the futures of a group, in order, in one visit to their loop."""

    def end() -> None:
        for index, append in enumerate(group):
            if append.future.done():
                continue
            if isinstance(outcome, JournalError):
                append.future.set_exception(outcome)
            else:
                append.future.set_result(outcome[index])

    with suppress(RuntimeError):  # the loop is gone, and with it everybody who waited
        group[0].loop.call_soon_threadsafe(end)


def _columns(seq: int, row: Row) -> tuple[int, float, str, str | None, str | None, str]:
    source, name = (row.event.source, row.event.id) if row.event else (None, None)
    return seq, row.at, row.rollout, source, name, row.body.decode()


def _row(seq: int, at: float, rollout: str, source: str | None, name: str | None, body: str) -> Row:
    event = None if source is None or name is None else EventRef(source=source, id=name)
    return Row(seq=seq, at=at, rollout=rollout, event=event, body=body.encode())  # type: ignore[arg-type]


def _chunks(values: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    start = 0
    for size in _CHUNKS:
        while len(values) - start >= size:
            yield values[start : start + size]
            start += size


def _passes(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return any(name == code or name.startswith(f"{code}_") for code in _PASSING)


def _trouble(error: sqlite3.Error, path: Path) -> JournalError:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    remedies = {
        "SQLITE_FULL": "free space on its disk; what waits is written as soon as there is room",
        "SQLITE_BUSY": "end the other program that has the journal open for writing",
        "SQLITE_LOCKED": "end the other program that has the journal open for writing",
    }
    remedy = next((text for code, text in remedies.items() if name.startswith(code)), None)
    fallback = "check disk and permissions, run `guardian journal verify`, then start the guardian again"
    return JournalError(f"cannot be written: {error} ({name})", where=str(path), remedy=remedy or fallback)


def _closed(path: Path) -> JournalError:
    return JournalError("is closed", where=str(path), remedy="the guardian is stopping; try again later")


def _writable(path: Path, *, busy: Seconds, most_bytes: int | None) -> sqlite3.Connection:
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = opened(path, busy=busy, writable=True)
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            for statement in ("BEGIN IMMEDIATE;" + _SCHEMA).split(";"):
                connection.execute(statement)
            rows = (("version", CONTENT_VERSION), ("seq", 0), ("chain", GENESIS))
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            connection.execute("COMMIT")
        if most_bytes is not None:
            size = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {max(1, most_bytes // size)}")
        return connection


def _head(connection: sqlite3.Connection, path: Path) -> tuple[int, bytes]:
    """Return the last seq and its hash, as the table and the remembered head agree on them."""
    with translated(path):
        meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        last = connection.execute("SELECT seq, chain FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    stored = last or (0, GENESIS)
    if stored != (meta["seq"], meta["chain"]):
        raise JournalError(
            f"ends with row {stored[0]}, but row {meta['seq']} was the last one stored",
            where=str(path),
            remedy="it was changed from outside: restore a copy; `guardian journal verify` says more",
        )
    return stored
