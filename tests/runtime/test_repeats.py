"""Repeats are told what the first one was told, from memory or from the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from guardian.adapters.journal.memory import MemoryJournal
from guardian.core.deploys import rollout_id
from guardian.core.model import EventRef
from guardian.ports import Receipt, Row
from guardian.runtime import repeats
from guardian.runtime.repeats import Repeats
from tests.builders import PLACE, T0, requested


class CountedJournal(MemoryJournal):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[EventRef] = []

    def known(self, events: Sequence[EventRef]) -> Mapping[EventRef, int]:
        self.asked += events
        return super().known(events)


def _row(name: str) -> Row:
    return Row(at=T0, rollout="", event=EventRef(source="ci/shop", id=name), body=b"{}")


async def test_a_repeat_is_told_the_same_from_memory_and_from_the_journal() -> None:
    """A restart empties the memory, not the journal."""
    journal, fact = CountedJournal(), requested("2.1.0")
    await journal.append([_row("other"), _row("2.1.0")])
    told = Receipt(seq=2, new=False, rollout=rollout_id(PLACE.service, fact.event))
    found, remembered = Repeats(journal), Repeats(journal)
    found.recall([fact.event])
    remembered.add(fact.event, 2)
    assert [found.of(fact, fact.event), remembered.of(fact, fact.event)] == [told, told]
    assert found.of(fact, fact.event) == told  # asked again


async def test_the_journal_is_asked_only_about_what_is_not_remembered() -> None:
    """Most of what a broker gives again is recent; a query for each would cost more than all else of a repeat."""
    journal = CountedJournal()
    known, unknown = requested("2.1.0").event, requested("2.2.0").event
    repeated = Repeats(journal)
    repeated.add(known, 1)
    repeated.recall([known, unknown])
    repeated.recall([known])
    assert journal.asked == [unknown]
    assert repeated.of(requested("2.2.0"), unknown) is None


async def test_what_is_forgotten_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; the oldest goes first."""
    monkeypatch.setattr(repeats, "REMEMBERED", 2)
    journal = CountedJournal()
    facts = [requested(f"2.{number}.0") for number in range(4)]
    await journal.append([_row(fact.revision) for fact in facts])
    repeated = Repeats(journal)
    for seq, fact in enumerate(facts, start=1):
        repeated.add(fact.event, seq)
    repeated.trim()
    repeated.recall([fact.event for fact in facts])
    assert journal.asked == [facts[0].event, facts[1].event]
    receipts = [repeated.of(fact, fact.event) for fact in facts]
    assert [receipt.seq for receipt in receipts if receipt is not None] == [1, 2, 3, 4]


async def test_repeats_alone_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that is read again from its beginning brings nothing new, so that no row ever becomes durable."""
    monkeypatch.setattr(repeats, "REMEMBERED", 2)
    journal = CountedJournal()
    facts = [requested(f"2.{number}.0") for number in range(9)]
    await journal.append([_row(fact.revision) for fact in facts])
    repeated = Repeats(journal)
    for seq, fact in enumerate(facts, start=1):
        repeated.recall([fact.event])
        assert (receipt := repeated.of(fact, fact.event)) is not None
        assert receipt.seq == seq
    journal.asked.clear()
    repeated.recall([fact.event for fact in facts])
    assert journal.asked == [fact.event for fact in facts[:-2]]
