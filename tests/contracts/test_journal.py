"""What every journal promises (guardian.ports.Journal), over each of them."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from guardian.adapters.journal.memory import MemoryJournal
from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.core.model import EventRef, Instant
from guardian.errors import JournalError
from guardian.ports import Journal, Row


def ref(name: str, source: str = "ci") -> EventRef:
    """Identity of an event."""
    return EventRef(source=source, id=name)


def row(body: str = "{}", *, event: EventRef | None = None, rollout: str = "", at: float = 1.5) -> Row:
    """One row; what is left out does not matter to the test."""
    return Row(at=Instant(at), rollout=rollout, event=event, body=body.encode())


def _note(ended: list[int], number: int, _future: object) -> None:
    ended.append(number)


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    """Each journal there is, empty."""
    made: Journal = MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "j.sqlite")
    yield made
    await made.close()


async def test_rows_are_read_as_they_were_written(journal: Journal) -> None:
    """Nothing of a row is lost or changed on the way, text of any script included."""
    written = row('{"reason": "zurück 戻す"}', event=ref("a/1"), rollout="shop-1", at=1795251600.123456)
    await journal.append([written])
    (found,) = journal.read()
    assert (found.seq, found.at, found.rollout) == (1, written.at, "shop-1")
    assert (found.event, found.body) == (ref("a/1"), written.body)


async def test_numbers_follow_each_other_from_one(journal: Journal) -> None:
    """Readers keep their place by number, so there is no gap and no other order than that of the calls."""
    first = journal.append([row("1"), row("2")])
    second = journal.append([row("3")])
    assert (await first, await second) == (2, 3)
    assert [(one.seq, one.body) for one in journal.read()] == [(1, b"1"), (2, b"2"), (3, b"3")]


async def test_futures_end_in_the_order_of_their_calls(journal: Journal) -> None:
    """Acknowledgements and effects follow in order because the futures do."""
    ended: list[int] = []
    futures = [journal.append([row(str(number))]) for number in range(50)]
    for number, future in enumerate(futures):
        future.add_done_callback(partial(_note, ended, number))
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert ended == list(range(50))


async def test_an_empty_append_ends_after_those_before_it(journal: Journal) -> None:
    """A repeat of an event that is still on its way to the disk waits for it so."""
    journal.append([row("1")])
    assert await journal.append(()) == 1


async def test_reading_goes_on_after_a_number(journal: Journal) -> None:
    """A reader takes the journal in parts and misses nothing."""
    await journal.append([row(str(number)) for number in range(7)])
    assert [one.seq for one in journal.read(after=2, limit=3)] == [3, 4, 5]
    assert [one.seq for one in journal.read(after=5)] == [6, 7]
    assert journal.read(after=7) == []


async def test_only_events_that_are_stored_are_known(journal: Journal) -> None:
    """Source and id together are the identity; either alone is not."""
    await journal.append([row(event=ref("a")), row(event=ref("b", "other"))])
    asked = [ref("a"), ref("b"), ref("b", "other"), ref("c")]
    assert dict(journal.known(asked)) == {ref("a"): 1, ref("b", "other"): 2}
    assert dict(journal.known([])) == {}


async def test_an_event_is_never_stored_twice(journal: Journal) -> None:
    """The driver asks `known` first; should it err, the second row is refused and nothing of its call is stored."""
    await journal.append([row("1", event=ref("a"))])
    with pytest.raises(JournalError):
        await journal.append([row("2"), row("3", event=ref("a"))])
    assert [one.body for one in journal.read()] == [b"1"]


async def test_rows_without_an_event_may_repeat(journal: Journal) -> None:
    """Ends of effects and verdicts have no identity from outside."""
    await journal.append([row("1"), row("1")])
    assert len(journal.read()) == 2


async def test_a_rollout_has_its_own_history(journal: Journal) -> None:
    """Explaining one rollout does not read the whole journal."""
    await journal.append([row("1", rollout="a"), row("2", rollout="b"), row("3", rollout="a"), row("4", rollout="a")])
    assert [one.seq for one in journal.history("a")] == [1, 3, 4]
    assert [one.seq for one in journal.history("a", limit=2)] == [3, 4]
    assert journal.history("nobody") == []


async def test_notes_replace_each_other_and_go(journal: Journal) -> None:
    """Cursors and evidence keep only their newest state."""
    await journal.append((), notes={"cursor/kafka": b"1", "evidence/a": b"\x00\xff"})
    await journal.append([row()], notes={"cursor/kafka": b"2"})
    assert dict(journal.notes("cursor/")) == {"cursor/kafka": b"2"}
    await journal.append((), notes={"evidence/a": None, "evidence/never": None})
    assert dict(journal.notes()) == {"cursor/kafka": b"2"}


async def test_a_closed_journal_takes_nothing(journal: Journal) -> None:
    """What comes after the end is refused, not forgotten."""
    await journal.append([row("1")])
    await journal.close()
    with pytest.raises(JournalError, match="closed"):
        await journal.append([row("2")])


@pytest.mark.parametrize(
    "name", ["a\0b", "\0", "a", "a\0", "", '"', "\\", "1.0", "null", "é", "e\u0301", "\U0001f600", "\uffff"]
)
async def test_an_event_of_any_name_is_known_once_it_is_stored(journal: Journal, name: str) -> None:
    """A repeat that is not recognised would be stored twice, which ends the daemon."""
    await journal.append([row(event=ref(name, source=name)), row(event=ref("a", source="b"))])
    assert journal.known([ref(name, source=name), ref("other")]) == {ref(name, source=name): 1}
