"""What is left to be done after a rollout's end, and what comes back after a rollback."""

from __future__ import annotations

from typing import TypeVar

import pytest

from guardian.core import records as r
from guardian.core.drain import CORRECTIONS
from guardian.core.effects import MakeStable, SetWeight, StopCanary
from guardian.core.facts import EffectFailed, Order
from guardian.core.model import Mode, Phase, RolloutId, Weight
from guardian.core.policy import Adapter, Concurrency
from guardian.core.rollout import Rollout
from tests.builders import ordered, policy, requested, seen
from tests.core.play import Play

WORKLOAD = Adapter(kind="memory")


class Refusing(Play):
    """A world that refuses for good what `breaks` names."""

    again = False

    def _perform(self, rollout: RolloutId, effect: object) -> None:
        if type(effect) in self.breaks:
            reason = self.breaks[type(effect)]  # type: ignore[index]
            failed = EffectFailed(rollout=rollout, effect=effect.id, reason=reason, again=self.again)  # type: ignore[attr-defined]
            self.tell(failed)
        else:
            super()._perform(rollout, effect)  # type: ignore[arg-type]


P = TypeVar("P", bound=Play)


def harmful(play: P) -> P:
    """Have the canary show harm from now on."""
    play.show = lambda rollout, now: seen(rollout, at=now, harm=1e4)
    return play


def first(play: Play) -> Rollout:
    """Return the oldest rollout."""
    return next(iter(play.engine.world.rollouts.values()))


def rolled_back(**changes: object) -> Play:
    """Return a story whose rollout went back at about 10 s."""
    play = harmful(Play(policies=(policy(**changes),)))
    play.tell(requested())
    play.until(15)
    assert play.phase() is Phase.ROLLED_BACK
    return play


# ---- refused for good -------------------------------------------------------------------------------------------


def test_a_canary_that_can_never_be_stopped_gives_its_place_free_after_a_page() -> None:
    """The Deployment was deleted by hand: the next release must not wait for ever."""
    play = harmful(Refusing(policies=(policy(workload=WORKLOAD),), breaks={StopCanary: "404"}))
    play.tell(requested())
    play.until(100)
    play.tell(requested("2.2.0", at=play.now))
    play.until(200)
    assert play.phase() is Phase.QUEUED
    play.until(700)
    assert first(play).phase is Phase.ROLLED_BACK
    assert play.all(r.Started)[-1].rollout == play.rollout.id
    page = next(page for page in play.all(r.Paged) if page.key.startswith("given-up"))
    assert page.rollout == first(play).id
    assert "404" in page.reason
    assert "may still have pods" in page.reason


def test_a_hand_over_that_is_refused_for_good_leaves_the_traffic_where_it_is_and_says_so() -> None:
    """Nobody is hurt: the verified revision serves. No later part of the hand-over is ordered without the first."""
    play = Refusing(policies=(policy(workload=WORKLOAD),), breaks={MakeStable: "the server said no"})
    play.tell(requested())
    play.until(6000)
    assert (play.phase(), play.rollout.effects, play.router) == (Phase.VERIFIED, (), 1.0)
    assert play.engine.world.place(play.rollout.place).running is None
    assert "all traffic stays on the canary" in play.all(r.Paged)[-1].reason


def test_what_may_work_later_is_tried_for_ever() -> None:
    """An API server that is away for an hour comes back; the canary is stopped then."""
    play = harmful(Refusing(policies=(policy(workload=WORKLOAD),), breaks={StopCanary: "503"}))
    play.again = True
    play.tell(requested())
    play.until(4000)
    assert [type(pending.effect) for pending in play.rollout.effects] == [StopCanary]
    assert "guardian abort" in play.all(r.Paged)[-1].reason
    play.breaks = {}
    play.until(4100)
    assert play.rollout.settled
    assert isinstance(play.performed[-1], StopCanary)


def test_a_person_may_end_what_is_left_to_be_done() -> None:
    """The order names who and why, and the next release starts at once."""
    play = harmful(Refusing(policies=(policy(workload=WORKLOAD),), breaks={StopCanary: "503"}))
    play.again = True
    play.tell(requested())
    play.until(100)
    play.tell(requested("2.2.0", at=play.now))
    play.tell(ordered(first(play).id, Order.ABORT, reason="the cluster is gone"))
    assert play.refusal is None
    assert any("the cluster is gone" in ended.reason for ended in play.all(r.EffectEnded))
    assert play.all(r.Started)[-1].rollout == play.rollout.id
    play.tell(ordered(first(play).id, Order.ABORT, reason="once more"))
    assert play.refusal is not None


def test_a_rollback_is_given_up_by_a_person_only_and_only_when_overdue() -> None:
    """Users are on the bad revision: it is tried for ever, unless somebody who knows better takes over."""
    play = Refusing()
    play.tell(requested())
    play.until(5)
    play.breaks = {SetWeight: "no such route"}
    harmful(play).until(100)
    play.tell(ordered(play.rollout.id, Order.ABORT, reason="too early"))
    assert play.refusal is not None
    play.until(3000)
    assert (play.phase(), len(play.rollout.effects)) == (Phase.ROLLING_BACK, 1)
    play.tell(ordered(play.rollout.id, Order.ABORT, reason="route deleted"))
    assert (play.phase(), play.rollout.settled) == (Phase.FAILED, True)
    assert "route deleted" in play.all(r.Ended)[-1].reason


