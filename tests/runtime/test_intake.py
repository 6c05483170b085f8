"""Messages of a broker: what is safe is told to it, in order, and nothing waits for what is put aside."""

from __future__ import annotations

import asyncio

from guardian.adapters.events.memory import MemorySource
from guardian.adapters.journal.memory import MemoryJournal
from guardian.adapters.metrics.memory import MemorySource as NoMetrics
from guardian.core.model import Phase
from guardian.errors import Unavailable
from guardian.ports import Received
from guardian.runtime.checkpoints import EVIDENCE
from guardian.runtime.inbox import BoundedInbox
from tests.builders import requested
from tests.runtime.stage import Stage, phase, until


class NoDeadLetters(MemorySource):
    """A source whose dead-letter topic is away until a test says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.back = asyncio.Event()

    async def dead_letter(self, received: Received, reason: str) -> None:
        if not self.back.is_set():
            raise Unavailable("the topic is away", remedy="wait")
        await super().dead_letter(received, reason)


async def test_a_message_that_cannot_be_put_aside_holds_up_no_event_behind_it() -> None:
    """Its offset stays, so that it comes again after a crash; the rollout behind it begins at once."""
    source = NoDeadLetters()
    stage = Stage(journal=MemoryJournal(), events=source)
    source.put(b"not an event")
    stage.deploy()
    async with stage.running() as daemon:
        await until(lambda: daemon.engine.world.rollouts)
        assert source.committed == 0
        source.back.set()
        await until(lambda: source.committed == 2)
    assert [reason for _, reason in source.dead_letters] == ["unparsable"]


async def test_no_evidence_is_kept_of_a_rollout_that_was_never_measured() -> None:
    """There is none: after a restart it begins as it would have gone on."""
    stage = Stage(journal=MemoryJournal(), sources=lambda _: NoMetrics())
    stage.deploy()
    async with stage.running() as daemon:
        await until(lambda: phase(daemon) is Phase.PROGRESSING)
        (rollout,) = daemon.engine.world.rollouts
        await until(lambda: daemon.engine.world.rollouts[rollout].held is not None)
        await daemon.stop()
    assert stage.journal.notes(EVIDENCE) == {}


async def test_evidence_is_kept_once_there_is_some() -> None:
    """The first step of a measured rollout is a moment at which it is written down."""
    stage = Stage(journal=MemoryJournal())
    stage.deploy()
    async with stage.running() as daemon:
        await until(lambda: stage.journal.notes(EVIDENCE))
        (rollout,) = daemon.engine.world.rollouts
    assert list(stage.journal.notes(EVIDENCE)) == [EVIDENCE + rollout]


async def test_no_batch_overtakes_one_that_waits_for_room() -> None:
    """Of two deploys of one service the later would be superseded by the earlier."""
    inbox = BoundedInbox(room=10, trouble=lambda: None)
    puts = []
    for name, size in (("first", 6), ("large", 6), ("small", 1)):
        facts = [requested(f"{name}-{number}") for number in range(size)]
        puts.append(asyncio.create_task(inbox.put(facts, wait=True)))
        await asyncio.sleep(0)
    came: list[str] = []
    while len(came) < len(puts):
        _, letters = await inbox.take(1)
        came += [str(getattr(letter.facts[0], "revision", "")) for letter in letters]
    assert came == ["first-0", "large-0", "small-0"]
    for put in puts:
        put.cancel()
