"""When the SQLite journal commits: on a clock of the test's own, which stands still unless somebody sleeps on it."""

from __future__ import annotations

import asyncio
import threading
from asyncio import Future
from pathlib import Path

import pytest

from guardian.adapters.journal import sqlite
from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.core.model import Instant
from guardian.ports import Row

DEADLINE = 30.0
"""Longest wait for the writer's thread (s)."""


class Clock:
    """Stands for the module `time` in the journal. A sleep that lasts waits for `go`, then takes its time at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.asleep, self.go = threading.Event(), threading.Event()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds > 0.0:
            self.asleep.set()
            assert self.go.wait(DEADLINE)
            self.now += seconds


class Counting(SqliteJournal):
    """Remembers how many appends each commit had."""

    def __init__(self, path: Path) -> None:
        self.commits: list[int] = []
        super().__init__(path)

    def _commit(self, group: list[sqlite._Append]) -> list[int]:
        self.commits.append(len(group))
        return super()._commit(group)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the journal reads and sleeps on."""
    found = Clock()
    monkeypatch.setattr(sqlite, "time", found)
    return found


def one(journal: SqliteJournal) -> Future[int]:
    """Append a row."""
    return journal.append([Row(at=Instant(1.0), rollout="shop-1", event=None, body=b"{}")])


async def test_what_comes_in_quick_succession_shares_a_commit(clock: Clock, tmp_path: Path) -> None:
    """A commit is a flush to the disk; rows that come less than the gathering time after one wait for each other."""
    journal = Counting(tmp_path / "journal.sqlite")
    await one(journal)
    second = one(journal)
    assert await asyncio.to_thread(clock.asleep.wait, DEADLINE)
    others = [one(journal) for _ in range(3)]
    assert not any(append.done() for append in (second, *others))
    clock.go.set()
    assert await asyncio.gather(second, *others) == [2, 3, 4, 5]
    assert journal.commits == [1, 4]
    assert clock.slept == [0.0, pytest.approx(sqlite._GATHER)]
    await journal.close()


async def test_a_lone_row_after_a_quiet_moment_does_not_wait(clock: Clock, tmp_path: Path) -> None:
    """A rollback is not held up for company that does not come: the first row ever, and each after a pause."""
    journal = Counting(tmp_path / "journal.sqlite")
    for _ in range(3):
        await one(journal)
        clock.now += 2.0 * sqlite._GATHER
    assert journal.commits == [1, 1, 1]
    assert clock.slept == [0.0, 0.0, 0.0]
    await journal.close()


async def test_a_row_waits_for_what_is_left_of_the_gathering_time(clock: Clock, tmp_path: Path) -> None:
    """Commits begin that far apart; the time since the last one began counts."""
    journal = Counting(tmp_path / "journal.sqlite")
    clock.go.set()
    await one(journal)
    clock.now += 0.75 * sqlite._GATHER
    await one(journal)
    assert clock.slept == [0.0, pytest.approx(0.25 * sqlite._GATHER)]
    await journal.close()