def test_the_place_stays_taken_until_the_hand_over_is_over() -> None:
    """Between its parts nothing else may start."""
    play = Refusing(policies=(policy(workload=WORKLOAD, concurrency=Concurrency.QUEUE),), breaks={StopCanary: "503"})
    play.again = True
    play.tell(requested())
    play.tell(requested("2.2.0"))
    play.until(6000)
    assert [rollout.phase for rollout in play.engine.world.rollouts.values()] == [Phase.VERIFIED, Phase.QUEUED]
    play.breaks = {}
    play.until(6100)
    assert play.phase() is Phase.PROGRESSING


# ---- a weight that comes back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workload", [None, WORKLOAD])
def test_a_write_that_lands_after_the_rollback_is_set_to_zero_again(workload: Adapter | None) -> None:
    """A rolled-back canary must not get traffic; who is on call is told, and the canary drains once more."""
    play = rolled_back(workload=workload)
    play.router = Weight(0.1)
    play.until(40)
    assert (play.router, play.weights) == (0.0, [0.1, 0.0, 0.0])
    assert "set to 0 again" in play.all(r.Paged)[-1].reason
    play.until(400)
    assert play.rollout.settled
    if workload is not None:
        assert type(play.performed[-1]) is StopCanary


def test_a_weight_that_keeps_coming_back_is_left_to_a_person() -> None:
    """Two controllers that set each other's weight again would move users back and forth for ever."""
    play = rolled_back()
    for number in range(20):
        play.router = Weight(0.1)
        play.until(20 + 10 * number)
    assert play.weights == [0.1, 0.0] + CORRECTIONS * [0.0]
    keys = [page.key for page in play.all(r.Paged)]
    assert [key for key in keys if "after" in key] == ["after-rollback", "after-rollback-again"]


def test_in_advise_a_weight_that_comes_back_is_paged_only() -> None:
    """Every write waits for a person, who can set it as quickly as approve it."""
    play = harmful(Play(policies=(policy(mode=Mode.ADVISE),)))
    play.tell(requested())
    for number in range(2):
        play.tell(ordered(play.rollout.id, Order.APPROVE, reason=str(number)))
        play.until(20)
    assert play.phase() is Phase.ROLLED_BACK
    play.router = Weight(0.1)
    play.until(60)
    assert play.router == 0.1
    assert "by hand" in play.all(r.Paged)[-1].reason


def test_the_canary_of_a_newer_rollout_is_not_taken_for_a_weight_that_came_back() -> None:
    """Its weight is its own; the one before it is watched no longer."""
    play = rolled_back()
    play.show = lambda rollout, now: seen(rollout, at=now)
    play.tell(requested("2.2.0", at=play.now))
    play.until(100)
    assert play.weights == [0.1, 0.0, 0.1]
    assert play.all(r.Paged) == []


def test_a_weight_that_came_back_before_the_next_preflight_is_still_set_to_zero() -> None:
    """The newer rollout fails without having written; nobody else would take users from the revision that went back."""
    play = rolled_back()
    play.show = lambda rollout, now: seen(rollout, at=now)
    play.router = Weight(0.5)
    play.tell(requested("2.2.0", at=play.now))
    play.until(60)
    assert play.phase() is Phase.FAILED
    assert (play.router, first(play).corrected) == (0.0, 1)


def test_a_newer_rollout_waits_while_a_weight_that_came_back_is_set_to_zero() -> None:
    """Both would move the same place."""
    play = rolled_back()
    play.breaks = {SetWeight: "503"}
    play.router = Weight(0.1)
    play.until(25)
    play.tell(requested("2.2.0", at=play.now))
    assert play.phase() is Phase.QUEUED
    play.breaks = {}
    play.show = lambda rollout, now: seen(rollout, at=now)
    play.until(60)
    assert play.phase() is Phase.PROGRESSING


def test_a_correction_that_a_person_ended_is_not_taken_up_again() -> None:
    """The router cannot be told: an abort frees the place for good, not until the next look."""
    play = rolled_back()
    play.breaks = {SetWeight: "503"}
    play.router = Weight(0.1)
    play.until(25)
    play.tell(ordered(play.rollout.id, Order.ABORT, reason="the router is being replaced"))
    assert play.refusal is None
    ordered_before = play.rollout.ordered
    play.until(40)
    assert (play.rollout.settled, play.rollout.ordered) == (True, ordered_before)
    assert "is not set to 0 again" in play.all(r.Dismissed)[-1].reason
    play.tell(requested("2.2.0", at=play.now))
    assert play.all(r.Started)[-1].rollout == play.rollout.id


def test_ending_what_is_left_of_the_pods_leaves_the_weight_watched() -> None:
    """The no was to stopping the canary; a weight that comes back is set to 0 still."""
    play = harmful(Refusing(policies=(policy(workload=WORKLOAD),), breaks={StopCanary: "503"}))
    play.again = True
    play.tell(requested())
    play.until(50)
    play.tell(ordered(play.rollout.id, Order.ABORT, reason="the cluster is gone"))
    assert play.all(r.Dismissed) == []
    play.router = Weight(0.1)
    play.until(60)
    assert play.router == 0.0
