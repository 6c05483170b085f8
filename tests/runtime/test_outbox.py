"""Every sink is told the same bytes, wherever it stands: at the newest row, far behind it, or listening only now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from guardian.adapters.journal.memory import MemoryJournal
from guardian.core.records import Record
from guardian.core.world import World
from guardian.ports import Row
from guardian.runtime.feed import Decided, Feed, Told
from guardian.runtime.health import Health
from guardian.runtime.outbox import Outbox, Outlet
from guardian.runtime.story import Story
from guardian.runtime.telemetry import Telemetry
from guardian.wire.entry import Entry, encode_entry
from tests.builders import T0, requested
from tests.core.play import Play
from tests.runtime.stage import until


class Sink:
    """Keeps what it is given, while it is open."""

    def __init__(self, name: str, *, durable: bool = True) -> None:
        self.told: list[Told] = []
        self.open = asyncio.Event()
        self.listening = True
        self.outlet = Outlet(name=name, publish=self._publish, durable=durable, listening=lambda: self.listening)

    async def _publish(self, events: Sequence[Told]) -> None:
        await self.open.wait()
        self.told += events


class Line:
    """A journal and a feed that decisions are pushed through, with a memory of three rows."""

    def __init__(self) -> None:
        self.journal, self.world, self.folded = MemoryJournal(), World(), list[int]()
        self.feed = Feed(self.journal, remembered=3)

    async def push(self, records: Sequence[Record]) -> None:
        """Store one row for each record, as the committer does."""
        for record in records:
            after = (self.world.apply(record),)
            body = encode_entry(Entry(records=(record,)))
            seq = await self.journal.append([Row(at=T0, rollout="", event=None, body=body)])
            self.feed.push(Decided(seq, (record,), after))

    async def story_at(self, seq: int) -> Story:
        """Fold the journal up to a row."""
        self.folded.append(seq)
        story = Story()
        while story.seq < seq:
            story.skip(row for row in await self.feed.so_far(story.seq) if row.seq <= seq)
        return story

    @asynccontextmanager
    async def serving(self, *sinks: Sink) -> AsyncIterator[None]:
        """Serve the sinks from the beginning."""
        box = Outbox(
            journal=self.journal, feed=self.feed, story_at=self.story_at, telemetry=Telemetry(), health=Health()
        )
        serving = asyncio.create_task(box.run([(sink.outlet, Story()) for sink in sinks]))
        yield
        serving.cancel()


def _records() -> list[Record]:
    play = Play()
    play.tell(requested())
    play.until(700.0)
    return play.records


async def test_a_sink_that_falls_behind_what_is_remembered_is_told_the_same_bytes() -> None:
    """It was away while many decisions were made: these are read back from the journal, with the world of then."""
    line, quick, slow, records = Line(), Sink("quick"), Sink("slow"), _records()
    quick.open.set()
    async with line.serving(quick, slow):
        for record in records[:-1]:
            await line.push([record])
            await until(lambda: line.journal.notes("cursor/quick") or line.feed.head < 3)
        slow.open.set()
        await until(lambda: len(slow.told) == len(quick.told))
        await line.push(records[-1:])
        await until(lambda: len(slow.told) == len(quick.told))
    assert line.folded  # it did fall behind
    assert len(quick.told) > 3
    assert [(one.seq, one.key, one.body) for one in slow.told] == [(one.seq, one.key, one.body) for one in quick.told]


async def test_nothing_is_made_for_a_sink_that_nobody_listens_to() -> None:
    """The stream of events costs nothing while no browser is open; who opens one is told what comes from then on."""
    line, stream, records = Line(), Sink("stream", durable=False), _records()
    stream.open.set()
    stream.listening = False
    async with line.serving(stream):
        await line.push(records[:2])
        await asyncio.sleep(0.05)
        assert not stream.told
        stream.listening = True
        await line.push(records[2:])
        await until(lambda: stream.told)
    assert min(one.seq for one in stream.told) > 2
