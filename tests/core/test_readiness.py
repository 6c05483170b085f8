"""A canary without a ready pod: its users get nothing, and its metrics are clean."""

from __future__ import annotations

import pytest

from guardian.core import records as r
from guardian.core.amend import loosened
from guardian.core.attribution import HARM
from guardian.core.facts import Order
from guardian.core.model import Mode, Phase, Ready, Seconds
from tests.builders import policy, requested, seen
from tests.core.play import Play
from tests.core.test_orders import order

GONE = Ready(canary=0, stable=4)


def _watched(at: float = 100.0, **changed: object) -> Play:
    """A rollout whose canary is healthy and ready, so long after its event."""
    play = Play(policies=(policy(**changed),), ready=Ready(canary=2, stable=4))
    play.tell(requested())
    return play.until(at)


def test_without_a_ready_pod_it_goes_back_after_a_minute() -> None:
    """No metric shows it: the evidence of this one is as good as it gets."""
    play = _watched()
    play.ready = GONE
    play.until(150)
    assert play.phase() is Phase.PROGRESSING
    assert play.rollout.held is not None
    assert play.rollout.held.hold is r.Hold.UNREADY
    play.until(180)
    assert play.phase() is Phase.ROLLED_BACK
    (back,) = play.all(r.RollbackOrdered)
    assert back.why is r.Why.READINESS
    assert "no pod of the canary has been ready for 1m, 4 of stable can serve" in back.reason
    assert r.Why.READINESS in HARM


def test_the_policy_says_how_long() -> None:
    """Some services are always away for a while; an amendment may make it shorter, not longer."""
    play = _watched(unready=Seconds(300.0))
    play.ready = GONE
    play.until(380)
    assert play.phase() is Phase.PROGRESSING
    play.until(420)
    assert play.phase() is Phase.ROLLED_BACK
    longer = loosened(policy(), policy(unready=Seconds(300.0)))
    assert longer == ("unready cannot grow",)
    assert loosened(policy(unready=Seconds(300.0)), policy()) == ()


def test_one_ready_pod_is_enough_to_go_on() -> None:
    """The others are seen in the metrics. What counts is the time without any, without a break."""
    play = _watched()
    for at, ready in ((150, GONE), (165, Ready(canary=1, stable=4)), (210, GONE), (260, Ready(canary=2, stable=4))):
        play.ready = ready
        play.until(at)
    assert play.phase() is Phase.PROGRESSING
    assert not play.held()


def test_who_cannot_tell_says_nothing() -> None:
    """Absence of data is neither good nor bad: the time begins anew when the workload answers again."""
    play = _watched()
    for at, ready in ((140, GONE), (165, None), (220, GONE)):
        play.ready = ready
        play.until(at)
    assert play.phase() is Phase.PROGRESSING
    assert play.until(250).phase() is Phase.ROLLED_BACK


def test_a_router_that_does_not_answer_for_a_while_says_nothing_of_that_time() -> None:
    """Two readings without a ready pod, minutes apart: the pods may have been ready in between."""
    play = _watched(140)
    play.ready, play.answers = GONE, True
    play.until(155)
    play.answers = False
    play.until(400)
    play.answers = True
    assert play.until(440).phase() is Phase.PROGRESSING
    assert play.until(480).phase() is Phase.ROLLED_BACK
    assert "for 1m," in play.all(r.RollbackOrdered)[-1].reason


def test_where_stable_has_none_either_nothing_goes_back() -> None:
    """A cluster is gone, not a release: hold, page once, and go on when they are back."""
    play = _watched()
    play.ready = Ready(canary=0, stable=0)
    play.until(290)
    assert play.phase() is Phase.PROGRESSING
    assert play.events().count("paged") == 1
    assert "none of stable is" in play.all(r.Paged)[-1].reason
    play.ready = Ready(canary=2, stable=4)
    play.until(310)
    assert not play.held()


def test_no_step_passes_without_a_ready_pod() -> None:
    """The bake is over, the evidence is fine, and nobody is served."""
    play = _watched(295, unready=Seconds(600.0))
    play.ready = GONE
    play.until(400)
    assert play.step() == 0
    play.ready = Ready(canary=2, stable=4)
    assert play.until(420).step() == 1


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.ADVISE])
def test_what_cannot_be_taken_back_waits_for_a_person(mode: Mode) -> None:
    """As with every harm that lies in the release."""
    play = Play(policies=(policy(mode=mode),), ready=GONE)
    play.tell(requested(irreversible=mode is Mode.ENFORCE))
    if mode is Mode.ADVISE:
        order(play, Order.APPROVE)
    play.until(300)
    assert play.phase() is Phase.PROGRESSING
    assert play.events().count("paged") == 1
    order(play, Order.ROLLBACK)
    assert play.phase() is Phase.ROLLED_BACK


def test_the_bake_with_all_traffic_is_watched_as_well() -> None:
    """Then everybody meets it; stable still has its pods."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, harm=0.1, safe=100.0), ready=Ready(canary=2, stable=4))
    play.tell(requested())
    play.until(1000)
    assert play.phase() is Phase.BAKING
    play.ready = GONE
    assert play.until(1100).phase() is Phase.ROLLED_BACK
