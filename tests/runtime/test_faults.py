"""What goes wrong outside, and what must not follow from it: rollbacks go on, nobody holds up anybody else."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from guardian.adapters.journal.memory import MemoryJournal
from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.core.facts import Order
from guardian.core.measures import MeasureRequest
from guardian.core.model import Phase, Place, Seconds, Weight
from guardian.core.rollout import Rollout
from guardian.errors import ConfigError, JournalError, Unavailable
from guardian.ports import MetricSource, Samples, Target
from guardian.runtime.equipment import Equipment
from guardian.runtime.outbox import outlet_of
from tests.builders import PLACE, alert, ordered
from tests.runtime.stage import LoggedRouter, Stage, only, other, phase, quick, until


class HangingSource:
    """A metric source that never answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError


class StuckRouter(LoggedRouter):
    """A router that hangs when it is to send half of the traffic to the canary, and fails once before 10 %."""

    def __init__(self) -> None:
        super().__init__()
        self.hung = asyncio.Event()
        self.failures: list[Exception] = []

    async def set_weight(self, target: Target, weight: Weight) -> None:
        if self.failures:
            raise self.failures.pop()
        if weight == 0.5:
            self.hung.set()
            await asyncio.Event().wait()
        await super().set_weight(target, weight)


class FailingSink:
    """A sink that is away for its first tries."""

    def __init__(self, *, fails: int) -> None:
        self.fails = fails
        self.events: list[tuple[str, bytes]] = []

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("the broker is away")
        self.events.extend(events)


def over(router: LoggedRouter) -> Stage:
    """Return a stage with this router."""
    return Stage(journal=MemoryJournal(), router=router)


async def test_a_source_that_hangs_holds_up_its_own_rollouts_only() -> None:
    """One rollout without data is held; the other one is promoted meanwhile."""
    hanging = HangingSource()
    stage = Stage(journal=MemoryJournal(), policies=(quick(), other("payment", quick())))

    def sources(place: Place) -> MetricSource:
        return stage.service.metrics if place == PLACE else hanging

    stage.sources = sources
    async with stage.running() as daemon:
        stage.deploy("1.0", service="payment")
        stage.deploy("2.1.0")
        await until(lambda: len(daemon.engine.world.rollouts) == 2)
        payment, checkout = daemon.engine.world.rollouts
        await until(lambda: phase(daemon, checkout) is Phase.VERIFIED)
        assert phase(daemon, payment) is Phase.PROGRESSING
    assert hanging.asked == 1


async def test_a_person_can_roll_back_while_the_source_hangs() -> None:
    """Orders do not wait for measurements."""
    stage = Stage(journal=MemoryJournal())
    stage.sources = lambda _: HangingSource()
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: stage.router.history == [0.1])
        await daemon.inbox.put([ordered(only(daemon).id, Order.ROLLBACK)])
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK, within=5.0)
    assert stage.router.history == [0.1, 0.0]


async def test_a_rollback_cuts_a_hanging_effect_short() -> None:
    """It does not wait for a call that its own order has made pointless."""
    router = StuckRouter()
    stage = over(router)
    async with stage.running() as daemon:
        stage.deploy()
        await router.hung.wait()
        await daemon.inbox.put([ordered(only(daemon).id, Order.ROLLBACK)])
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK, within=5.0)
    assert router.history == [0.1, 0.0]


@pytest.mark.parametrize("error", [Unavailable("no answer"), ZeroDivisionError("a mistake of the adapter")])
async def test_an_effect_that_failed_is_tried_again(error: Exception) -> None:
    """Whatever the adapter raises: the daemon lives, and the core orders the next attempt."""
    router = StuckRouter()
    router.failures = [error]
    stage = over(router)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: router.history == [0.1])
        await until(lambda: only(daemon).step_began is not None)


async def test_a_sink_that_is_down_holds_back_only_itself() -> None:
    """Decisions go on and reach the other sink; the one that was away gets all of them, in order, later."""
    away = FailingSink(fails=2)
    stage = Stage(journal=MemoryJournal())
    stage.outlets = [outlet_of("away", away), outlet_of("sink", stage.sink)]
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: stage.router.history == [0.1])
        await until(lambda: len(stage.sink.events) >= 3)
        assert away.events == []
        assert [one.part for one in daemon.health.problems] == ["sink away"]
        assert daemon.health.ready
        await until(lambda: len(away.events) >= 3)
        assert not daemon.health.problems
    assert away.events == stage.sink.events[: len(away.events)]


async def test_an_inbox_that_is_full_refuses_at_once() -> None:
    """Alertmanager sends again what is answered 503; what waits inside would be lost with the process."""
    stage = Stage(journal=MemoryJournal(), room=10)
    async with stage.running() as daemon:
        taken = [asyncio.ensure_future(daemon.inbox.put([alert(n=str(n))] * 5)) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="wait for the engine"):
            await daemon.inbox.put([alert(n="3")])
        await asyncio.gather(*taken)
        await daemon.inbox.put([alert(n="4")])


async def test_while_the_journal_is_locked_nothing_is_acknowledged_but_a_rollback_ends(tmp_path: Path) -> None:
    """Journal, then act; going back to the good version is the exception. Afterwards the journal has it all."""
    path = tmp_path / "journal.sqlite"
    stage = Stage(journal=SqliteJournal(path, busy=Seconds(0.05)))
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: only(daemon).step_began is not None if phase(daemon) else None)
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        order = asyncio.ensure_future(daemon.inbox.put([ordered(only(daemon).id, Order.ROLLBACK)], wait=True))
        await until(lambda: stage.router.history[-1] == 0.0)
        assert not order.done()
        assert not daemon.health.ready
        with pytest.raises(Unavailable):
            await daemon.inbox.put([alert()])
        lock.execute("ROLLBACK")
        lock.close()
        (receipt,) = await order
        await until(lambda: phase(daemon) is Phase.ROLLED_BACK)
        await until(lambda: daemon.health.ready)
    assert receipt.new
    assert stage.router.history.count(Weight(0.0)) == 1


async def broken(stage: Stage, path: Path) -> None:
    """Run a daemon, and take its journal's table away under it."""
    async with stage.running() as daemon:
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE journal")
        connection.close()
        await daemon.inbox.put([alert()], wait=True)


async def test_a_journal_that_breaks_ends_the_daemon(tmp_path: Path) -> None:
    """It cannot say what it did any more: nothing is acknowledged, and whoever watches the process starts it again."""
    path = tmp_path / "journal.sqlite"
    with pytest.raises(BaseExceptionGroup) as caught:
        await broken(Stage(journal=SqliteJournal(path)), path)
    assert caught.value.subgroup(JournalError) is not None


async def test_a_policy_that_names_what_is_not_configured_fails_in_preflight() -> None:
    """Nothing was moved, and the reason says what to add."""

    def nothing(rollout: Rollout) -> Equipment:
        raise ConfigError("environment 'production' is not configured", remedy="add it to 'environments'")

    stage = Stage(journal=MemoryJournal(), equip=nothing)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.FAILED)
    assert stage.router.history == []
