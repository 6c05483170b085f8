"""Which pages are over by which record: what a pager closes by itself, and what stays open for a person."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import SetWeight
from guardian.core.model import EffectId, Phase, Weight
from guardian.core.paging import AWAITING, over
from guardian.core.rollout import Pending, PendingEffect, Rollout
from tests.builders import PLACE, T0, requested
from tests.core.play import Play


def rollout(**changes: object) -> Rollout:
    """A rollout at its first step for which people were called twice."""
    play = Play()
    play.tell(requested())
    play.until(100.0)
    (found,) = play.engine.world.rollouts.values()
    return replace(found, paged=("no-data-errors", "overdue-checkout/weight-3", "rollback-advised"), **changes)


AFTER = rollout()
RESUMED = r.Resumed(rollout=AFTER.id, at=T0)
WEIGHT = SetWeight(id=EffectId("checkout/weight-3"), place=PLACE, weight=Weight(0.1))
ASKED = Pending(proposal=r.Proposal.ROLLBACK, step=0, since=T0, expires=None, reason="errors")
ALL = (*AFTER.paged, AWAITING)


@pytest.mark.parametrize("record", [RESUMED, r.Unpaused(rollout=AFTER.id, at=T0, who="ann")])
def test_a_plan_that_goes_on_ends_what_held_it(record: r.OfRollout) -> None:
    """Metrics are back, somebody agreed: nobody has to do anything any more."""
    assert over(record, AFTER) == ALL


def test_nothing_is_over_while_it_is_held() -> None:
    """A person may let a plan go on that metrics still hold."""
    held = r.Held(rollout=AFTER.id, at=T0, hold=r.Hold.NO_DATA)
    assert over(r.Unpaused(rollout=AFTER.id, at=T0, who="ann"), replace(AFTER, held=held)) == ()
    assert over(held, AFTER) == ()


def test_a_weight_that_is_still_not_set_stays_a_page() -> None:
    """Metrics that came back do not mend the router."""
    pending = PendingEffect(effect=WEIGHT, since=T0)
    assert over(RESUMED, replace(AFTER, effects=(pending,))) == ("no-data-errors", "rollback-advised", AWAITING)


def test_a_rollback_that_waits_for_a_person_stays_a_page() -> None:
    """Until it is answered."""
    assert over(RESUMED, replace(AFTER, awaiting=ASKED)) == ("no-data-errors", "overdue-checkout/weight-3")


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.terminal])
def test_the_end_of_a_rollout_ends_its_pages(phase: Phase) -> None:
    """Whatever the end is: that is told by itself."""
    assert over(r.Ended(rollout=AFTER.id, at=T0, phase=phase), replace(AFTER, phase=phase)) == ALL


def test_a_page_ends_no_other() -> None:
    """Nor does a decision that leaves things as they are."""
    assert over(r.Paged(rollout=AFTER.id, at=T0, key="drift"), AFTER) == ()
    assert over(r.Paused(rollout=AFTER.id, at=T0, who="ann"), AFTER) == ()
