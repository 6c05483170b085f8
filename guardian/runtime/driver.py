"""The asyncio driver of the engine: waits, delivers, persists, hands out. Every conclusion is the engine's.

Facts from outside come in batches; repeats are found before the engine sees them. While one
batch becomes durable the next is concluded, so that the disk and the engine work at the same time.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections import Counter
from functools import partial
from time import perf_counter
from typing import Final

import structlog

from guardian.core import records as r
from guardian.core.effects import PATIENCE, Measure
from guardian.core.engine import Decision, Engine
from guardian.core.facts import Fact, Woke
from guardian.core.model import Instant, RolloutId
from guardian.ports import Clock, Receipt
from guardian.runtime.checkpoints import Checkpoints
from guardian.runtime.collect import Collector
from guardian.runtime.commit import Batch, Committer, event_of
from guardian.runtime.health import Health
from guardian.runtime.inbox import BoundedInbox, Letter
from guardian.runtime.repeats import begun
from guardian.runtime.telemetry import Telemetry
from guardian.runtime.witness import WitnessedWorld

_log = structlog.get_logger(__name__)
_FACTS_AT_ONCE: Final = 64
"""Facts concluded before other tasks get their turn; some 5 ms."""
_ROWS_AHEAD: Final = 4_096
"""Rows the engine may be ahead of the disk before facts from outside wait."""
_WATCH: Final = 0.25
_KEPT_AT: Final = (r.Judged, r.StepBegan, r.Promoted)


class _Answer:
    """What the giver of one fact is told once all is durable: the row in `batch` that holds it."""

    __slots__ = ("batch", "index", "new", "note", "rollout")

    def __init__(self, *, new: bool, batch: Batch, index: int, rollout: RolloutId | None, note: str = "") -> None:
        self.new, self.batch, self.index, self.rollout, self.note = new, batch, index, rollout, note

    def receipt(self) -> Receipt:
        seq, refusal = self.batch.first + self.index, self.batch.refusals.get(self.index)
        return Receipt(seq=seq, new=self.new, rollout=self.rollout, refusal=refusal, note=self.note)


class Driver:
    """Drives one engine, whose world must be a WitnessedWorld, until cancelled."""

    def __init__(
        self,
        *,
        engine: Engine,
        inbox: BoundedInbox,
        committer: Committer,
        collector: Collector,
        clock: Clock,
        telemetry: Telemetry,
        health: Health,
        checkpoints: Checkpoints,
    ) -> None:
        if not isinstance(engine.world, WitnessedWorld):
            raise TypeError("the engine of a driver needs a WitnessedWorld")
        self._led_to = engine.world.taken
        self._engine, self._inbox, self._committer = engine, inbox, committer
        self._collector, self._clock, self._telemetry, self._health = collector, clock, telemetry, health
        self._checkpoints = checkpoints
        self._sleep: Task[None] | None = None
        self._armed: Instant | None = None

    async def run(self) -> None:
        """Conclude until cancelled. Raises JournalError, in a group, when the journal has given up."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(), name="intake")
            tasks.create_task(self._watch_journal(), name="journal-watch")
            while True:
                await self._until_due(tasks)
                await self._wake()

    async def settle(self) -> None:
        """Return when everything taken so far is durable, the evidence of open rollouts with it."""
        while not self._inbox.empty:  # noqa: ASYNC110  the other tasks empty it meanwhile
            await asyncio.sleep(0)
        self._commit(Batch(notes=self._checkpoints.all()))
        await self._committer.room(0)

    # ---- facts ----------------------------------------------------------------------------------------------

    async def _take(self) -> None:
        while True:
            own, letters = await self._inbox.take(_FACTS_AT_ONCE)
            self._conclude(own, letters)
            self._telemetry.waiting.set(self._inbox.waiting)
            await asyncio.sleep(0)
            # Ends of effects are concluded even then: a rollback's next attempt must not wait for the disk.
            await self._committer.room(_ROWS_AHEAD, unless=lambda: self._inbox.has_own)

    def _conclude(self, own: list[Fact], letters: list[Letter]) -> None:
        now, batch = self._clock.now(), Batch()
        for fact in own:
            self._conclude_one(fact, now, batch)
        self._committer.repeats.recall(
            [ref for letter in letters for ref in map(event_of, letter.facts) if ref is not None]
        )
        for letter in letters:
            answers = [self._answer(fact, now, batch) for fact in letter.facts]
            batch.then.append(partial(self._tell, letter, answers))
        self._commit(batch)

    def _conclude_one(self, fact: Fact, now: Instant, batch: Batch) -> tuple[Decision, int]:
        """Have the engine decide; add that to the batch, and return it with the index of its first row."""
        decision = self._engine.receive(fact, now)
        index = batch.add(fact, decision, now, after=self._led_to())
        for fault in decision.faults:
            _log.error("engine_fault", fact=type(fact).__name__, exc_info=fault)
            self._telemetry.faults.inc()
        return decision, index

    def _answer(self, fact: Fact, now: Instant, batch: Batch) -> Receipt | _Answer:
        """Conclude one fact, unless it is a repeat."""
        ref = event_of(fact)
        if ref is not None:
            if (known := self._committer.repeats.of(fact, ref)) is not None:
                return known
            earlier, index = self._committer.in_flight.get(ref, (None, 0))
            if earlier is not None:
                return _Answer(new=False, batch=earlier, index=index, rollout=begun(fact, ref))
        decision, index = self._conclude_one(fact, now, batch)
        if decision.refusal is not None:
            batch.refusals[index] = decision.refusal
        if ref is not None:
            self._committer.in_flight[ref] = (batch, index)
        about = begun(fact, ref) if ref is not None else None
        if about not in self._engine.world.rollouts:
            about = (RolloutId(batch.rows[index].rollout) or None) if len(batch.rows) > index else None
        note = next((one.reason for one in decision.records if isinstance(one, r.Noted) and one.rollout is None), "")
        return _Answer(new=True, batch=batch, index=index, rollout=about, note=note)

    def _commit(self, batch: Batch) -> None:
        """Store the batch, with the evidence its verdicts rest on; wake earlier when it asks for that."""
        kept = {one.rollout: one.at for records in batch.records for one in records if isinstance(one, _KEPT_AT)}
        for rollout, at in kept.items():
            batch.notes.update(self._checkpoints.of(rollout, now=at))
        self._committer.commit(batch)
        due = self._engine.wake_at()
        if self._sleep is not None and due is not None and (self._armed is None or due < self._armed):
            self._sleep.cancel()

    def _tell(self, letter: Letter, answers: list[Receipt | _Answer]) -> None:
        receipts = tuple(one.receipt() if isinstance(one, _Answer) else one for one in answers)
        if not letter.receipts.done():
            letter.receipts.set_result(receipts)
        self._telemetry.durable.observe(perf_counter() - letter.arrived)
        kinds = Counter((type(fact).__name__, one.new) for fact, one in zip(letter.facts, receipts, strict=True))
        for (kind, new), times in kinds.items():
            self._telemetry.took(kind, new=new, times=times)

    # ---- time -----------------------------------------------------------------------------------------------

    async def _until_due(self, tasks: asyncio.TaskGroup) -> None:
        while (at := self._engine.wake_at()) is None or at > self._clock.now():
            self._armed = at
            until = self._clock.sleep_until(at) if at is not None else _for_ever()
            self._sleep = tasks.create_task(until, name="sleep")
            await asyncio.wait({self._sleep})
        self._sleep = None

    async def _wake(self) -> None:
        """Ask what is due, wait a moment for the answers, and have the engine decide on what came."""
        now = self._clock.now()
        asked: list[Task[None]] = []
        looked: tuple[str, ...] = ()
        for query in self._engine.queries(now):
            if isinstance(query, Measure):
                looked = query.rollouts
                asked += self._collector.measure(self._engine.measures(query, now))
            else:
                known = (self._engine.world.rollouts.get(RolloutId(name)) for name in query.rollouts)
                asked += self._collector.read_weights([one for one in known if one is not None])
        if asked:
            await asyncio.wait(asked, timeout=PATIENCE)
        began, now, batch = perf_counter(), self._clock.now(), Batch()
        self._conclude_one(Woke(), now, batch)
        batch.notes.update(self._checkpoints.due(map(RolloutId, looked), now=now))
        self._commit(batch)
        self._telemetry.looks.observe(perf_counter() - began)
        for name in looked:
            if (look := self._engine.look(RolloutId(name))) is not None:
                self._telemetry.looked(look)
        await asyncio.sleep(0)

    async def _watch_journal(self) -> None:
        """Say when the journal cannot write, let rollbacks go on without it, and stop when it has given up."""
        while self._committer.failure is None:
            trouble = self._committer.trouble
            if trouble is None:
                self._health.clear("journal")
            else:
                self._health.report("journal", str(trouble), blocking=True)
                self._committer.release_rollbacks()
            await asyncio.sleep(_WATCH)
        raise self._committer.failure


async def _for_ever() -> None:
    await asyncio.Event().wait()
