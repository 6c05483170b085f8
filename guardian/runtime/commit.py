"""From decisions to durable rows: what is journaled together, who is told when it is durable, what acts then.

Law: journal, then act. The one exception is the safe direction: while the journal cannot write, effects of
a rollback that wait for it are let go; what they did is read back and journaled later, or found after a
restart.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from guardian.core.effects import Effect
from guardian.core.engine import Decision
from guardian.core.facts import Fact, Journaled
from guardian.core.model import EventRef, Instant, Phase, RolloutId
from guardian.core.records import Record
from guardian.core.rollout import Rollout
from guardian.errors import CommandError, JournalError
from guardian.ports import Journal, Row
from guardian.runtime.feed import Decided, Feed
from guardian.runtime.repeats import Repeats
from guardian.wire.entry import Entry, encode_entry

_LOOK_UP: Final = 0.25  # seconds


@dataclass(slots=True, eq=False)
class Batch:
    """Decisions that become durable together. first: seq of the first row once they are; then: called at that.

    after: the rollout right after each of `records`. refusals: why orders could not be carried out, by the row that
    holds them.
    """

    rows: list[Row] = field(default_factory=list)
    records: list[tuple[Record, ...]] = field(default_factory=list)
    after: list[tuple[Rollout | None, ...]] = field(default_factory=list)
    effects: list[tuple[RolloutId, Effect]] = field(default_factory=list)
    notes: dict[str, bytes | None] = field(default_factory=dict)
    then: list[Callable[[], None]] = field(default_factory=list)
    refusals: dict[int, CommandError] = field(default_factory=dict)
    first: int = 0

    def add(self, fact: Fact, decision: Decision, now: Instant, *, after: Sequence[Rollout | None]) -> int:
        """Add a decision: one row for each rollout in turn, the fact with the first; return the index of that one.

        after: the rollout right after each record of the decision.
        """
        first, told = len(self.rows), 0
        self.effects += decision.effects
        journaled = fact if isinstance(fact, Journaled) else None
        parts = list(by_rollout(decision.records))
        if journaled is not None and not parts:
            parts = [(RolloutId(getattr(fact, "rollout", "")), ())]
        for rollout, records in parts:
            body = encode_entry(Entry(fact=journaled, records=records))
            event = event_of(journaled)
            self.rows.append(Row(at=now, rollout=rollout, event=event, body=body))
            self.records.append(records)
            self.after.append(tuple(after[told : told + len(records)]))
            told += len(records)
            journaled = None
        return first


def event_of(fact: Fact | None) -> EventRef | None:
    """Return the identity that makes a repeat of the fact harmless; None for facts that have none."""
    return getattr(fact, "event", None)


def by_rollout(records: Sequence[Record]) -> Iterator[tuple[RolloutId, tuple[Record, ...]]]:
    """Yield records in their order, cut where the rollout changes; a record of none goes with what follows it."""
    part: list[Record] = []
    about = ""
    for record in records:
        name = getattr(record, "rollout", None) or ""
        if about and name != about:
            yield RolloutId(about), tuple(part)
            part, about = [], ""
        part.append(record)
        about = about or name
    if part:
        yield RolloutId(about), tuple(part)


class Committer:
    """Appends batches in order and acts when they are durable.

    in_flight: where events stand that are on their way to the disk, entered by whoever concludes them. repeats: events
    that are durable.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        feed: Feed,
        dispatch: Callable[[RolloutId, Effect], None],
        known: Callable[[RolloutId], Rollout | None],
        durable: Callable[[Sequence[Record]], None],
    ) -> None:
        self.in_flight: dict[EventRef, tuple[Batch, int]] = {}
        self.repeats = Repeats(journal)
        self._rows = 0
        self._room = asyncio.Event()
        self.failure: BaseException | None = None
        self._journal, self._feed = journal, feed
        self._dispatch, self._known, self._durable = dispatch, known, durable
        self._pending: deque[Batch] = deque()

    def commit(self, batch: Batch) -> None:
        """Send the batch on its way; what waits for it is told when it is durable, in the order of commits."""
        if not batch.rows and not batch.notes and not (batch.then and self._pending):
            self._act(batch)
            return
        self._pending.append(batch)
        self._rows += len(batch.rows)
        self._journal.append(batch.rows, notes=batch.notes).add_done_callback(partial(self._end, batch))

    def _end(self, batch: Batch, future: Future[int]) -> None:
        """The batch is durable, or the journal has given up.

        Durable ones end in the order of commits; one that is refused at once may overtake an older one that is stored.
        """
        self._pending.remove(batch)
        self._rows -= len(batch.rows)
        self._room.set()
        if future.cancelled() or future.exception() is not None:
            self.failure = future.exception() if not future.cancelled() else self.failure
            return
        batch.first = future.result() - len(batch.rows) + 1
        for seq, (records, after) in enumerate(zip(batch.records, batch.after, strict=True), start=batch.first):
            self._feed.push(Decided(seq, records, after))
        self._durable([record for records in batch.records for record in records])
        for seq, row in enumerate(batch.rows, start=batch.first):
            if row.event is not None:
                del self.in_flight[row.event]
                self.repeats.add(row.event, seq)
        self.repeats.trim()
        self._act(batch)

    def _act(self, batch: Batch) -> None:
        for rollout, effect in batch.effects:
            self._dispatch(rollout, effect)
        for then in batch.then:
            then()

    @property
    def trouble(self) -> JournalError | None:
        """What keeps the journal from storing just now."""
        return self._journal.trouble

    async def room(self, most: int, *, unless: Callable[[], bool] = lambda: False) -> None:
        """Return when at most so many rows are on their way to the disk (0: nothing at all is), or `unless` is true."""
        while (self._rows > most or (most == 0 and self._pending)) and not unless():
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_UP):
                    await self._room.wait()

    def release_rollbacks(self) -> None:
        """While the journal cannot write: let the effects of rollbacks go that wait for it."""
        for batch in self._pending:
            kept: list[tuple[RolloutId, Effect]] = []
            for rollout, effect in batch.effects:
                known = self._known(rollout)
                if known is not None and known.phase is Phase.ROLLING_BACK:
                    self._dispatch(rollout, effect)
                else:
                    kept.append((rollout, effect))
            batch.effects = kept
