"""The SQLite journal beyond the contract: what the disk does to it, and what it says then."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from guardian.adapters.journal.audit import export, verify
from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.core.model import EventRef, Instant, Seconds
from guardian.errors import JournalError
from guardian.ports import Row


def rows(*bodies: str) -> list[Row]:
    """Rows with one event each, named like its body."""
    return [
        Row(at=Instant(1.0), rollout="shop-1", event=EventRef(source="ci", id=body), body=f'{{"n":"{body}"}}'.encode())
        for body in bodies
    ]


async def stored(path: Path, *bodies: str) -> Path:
    """A closed journal that holds these rows."""
    journal = SqliteJournal(path)
    await journal.append(rows(*bodies))
    await journal.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.sqlite"


def tamper(path: Path, statement: str) -> None:
    """Change the file behind the journal's back."""
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


async def troubled(journal: SqliteJournal) -> None:
    """Return when the writer says that it cannot store."""
    async with asyncio.timeout(10):
        while journal.trouble is None:  # noqa: ASYNC110  set by a thread
            await asyncio.sleep(0.01)


async def test_a_journal_opened_again_goes_on_where_it_was(path: Path) -> None:
    """Numbers and hash chain do not begin anew after a restart."""
    await stored(path, "a", "b")
    journal = SqliteJournal(path)
    assert await journal.append(rows("c")) == 3
    await journal.close()
    assert verify(path).rows == 3


async def test_notes_are_durable_with_their_rows(path: Path) -> None:
    """Evidence and the verdict that rests on it are stored together or not at all."""
    journal = SqliteJournal(path)
    await journal.append(rows("a"), notes={"evidence/shop-1": b"blob"})
    await journal.close()
    again = SqliteJournal(path)
    assert dict(again.notes("evidence/")) == {"evidence/shop-1": b"blob"}
    await again.close()


async def test_a_changed_row_is_found(path: Path) -> None:
    """An audit that can be edited is none."""
    await stored(path, "a", "b", "c")
    tamper(path, "UPDATE journal SET body = '{}' WHERE seq = 2")
    with pytest.raises(JournalError, match="row 2 is not what was written"):
        verify(path)


async def test_a_row_taken_out_of_the_middle_is_found(path: Path) -> None:
    """The chain has no gap."""
    await stored(path, "a", "b", "c")
    tamper(path, "DELETE FROM journal WHERE seq = 2")
    with pytest.raises(JournalError, match="row 2 is missing"):
        verify(path)


async def test_rows_cut_off_at_the_end_are_found(path: Path) -> None:
    """Verify names them, and the daemon does not go on as if they had never been."""
    await stored(path, "a", "b", "c")
    tamper(path, "DELETE FROM journal WHERE seq > 1")
    with pytest.raises(JournalError, match="row 2 is missing: 3 rows"):
        verify(path)
    with pytest.raises(JournalError, match="ends with row 1"):
        SqliteJournal(path)


async def test_export_writes_one_line_a_row(path: Path) -> None:
    """The audit is readable without this program."""
    await stored(path, "a", "b")
    first, second = export(path)
    assert first == b'{"seq":1,"at":1.0,"rollout":"shop-1","source":"ci","id":"a","n":"a"}\n'
    assert b'"seq":2' in second
    assert list(export(path, after=1)) == [second]


async def test_a_journal_can_be_verified_while_it_is_written(path: Path) -> None:
    """An audit needs no downtime."""
    journal = SqliteJournal(path)
    await journal.append(rows("a"))
    assert verify(path).rows == 1
    await journal.append(rows("b"))
    assert verify(path).rows == 2
    await journal.close()


async def test_a_newer_journal_is_refused(path: Path) -> None:
    """An older program would misread what a newer one wrote; it says so and touches nothing."""
    await stored(path, "a")
    tamper(path, "UPDATE meta SET value = 99 WHERE name = 'version'")
    with pytest.raises(JournalError, match="newer slo-guardian") as caught:
        SqliteJournal(path)
    assert "start the newer version" in caught.value.remedy


def test_another_database_is_refused(path: Path) -> None:
    """Naming the wrong file must not mix two programs' data."""
    tamper(path, "CREATE TABLE theirs (x)")
    with pytest.raises(JournalError, match="no journal of the guardian"):
        SqliteJournal(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """A damaged file is named with the remedy, not with a traceback."""
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(JournalError, match="not a database"):
        SqliteJournal(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The data folder is a file here: nothing can be created below it."""
    (tmp_path / "data").write_text("")
    with pytest.raises(JournalError, match="data"):
        SqliteJournal(tmp_path / "data" / "journal.sqlite")


async def test_a_locked_journal_waits_and_says_so(path: Path) -> None:
    """Nothing is acknowledged while somebody else holds the file; afterwards all of it is stored, in order."""
    journal = SqliteJournal(path, busy=Seconds(0.05))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waiting = journal.append(rows("a"))
    await troubled(journal)
    later = journal.append(rows("b"))
    assert not waiting.done()
    assert "locked" in str(journal.trouble)
    other.execute("ROLLBACK")
    other.close()
    assert (await waiting, await later) == (1, 2)
    assert journal.trouble is None
    await journal.close()


async def test_a_full_disk_waits_and_says_so(path: Path) -> None:
    """No room: nothing is acknowledged, the text says what to do, and closing refuses what still waits."""
    journal = SqliteJournal(path, most_bytes=64 * 1024)
    await journal.append(rows("a"))
    waiting = journal.append([Row(at=Instant(1.0), rollout="", event=None, body=b'"' + b"x" * 100_000 + b'"')])
    await troubled(journal)
    assert not waiting.done()
    assert "free space" in str(journal.trouble)
    await journal.close()
    with pytest.raises(JournalError, match="full"):
        await waiting
    assert verify(path).rows == 1


async def test_a_file_that_breaks_under_it_ends_it(path: Path) -> None:
    """What cannot pass is not tried for ever: every waiter is told, and so is everybody after."""
    journal = SqliteJournal(path)
    await journal.append(rows("a"))
    tamper(path, "DROP TABLE note")
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.append((), notes={"cursor/kafka": b"1"})
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.append(rows("b"))
    await journal.close()


async def test_appends_that_come_together_are_committed_together(path: Path) -> None:
    """Group commit: the disk is asked once for many, else 500 events a second would wait for 500 syncs."""
    journal = SqliteJournal(path)
    commits: list[str] = []
    journal._write.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    futures = [journal.append(rows(str(number))) for number in range(500)]
    await futures[-1]
    assert len(commits) < 50
    await journal.close()
