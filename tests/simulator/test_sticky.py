"""Users who keep their track for a session: what the simulated router serves, and what the guardian makes of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.model import Instant, Verdict, Weight
from simulator.run import Simulation
from tests.simulator.worlds import scenario, shifted, shipped


def test_a_share_follows_its_weight_as_users_come_and_go() -> None:
    """Half of the users after a session of ten minutes; half of that half on average while they change places."""
    world = shifted(scenario(platform={"session": "10m"}, lasts="40m"), weight=0.5, minutes=30)
    assert world.shift is not None
    whole = world.observed_share(world.shift + 600.0)
    assert whole.share == pytest.approx(0.5, abs=0.01)
    early = shifted(scenario(platform={"session": "10m"}, lasts="40m"), weight=0.5, minutes=10)
    assert early.shift is not None
    assert early.observed_share(early.shift).share == pytest.approx(0.25, abs=0.02)


def test_nobody_keeps_a_track_that_has_no_weight() -> None:
    """A rollback takes all users back at once, sessions or not."""
    world = shifted(scenario(platform={"session": "10m"}, lasts="40m"), weight=0.5, minutes=15)
    assert world.shift is not None
    back = Instant(world.shift + 900.0)
    world.serve(Weight(0.0), back)
    world.advance(Instant(back + 300.0))
    assert world.observed_share(back + 10.0).share == 0.0


@pytest.mark.parametrize(("sticky", "held"), [(True, False), (False, True)])
def test_users_who_stick_hold_a_rollout_only_where_the_policy_does_not_know_them(*, sticky: bool, held: bool) -> None:
    """The same seed of S41a, with and without `affinity`."""
    one = shipped("S41a")
    simulation = Simulation(one if sticky else replace(one, policy=replace(one.policy, affinity=None)), seed=3)
    played = simulation.play()
    holds = {record.hold for record in simulation.driver.journal if isinstance(record, r.Held)}
    assert (r.Hold.ALLOCATION in holds) is held
    assert played.verdict is Verdict.PROMOTE


def test_a_canary_that_fails_is_rolled_back_among_users_who_stick() -> None:
    """S41b: three times the failures, and most users still elsewhere."""
    assert Simulation(shipped("S41b"), seed=3).play().verdict is Verdict.ROLLBACK
