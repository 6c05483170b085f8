"""The daemon from deploy event to decision, over memory adapters and the real engine, journal and evidence."""

import asyncio
import json
from pathlib import Path

import pytest

from guardian.adapters.journal.audit import verify
from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.core.facts import Order
from guardian.core.model import Phase
from guardian.core.policies import Policies
from guardian.core.records import Why
from guardian.errors import CommandError, Unavailable
from guardian.ports import Journal
from guardian.runtime.recover import recover
from tests.builders import alert, ordered
from tests.runtime.stage import STABLE, Stage, only, phase, quick, until


@pytest.fixture
async def journal(tmp_path: Path) -> Journal:
    """An empty journal on disk."""
    return SqliteJournal(tmp_path / "journal.sqlite")


def story(stage: Stage) -> list[str]:
    """Return the names of the events that went out, in order; a busy machine may make a look late: no holds."""
    names = [json.loads(body)["type"].split(".")[2] for _, body in stage.sink.events]
    return [name for name in names if name not in ("held", "resumed")]


def sequences(stage: Stage) -> list[int]:
    """Return the sequence numbers of the events that went out, repeats of the same bytes left out."""
    return [json.loads(body)["data"]["sequence"] for body in dict.fromkeys(body for _, body in stage.sink.events)]


async def test_a_healthy_release_is_promoted_step_by_step(journal: Journal) -> None:
    """Weights go up, the hand-over ends at stable with the new revision, and the events tell it without a gap."""
    stage = Stage(journal=journal)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.VERIFIED and only(daemon).settled)
        await until(lambda: "verified" in story(stage))
    assert stage.router.history == [0.1, 0.5, 1.0, 0.0]
    assert (stage.workload.stable, stage.workload.canary) == ({only(daemon).place: "2.1.0"}, {})
    assert story(stage) == ["queued", "started", "advanced", "advanced", "advanced", "promoted", "verified"]
    assert sequences(stage) == list(range(1, only(daemon).sequence + 1))
    assert stage.events.committed == 1


async def test_a_release_with_more_errors_is_rolled_back(journal: Journal) -> None:
    """Ten times the errors end at weight 0, with evidence in the event, and stable is never touched."""
    stage = Stage(journal=journal)
    stage.service.bad = 0.05
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK)
        await until(lambda: "rolled-back" in story(stage))
    assert stage.router.history == [0.1, 0.0]
    assert stage.workload.stable == {only(daemon).place: STABLE}
    event = json.loads(stage.sink.events[-1][1])
    assert event["data"]["guardrail"] == "errors"
    assert event["data"]["evidence"]["harm"] >= 100.0


async def test_restarts_are_invisible(journal: Journal) -> None:
    """Cut off again and again, the same rollout ends the same; no weight is set twice and repeats are byte-equal."""
    stage = Stage(journal=journal)
    stage.deploy()
    for _ in range(4):
        async with stage.running():
            await stage.clock.sleep_until(stage.clock.now() + 35.0)  # type: ignore[arg-type]
    async with stage.running() as daemon:
        await until(lambda: phase(daemon) is Phase.VERIFIED and only(daemon).settled)
        await until(lambda: "verified" in story(stage))
    assert stage.router.history == [0.1, 0.5, 1.0, 0.0]
    told = {json.loads(body)["id"]: body for _, body in stage.sink.events}
    assert len(told) == len({body for _, body in stage.sink.events})
    assert sequences(stage) == list(range(1, only(daemon).sequence + 1))


async def test_the_journal_tells_the_same_world_again(journal: Journal, tmp_path: Path) -> None:
    """What is in memory is the fold of what is on disk, and the disk's chain is whole."""
    stage = Stage(journal=journal)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.BAKING)
        await daemon.stop()
        remembered = daemon.engine.world.copy()
        assert verify(tmp_path / "journal.sqlite").rows == daemon.feed.head
    assert (await recover(journal)).world == remembered


async def test_a_repeated_event_has_no_effect(journal: Journal) -> None:
    """At once, in the same batch, after it is stored, and after a restart."""
    stage = Stage(journal=journal)
    fact = alert(severity="critical")
    async with stage.running() as daemon:
        first = await daemon.inbox.put([fact, fact])
        at_once = await asyncio.gather(*(daemon.inbox.put([fact]) for _ in range(5)))
    async with stage.running() as daemon:
        after = await daemon.inbox.put([fact])
    receipts = [*first, *(receipt for part in at_once for receipt in part), *after]
    assert [receipt.new for receipt in receipts] == [True] + [False] * 7
    assert {receipt.seq for receipt in receipts} == {1}
    assert len(journal.read()) == 1


async def test_an_order_that_cannot_be_carried_out_is_refused_with_its_remedy(journal: Journal) -> None:
    """The giver is told, and the journal has it."""
    stage = Stage(journal=journal)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.PROGRESSING)
        (receipt,) = await daemon.inbox.put([ordered(only(daemon).id, Order.RESUME)])
    assert isinstance(receipt.refusal, CommandError)
    assert receipt.refusal.remedy
    assert b"refused: cannot resume" in journal.read(after=receipt.seq - 1)[0].body


async def test_a_critical_alert_on_the_canary_rolls_back_at_once(journal: Journal) -> None:
    """It does not wait for the next look."""
    stage = Stage(journal=journal)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: only(daemon).step_began is not None if phase(daemon) else None)
        await stage.clock.sleep_until(stage.clock.now() + 15.0)  # type: ignore[arg-type]
        await daemon.inbox.put([alert(starts_at=stage.clock.now(), severity="critical", track="canary")])
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK)
    assert stage.router.history[-1] == 0.0
    cause = only(daemon).cause
    assert cause is not None
    assert cause.why is Why.ALERT


async def test_a_message_that_cannot_be_understood_is_put_aside(journal: Journal) -> None:
    """It blocks nobody, and its offset moves on."""
    stage = Stage(journal=journal)
    stage.events.put(b"\xff not json")
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is not None)
        await until(lambda: stage.events.committed == 2)
    assert [reason for _, reason in stage.events.dead_letters] == ["unparsable"]


async def test_policies_change_for_new_rollouts_only(journal: Journal) -> None:
    """A running rollout keeps the policy it began with, by digest."""
    stage = Stage(journal=journal)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.PROGRESSING)
        before = only(daemon).policy.digest
        daemon.reload(Policies([quick(name="other")]))
        daemon.keep_policies("policies/x.yaml:3: wrong")
        assert only(daemon).policy.digest == before
        assert daemon.engine.policies.find(only(daemon).place, None).name == "other"
        assert [problem.part for problem in daemon.health.problems] == ["policies"]
        assert daemon.health.ready


async def test_a_graceful_stop_stores_everything(journal: Journal, tmp_path: Path) -> None:
    """What was taken is durable, the evidence of open rollouts with it; what comes later is told to come again."""
    stage = Stage(journal=journal)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: only(daemon).step_began is not None if phase(daemon) else None)
        taken = asyncio.gather(*(daemon.inbox.put([alert(n=str(n), starts_at=n)]) for n in range(100)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await daemon.stop()
        assert all(receipt.new for (receipt,) in await taken)
        with pytest.raises(Unavailable):
            await daemon.inbox.put([alert(late="yes")])
    assert verify(tmp_path / "journal.sqlite").rows == daemon.feed.head
    assert list(journal.notes("evidence/")) == [f"evidence/{only(daemon).id}"]
