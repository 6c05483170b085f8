"""What the giver of a fact is told, and when: never before it is durable, and the same thing twice."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Mapping, Sequence
from functools import partial

from guardian.adapters.journal.memory import MemoryJournal
from guardian.core.effects import SetWeight
from guardian.core.engine import Engine
from guardian.core.facts import Order
from guardian.core.fleet import Fleet
from guardian.core.looks import Look
from guardian.core.model import EffectId, Instant, Place, RolloutId, Weight
from guardian.core.policies import Policies
from guardian.core.records import Noted
from guardian.core.world import KEPT_ENDED
from guardian.errors import JournalError
from guardian.ports import Row
from guardian.runtime.commit import Batch, Committer
from guardian.runtime.feed import Decided, Feed
from guardian.runtime.story import Story
from tests.builders import PLACE, T0, ordered, policy, requested, seen
from tests.core.play import Play
from tests.runtime.stage import Stage


class HandJournal(MemoryJournal):
    """A journal whose appends end when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Future[int]] = []

    def append(self, rows: Sequence[Row], *, notes: Mapping[str, bytes | None] = {}) -> Future[int]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]


async def test_a_refused_batch_does_not_pass_for_the_stored_one_before_it() -> None:
    """The store gives up while the answer to an earlier batch is on its way: only the earlier one is durable."""
    journal, acted, told = HandJournal(), list[EffectId](), list[str]()
    committer = Committer(
        journal=journal,
        feed=Feed(journal),
        dispatch=lambda _, effect: acted.append(effect.id),
        known=lambda _: None,
        durable=lambda _: None,
    )
    for name in ("stored", "lost"):
        effect = SetWeight(id=EffectId(name), place=PLACE, weight=Weight(0.1))
        note = Noted(at=T0, reason=name)
        batch = Batch(
            rows=[Row(at=T0, rollout="", event=None, body=b"{}")],
            records=[(note,)],
            after=[(None,)],
            effects=[(RolloutId("x"), effect)],
        )
        batch.then.append(partial(told.append, name))
        committer.commit(batch)
    stored, lost = journal.asked
    lost.set_exception(JournalError("is broken", remedy="mend it"))
    await asyncio.sleep(0)
    stored.set_result(1)
    await asyncio.sleep(0)
    assert (acted, told) == (["stored"], ["stored"])
    assert isinstance(committer.failure, JournalError)


async def test_a_deploy_that_supersedes_another_is_answered_with_its_own_rollout() -> None:
    """Whoever waits for it would else follow the one that is taken back."""
    stage = Stage(journal=MemoryJournal())
    async with stage.running() as daemon:
        await daemon.inbox.put([requested("2.1.0", at=stage.clock.now())])
        (receipt,) = await daemon.inbox.put([requested("2.2.0", at=stage.clock.now())])
        assert receipt.rollout is not None
        assert daemon.engine.world.rollouts[receipt.rollout].revision == "2.2.0"


async def test_a_refused_order_sent_again_is_refused_again() -> None:
    """A lost answer is asked for again; "taken already" would read as obeyed."""
    stage = Stage(journal=MemoryJournal())
    async with stage.running() as daemon:
        (begun,) = await daemon.inbox.put([requested(at=stage.clock.now())])
        assert begun.rollout is not None
        order = ordered(begun.rollout, Order.RESUME)
        answers = [*await daemon.inbox.put([order, order]), *await daemon.inbox.put([order])]
        assert [answer.new for answer in answers] == [True, False, False]
        assert all(answer.refusal is not None for answer in answers)


def _seen_late(rollout: RolloutId, now: Instant) -> Look:
    return seen(rollout, at=now)


def test_what_comes_of_a_rollout_after_its_end_is_told_after_many_others() -> None:
    """A canary that still gets requests is paged about although thousands of others have ended since."""
    play = Play(policies=(policy(),), show=_seen_late)
    play.tell(requested())
    play.until(60.0)
    play.tell(ordered(play.rollout.id, Order.ROLLBACK))
    engine = Engine(policies=Policies([policy()]), fleet=Fleet())
    story, rows = Story(), list(play.records)
    nowhere = Place(service="nobody", environment="nowhere")
    for number in range(KEPT_ENDED - 1):
        rows += engine.receive(requested(identity=str(number), at=play.now, place=nowhere), play.now).records
    told = story.tell([Decided(1, tuple(rows))])
    play.records.clear()
    play.until(300.0)  # the canary still gets requests: a person is paged
    late = story.tell([Decided(2, tuple(play.records))])
    assert len(told) > KEPT_ENDED
    assert [one.type for one in late] == ["slo-guardian.rollout.paged.v1"]


async def test_a_listener_gets_the_same_events_wherever_the_reading_begins() -> None:
    """Events since the last start are told from the world as it was then, not by reading the whole journal again."""
    stage = Stage(journal=MemoryJournal())
    async with stage.running() as daemon:
        await daemon.inbox.put([requested("2.1.0", at=stage.clock.now())])
    async with stage.running() as daemon:
        began = daemon.feed.head
        await daemon.inbox.put([requested("2.2.0", at=stage.clock.now())])
        later = [event async for events in daemon.replay(began) for event in events]
        everything = [event async for events in daemon.replay(0) for event in events]  # asked later: more may be there
        assert later
        assert later == [event for event in everything if event.seq > began][: len(later)]
        assert later[0].seq > began
