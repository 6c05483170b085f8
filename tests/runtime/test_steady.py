"""The daemon's time while the machine's clock is set: what a person, or time synchronisation after a boot, does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.core import records as r
from guardian.core.model import Instant, Phase, Seconds
from guardian.runtime.health import Health
from guardian.runtime.steady import BEND, TOLD, ClockWatch, SteadyClock
from guardian.wire.entry import decode_entry
from tests.builders import T0
from tests.runtime.stage import SPEED, Stage, phase, until

HOUR = 3600.0


@dataclass
class Machine:
    """A machine whose wall clock can be set; `passed` is what really passed."""

    passed: float = 5.0
    set_by: float = 0.0
    health: Health = field(default_factory=Health)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.clock = SteadyClock(wall=lambda: T0 + self.passed + self.set_by, passed=lambda: self.passed)
        self.watch = ClockWatch(self.clock, health=self.health, registry=self.registry)
        self.health.clear("start")

    def live(self, seconds: float) -> None:
        """Let time pass, looking at the clock once a second."""
        for _ in range(int(seconds)):
            self.passed += 1.0
            self.watch.look()

    def sets(self, direction: str) -> float | None:
        """Return how often the clock was seen to be set."""
        return self.registry.get_sample_value("guardian_clock_sets_total", {"direction": direction})


@pytest.mark.parametrize("by", [-HOUR, HOUR, 365 * 24 * HOUR])
def test_a_wall_clock_that_is_set_moves_no_deadline(by: float) -> None:
    """What was to wait for ten minutes waits for ten minutes, within the share by which it meets the wall clock."""
    machine = Machine()
    machine.live(10)
    before = machine.clock.now()
    machine.set_by = by
    machine.live(600)
    assert machine.clock.now() - before == pytest.approx(600.0, abs=BEND * 600.0 + 1.0)


def test_it_is_told_once_by_log_metric_and_health() -> None:
    """Whoever wonders about the times in events finds out why, and what to do."""
    machine = Machine()
    machine.live(10)
    machine.set_by = -HOUR
    machine.live(100)
    assert (machine.sets("back"), machine.sets("forward")) == (1.0, None)
    assert machine.registry.get_sample_value("guardian_clock_ahead_seconds") == pytest.approx(HOUR, abs=5.0)
    (problem,) = machine.health.problems
    assert "1h behind the guardian's time" in problem.text
    assert not problem.blocking
    machine.set_by = 0.0
    machine.live(200)
    assert machine.health.problems == ()


def test_small_corrections_are_followed_and_not_told() -> None:
    """Time synchronisation moves a healthy clock by milliseconds all the time."""
    machine = Machine()
    machine.set_by = 0.5
    machine.live(600)
    assert abs(machine.clock.ahead()) < 0.01
    assert machine.sets("forward") is None
    assert machine.health.problems == ()


def test_it_meets_the_wall_clock_in_the_end() -> None:
    """Otherwise its times would be wrong until the next restart; from either side, and without passing it."""
    for by in (-60.0, 60.0):
        machine = Machine()
        machine.live(10)
        machine.set_by = by
        machine.live(60.0 / BEND + 600.0)
        assert abs(machine.clock.ahead()) < TOLD
        assert machine.health.problems == ()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(-1e6, 1e6), st.booleans()), max_size=50))
def test_it_never_goes_back(happens: list[tuple[float, float, bool]]) -> None:
    """Law: whatever is done to the wall clock, and however late it is looked at."""
    machine = Machine()
    last = machine.clock.now()
    for passed, set_by, looked in happens:
        machine.set_by = set_by
        assert machine.clock.now() >= last
        machine.passed += passed
        if looked:
            machine.watch.look()
        now = machine.clock.now()
        assert (1.0 - BEND) * passed - 1e-3 <= now - last <= (1.0 + BEND) * passed + 1e-3
        last = now


def test_after_a_restart_it_goes_on_from_the_last_row() -> None:
    """What the journal holds has happened; a clock set back meanwhile must not make it the future."""
    machine = Machine()
    machine.clock.not_before(Instant(T0 + HOUR))
    assert machine.clock.now() == T0 + HOUR
    machine.clock.not_before(Instant(T0))
    assert machine.clock.now() == T0 + HOUR
    machine.live(1)
    assert "behind the guardian's time" in machine.health.problems[0].text


@pytest.mark.parametrize("by", [-HOUR, HOUR])
async def test_a_rollout_takes_as_long_as_ever_while_the_clock_is_set(tmp_path: Path, by: float) -> None:
    """Neither stalls for the hour nor jumps over its bakes: verified, and each step baked in full."""
    set_by = [0.0]
    begun = time.monotonic()

    def passed() -> float:
        return (time.monotonic() - begun) * SPEED

    clock = SteadyClock(wall=lambda: T0 + passed() + set_by[0], passed=passed, speed=SPEED)
    stage = Stage(journal=SqliteJournal(tmp_path / "journal.sqlite"), clock=clock)
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.PROGRESSING)
        set_by[0] = by
        await until(lambda: phase(daemon) is Phase.VERIFIED)
        assert [problem.part for problem in daemon.health.problems] == ["clock"]
    records = [record for row in stage.journal.read() for record in decode_entry(row.body, seq=row.seq).records]
    assert [record.at for record in records] == sorted(record.at for record in records)
    assert daemon.engine.ahead == pytest.approx(-by, abs=0.05 * HOUR)
    began = next(record.at for record in records if isinstance(record, r.StepBegan))
    promoted = next(record.at for record in records if isinstance(record, r.Promoted))
    assert 80.0 * (1.0 - BEND) <= promoted - began < 900.0


async def test_a_restart_with_an_earlier_clock_goes_on_from_the_journal(tmp_path: Path) -> None:
    """Retries and looks of an open rollout are due at once, and rows stay in the order of time."""
    begun = time.monotonic()
    set_by = [0.0]

    def passed() -> float:
        return (time.monotonic() - begun) * SPEED

    def clock() -> SteadyClock:
        return SteadyClock(wall=lambda: T0 + passed() + set_by[0], passed=passed, speed=SPEED)

    stage = Stage(journal=SqliteJournal(tmp_path / "journal.sqlite"), clock=clock())
    async with stage.running() as daemon:
        stage.deploy()
        await until(lambda: phase(daemon) is Phase.PROGRESSING)
        await daemon.stop()  # the journal outlives this daemon here, and may not store its rows after the next began
    set_by[0] = -HOUR
    stage.clock = clock()
    async with stage.running() as daemon:
        await until(lambda: phase(daemon) is Phase.VERIFIED)
        assert stage.clock.ahead() > HOUR - Seconds(600.0)
    times = [row.at for row in stage.journal.read()]
    assert times == sorted(times)
