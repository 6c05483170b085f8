"""The daemon: one engine over one journal, with everything that feeds it and everything it acts through.

`run` recovers, then serves until cancelled or `stop`; a journal that gives up ends it with JournalError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from guardian.core.engine import Engine
from guardian.core.fleet import Fleet
from guardian.core.model import Instant, RolloutId, Seconds
from guardian.core.policies import Policies
from guardian.core.records import Record
from guardian.core.rollout import Rollout
from guardian.core.taping import TapedEngine
from guardian.core.world import World
from guardian.errors import Unavailable
from guardian.ports import Clock, EventSource, Journal
from guardian.runtime.checkpoints import EVIDENCE, Checkpoints
from guardian.runtime.collect import Collector
from guardian.runtime.commit import Committer
from guardian.runtime.dispatch import Dispatcher
from guardian.runtime.driver import Driver
from guardian.runtime.equipment import Equip, Sources
from guardian.runtime.feed import Feed, Told
from guardian.runtime.health import Health
from guardian.runtime.inbox import BoundedInbox
from guardian.runtime.intake import Decode, Intake
from guardian.runtime.logs import DecisionLog
from guardian.runtime.outbox import Outbox, Outlet
from guardian.runtime.recover import Recovered, recover
from guardian.runtime.steady import ClockWatch, SteadyClock
from guardian.runtime.story import Story, remembered, told
from guardian.runtime.taping import Recording, TapeWriter
from guardian.runtime.telemetry import Telemetry
from guardian.runtime.witness import WitnessedWorld

_log = structlog.get_logger(__name__)
_MINUTE, _STOP = Seconds(60.0), Seconds(10.0)
_SETTLE: Final = Seconds(3.0)
"""Longest wait of a stopping daemon for the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Everything the daemon is connected to."""

    clock: Clock
    journal: Journal
    log: DecisionLog
    equip: Equip
    sources: Sources
    events: EventSource | None = None
    decode: Decode | None = None
    outlets: Sequence[Outlet] = ()
    recording: Recording | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """room: facts from outside that may wait. checkpoint: least time between two of a rollout. stop: see `stop`."""

    room: int = 20_000
    checkpoint: Seconds = _MINUTE
    stop: Seconds = _STOP


class Daemon:
    """What the web and the command line see of a running guardian."""

    def __init__(self, *, outside: Outside, policies: Policies, limits: Limits, telemetry: Telemetry) -> None:
        self.health = Health()
        self.telemetry = telemetry
        self.feed = Feed(outside.journal)
        self.inbox = BoundedInbox(room=limits.room, trouble=lambda: outside.journal.trouble)
        self.engine = Engine(policies=policies, fleet=Fleet())
        self.recovered = asyncio.Event()
        self._outside, self._limits = outside, limits
        self._dispatcher: Dispatcher | None = None
        self._driver: Driver | None = None
        self._tapes: TapeWriter | None = None
        self._intake: asyncio.Task[None] | None = None
        self._began: tuple[int, World] = 0, World()
        telemetry.policies.set(len(policies))
        telemetry.open.set_function(self._open)

    def reload(self, policies: Policies) -> None:
        """Judge new rollouts by these policies; running ones keep theirs."""
        self.engine.policies = policies
        self.telemetry.policies.set(len(policies))
        self.telemetry.reloads.labels("taken").inc()
        self.health.clear("policies")
        _log.info("policies_loaded", policies=[policy.name for policy in policies])

    def keep_policies(self, problem: str) -> None:
        """Say that the policies on disk are invalid and the old ones stay in force."""
        self.telemetry.reloads.labels("refused").inc()
        self.health.report("policies", f"the policies from before stay in force: {problem}")

    async def run(self) -> None:
        """Recover, then serve until cancelled. Raises JournalError, in a group, when the journal gives up."""
        journal, clock = self._outside.journal, self._outside.clock
        recovered = await recover(journal)
        if isinstance(clock, SteadyClock):
            clock.not_before(_last_instant(journal, recovered.head))
        world = WitnessedWorld(recovered.world.copy())
        engine = self.engine = self._engine_of(world)
        checkpoints = Checkpoints(engine=engine, every=self._limits.checkpoint)
        stale = checkpoints.restore(journal.notes(EVIDENCE), now=clock.now())
        if stale:
            journal.append((), notes=stale)
        self.feed.head = recovered.head
        self._began = recovered.head, recovered.world
        async with asyncio.TaskGroup() as tasks:
            self._serve(tasks, engine, checkpoints, recovered)
            self.health.clear("start")
            self.recovered.set()
            _log.info("recovered", rows=recovered.head, rollouts=len(recovered.world.rollouts))

    def _engine_of(self, world: World) -> Engine:
        """Return the engine that goes on from there; what it is given is kept where that is wanted."""
        policies, recording = self.engine.policies, self._outside.recording
        if recording is None:
            return Engine(policies=policies, fleet=Fleet(), world=world)
        clock, health = self._outside.clock, self.health
        self._tapes = TapeWriter(recording, clock=clock, telemetry=self.telemetry, health=health)
        return TapedEngine(policies=policies, fleet=Fleet(), world=world, taping=self._tapes.taping)

    def _serve(self, tasks: asyncio.TaskGroup, engine: Engine, checkpoints: Checkpoints, recovered: Recovered) -> None:
        outside, telemetry = self._outside, self.telemetry
        dispatcher = Dispatcher(equip=outside.equip, known=self._known, give=self.inbox.post, telemetry=telemetry)
        committer = Committer(
            journal=outside.journal,
            feed=self.feed,
            dispatch=dispatcher.dispatch,
            known=self._known,
            durable=self._durable,
        )
        collector = Collector(
            sources=outside.sources,
            equip=outside.equip,
            series=engine.series,
            give=lambda fact: engine.receive(fact, outside.clock.now()),
            settle=engine.settle,
            clock=outside.clock,
            telemetry=telemetry,
        )
        driver = Driver(
            engine=engine,
            inbox=self.inbox,
            committer=committer,
            collector=collector,
            clock=outside.clock,
            telemetry=telemetry,
            health=self.health,
            checkpoints=checkpoints,
        )
        self._dispatcher, self._driver = dispatcher, driver
        tasks.create_task(dispatcher.run(), name="dispatcher")
        tasks.create_task(collector.run(), name="collector")
        tasks.create_task(self._outbox().run(self._stories(recovered)), name="outbox")
        tasks.create_task(driver.run(), name="driver")
        if self._tapes is not None:
            tasks.create_task(self._tapes.run(), name="tapes")
        self._watch_clock(tasks, engine)
        self._listen(tasks)

    def _outbox(self) -> Outbox:
        return Outbox(
            journal=self._outside.journal,
            feed=self.feed,
            story_at=self._story_at,
            telemetry=self.telemetry,
            health=self.health,
        )

    def _watch_clock(self, tasks: asyncio.TaskGroup, engine: Engine) -> None:
        clock = self._outside.clock
        if isinstance(clock, SteadyClock):
            show = partial(setattr, engine, "ahead")
            watch = ClockWatch(clock, health=self.health, registry=self.telemetry.registry, show=show)
            tasks.create_task(watch.run(), name="clock")

    def _listen(self, tasks: asyncio.TaskGroup) -> None:
        outside = self._outside
        if outside.events is None or outside.decode is None:
            return
        intake = Intake(
            source=outside.events,
            decode=outside.decode,
            inbox=self.inbox,
            clock=outside.clock,
            telemetry=self.telemetry,
            health=self.health,
        )
        self._intake = tasks.create_task(intake.run(), name="intake")

    def _stories(self, recovered: Recovered) -> list[tuple[Outlet, Story]]:
        """Return where each outlet goes on: at its cursor, the beginning, or (not durable) with what comes next."""
        return [
            (
                outlet,
                recovered.stories.get(outlet.name, Story())
                if outlet.durable
                else Story(seq=recovered.head, world=recovered.world),
            )
            for outlet in self._outside.outlets
        ]

    def _open(self) -> int:
        return sum(not rollout.phase.terminal for rollout in self.engine.world.rollouts.values())

    def _known(self, rollout: RolloutId) -> Rollout | None:
        return self.engine.world.rollouts.get(rollout)

    def _durable(self, records: Sequence[Record]) -> None:
        self._outside.log.write(records)
        for record in records:
            self.telemetry.count(record, self._known(getattr(record, "rollout", None) or RolloutId("")))

    async def _story_at(self, seq: int) -> Story:
        """Return a story that has come to that row, from this start on where that is early enough."""
        began, world = self._began
        story = Story(seq=began, world=world) if seq >= began else Story()
        while story.seq < seq:
            story.skip(row for row in await self.feed.so_far(story.seq) if row.seq <= seq)
            await asyncio.sleep(0)
        return story

    async def replay(self, after: int) -> AsyncIterator[list[Told]]:
        """Yield the events of all rows after that seq, as far as the journal goes now."""
        seq, until = max(after, 0), self.feed.head
        story: Story | None = None
        while seq < until and (rows := await self.feed.so_far(seq)):
            if story is None and not remembered(rows):
                story = await self._story_at(seq)
            if events := story.tell(rows) if story is not None else told(rows):
                yield events
            seq = rows[-1].seq
            await asyncio.sleep(0)  # many listeners may come back at once

    async def stop(self) -> None:
        """Take nothing more, let effects under way end (for `limits.stop` at most), and store everything."""
        self.inbox.close(Unavailable("the guardian is stopping", remedy="send it again in a moment"))
        if self._intake is not None:
            self._intake.cancel()
        if self._dispatcher is not None:
            try:
                async with asyncio.timeout(self._limits.stop):
                    await self._dispatcher.drain()
            except TimeoutError:
                _log.warning("effects_cut_short", seconds=self._limits.stop)
        if self._driver is not None:
            try:
                async with asyncio.timeout(_SETTLE):
                    await self._driver.settle()
            except TimeoutError:
                _log.error("journal_not_settled", seconds=_SETTLE)
        if self._tapes is not None and isinstance(self.engine, TapedEngine):
            self.engine.stop(self._outside.clock.now())
            try:
                async with asyncio.timeout(_SETTLE):
                    await self._tapes.settle()
            except TimeoutError:
                _log.error("tapes_not_settled", seconds=_SETTLE)


def _last_instant(journal: Journal, head: int) -> Instant:
    """Return when the newest row was written; the beginning of time where there is none."""
    return (
        max((row.at for row in journal.read(after=head - 1, limit=1)), default=Instant(0.0)) if head else Instant(0.0)
    )
