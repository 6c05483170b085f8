"""What people order: promote, pause, approve, abort, roll back, amend; and what advise mode asks them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import Preflight
from guardian.core.facts import DeployEnd, DeployReported, Order
from guardian.core.looks import Breach
from guardian.core.model import EventRef, Mode, Phase, RolloutId, Seconds
from guardian.core.strategies import Approval, Canary, Step
from tests.builders import OBJECTIVE, PLACE, policy, requested, seen
from tests.builders import ordered as order_of
from tests.core.play import Play


def order(play: Play, kind: Order, **changes: Any) -> None:
    """Have ann give an order about the newest rollout."""
    play.tell(order_of(play.rollout.id, kind, **changes))


def gated(expires: float = 3600.0) -> Step:
    """Return a first step that needs an approval."""
    return Step(weight=0.1, bake=Seconds(60.0), approval=Approval(expires=Seconds(expires)))  # type: ignore[arg-type]


def test_a_gate_waits_for_approval_after_everything_else_passed() -> None:
    """Awaiting is published once; time in which only the approval is missing is not counted against the limit."""
    play = Play(policies=(policy(gated(), *policy().strategy.steps()[1:]),))
    play.tell(requested())
    play.until(3000)
    assert play.rollout.awaiting is not None
    assert play.events().count("awaiting-approval") == 1
    assert "paged" not in play.events()
    order(play, Order.APPROVE)
    play.until(3020)
    assert play.step() == 1


def test_an_approval_that_nobody_gives_aborts() -> None:
    """expires: abort."""
    play = Play(policies=(policy(gated(600.0), *policy().strategy.steps()[1:]),))
    play.tell(requested())
    play.until(800)
    assert play.phase() is Phase.ABORTED
    assert play.router == 0.0


def test_a_person_passes_a_step_without_bake_sample_and_verdict() -> None:
    """Who and why are in the record."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, step_requests=0.0))
    play.tell(requested())
    play.until(20)
    order(play, Order.PROMOTE, reason="hotfix")
    play.until(40)
    assert play.step() == 1
    waived = play.all(r.StepWaived)[0]
    assert (waived.who, waived.reason) == ("ann", "ann passes this step: hotfix")


def test_promote_is_refused_while_only_the_approval_is_missing() -> None:
    """It passes no gate: taken without effect, it would be told as done, and the step would wait on."""
    play = Play(policies=(policy(gated(), *policy().strategy.steps()[1:]),))
    play.tell(requested())
    play.until(3000)
    order(play, Order.PROMOTE)
    assert "step 1 waits for approval" in str(play.refusal)
    assert f"guardian approve {play.rollout.id}" in str(play.refusal)
    assert play.all(r.StepWaived) == []


def test_promote_before_the_approval_passes_the_rest_of_the_step_once() -> None:
    """Bake, sample and evidence are passed over, and the record says that the approval is not."""
    play = Play(policies=(policy(gated(), *policy().strategy.steps()[1:]),))
    play.tell(requested())
    play.until(20)
    order(play, Order.PROMOTE, reason="hotfix")
    order(play, Order.PROMOTE, reason="again")
    assert [one.reason for one in play.all(r.StepWaived)] == ["ann passes all of this step but its approval: hotfix"]
    assert "waits for approval" in str(play.refusal)
    order(play, Order.APPROVE)
    play.until(30)
    assert play.step() == 1


def test_advise_refuses_promote_while_the_next_weight_waits_for_approval() -> None:
    """There every step has a gate; `approve` opens it."""
    play = Play(policies=(policy(mode=Mode.ADVISE),))
    play.tell(requested())
    order(play, Order.APPROVE)
    play.until(3000)
    order(play, Order.PROMOTE)
    assert "mode advise: the next weight waits for approval" in str(play.refusal)


def test_nobody_promotes_over_a_critical_objective_or_rollback_evidence() -> None:
    """The order is refused with the remedy, and recorded."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, breach=Breach.CRITICAL, stable_breach=True))
    play.tell(requested())
    play.until(20)
    order(play, Order.PROMOTE)
    assert play.step() == 0
    assert "roll back" in str(play.refusal)
    assert "refused" in play.all(r.Noted)[-1].reason


def test_a_paused_rollout_does_not_advance_but_still_rolls_back() -> None:
    """Pausing stops the plan, never the guardrails."""
    play = Play()
    play.tell(requested())
    play.until(20)
    order(play, Order.PAUSE)
    play.until(2000)
    assert (play.phase(), play.step()) == (Phase.PAUSED, 0)
    play.show = lambda rollout, now: seen(rollout, at=now, harm=1e4)
    play.until(2015)
    assert play.phase() is Phase.ROLLED_BACK


def test_resume_goes_back_to_where_it_was() -> None:
    """Time paused does not count against the step's limit."""
    play = Play()
    play.tell(requested())
    play.until(20)
    order(play, Order.PAUSE)
    play.until(4000)
    order(play, Order.RESUME)
    play.until(4020)
    assert play.step() >= 1
    assert "paged" not in play.events()


def test_abort_and_rollback_differ_in_their_outcome_only() -> None:
    """The same actions; abort only before promotion."""
    for kind, phase in ((Order.ABORT, Phase.ABORTED), (Order.ROLLBACK, Phase.ROLLED_BACK)):
        play = Play()
        play.tell(requested())
        play.until(20)
        order(play, kind)
        assert (play.phase(), play.router) == (phase, 0.0)


def test_after_promotion_abort_is_refused_and_rollback_works() -> None:
    """Baking: rollback is the word."""
    play = Play()
    play.tell(requested())
    while play.phase() is not Phase.BAKING:
        play.until(play.now - 1_750_000_000.0 + 10.0)
    order(play, Order.ABORT)
    assert "use rollback" in str(play.refusal)
    order(play, Order.ROLLBACK)
    assert play.phase() is Phase.ROLLED_BACK


def test_an_order_for_an_unknown_or_ended_rollout_is_refused() -> None:
    """No guessing which one was meant."""
    play = Play()
    play.tell(order_of(RolloutId("nobody"), Order.ABORT))
    assert "no rollout" in str(play.refusal)
    play.tell(requested())
    order(play, Order.ABORT)
    order(play, Order.ABORT, reason="twice")
    assert "is over: aborted" in str(play.refusal)


def test_a_cancelled_deploy_is_aborted() -> None:
    """deploy.cancelled before promotion."""
    play = Play()
    play.tell(requested())
    event = EventRef(source="ci", id="c1")
    play.tell(DeployReported(event=event, time=play.now, place=PLACE, end=DeployEnd.CANCELLED))
    assert play.phase() is Phase.ABORTED


def test_advise_asks_before_every_write_and_pages_a_rollback_at_once() -> None:
    """Nothing is written without approval."""
    play = Play(policies=(policy(mode=Mode.ADVISE),))
    play.tell(requested())
    assert play.weights == []
    order(play, Order.APPROVE)
    assert play.weights == [0.1]
    play.until(15)
    play.show = lambda rollout, now: seen(rollout, at=now, harm=1e4)
    play.until(40)
    assert play.weights == [0.1]
    assert play.rollout.awaiting is not None
    assert "paged" in play.events()
    order(play, Order.APPROVE, reason="yes")
    assert (play.phase(), play.weights) == (Phase.ROLLED_BACK, [0.1, 0.0])


def test_a_dismissed_rollback_is_not_proposed_again() -> None:
    """A person saw the evidence and decided."""
    play = Play(policies=(policy(mode=Mode.ADVISE),), show=lambda rollout, now: seen(rollout, at=now, harm=1e4))
    play.tell(requested())
    order(play, Order.APPROVE)
    play.until(20)
    order(play, Order.REJECT)
    play.until(300)
    assert play.phase() is Phase.PROGRESSING
    assert len(play.all(r.Awaiting)) == 2  # the start, and one rollback


def test_a_gate_turned_down_aborts() -> None:
    """Reject of an approval: abort."""
    play = Play(policies=(policy(gated(), *policy().strategy.steps()[1:]),))
    play.tell(requested())
    play.until(1200)
    order(play, Order.REJECT)
    assert play.phase() is Phase.ABORTED


def test_an_amendment_may_only_tighten() -> None:
    """A running rollout keeps its policy, except where it becomes stricter."""
    base = policy()
    play = Play(policies=(base,))
    play.tell(requested())
    play.until(20)
    longer = replace(base, strategy=Canary(plan=tuple(replace(step, bake=900.0) for step in base.strategy.steps())))
    order(play, Order.AMEND, policy=longer)
    assert play.rollout.policy.digest == longer.digest
    order(play, Order.AMEND, policy=base, reason="back")
    assert "may only tighten" in str(play.refusal)


def test_an_irreversible_change_is_held_and_paged_instead_of_rolled_back() -> None:
    """S28: an automatic rollback after a migration breaks data; a person may still order it."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, harm=1e4))
    play.tell(requested(irreversible=True))
    play.until(600)
    assert play.phase() is Phase.PROGRESSING
    assert play.events().count("paged") == 1
    assert play.rollout.held is not None
    order(play, Order.ROLLBACK)
    assert play.phase() is Phase.ROLLED_BACK


def test_a_critical_objective_rolls_back_unless_stable_suffers_too() -> None:
    """The user's pain decides, but a shared incident is not the canary's fault."""
    for shared, phase in ((False, Phase.ROLLED_BACK), (True, Phase.PROGRESSING)):
        play = Play(
            show=lambda rollout, now, shared=shared: seen(  # type: ignore[misc]
                rollout, at=now, breach=Breach.CRITICAL, stable_breach=shared
            ),
            policies=(policy(guardrails=(replace(policy().guardrails[0], objective=OBJECTIVE),)),),
        )
        play.tell(requested())
        play.until(25)
        assert play.phase() is phase
        assert ("paged" in play.events()) is shared


def test_a_first_release_has_nothing_to_compare_with() -> None:
    """Objectives, probes and bake only; on failure hold and page."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, stable=False), stable=None)
    play.tell(requested(previous=None))
    play.until(4000)
    assert play.phase() is Phase.VERIFIED


def test_a_rollout_paused_in_preflight_goes_on_from_there() -> None:
    """Preflight may pass, or fail, while a person holds the plan."""
    play = Play(breaks={Preflight: "503"})
    play.tell(requested())
    order(play, Order.PAUSE)
    play.breaks = {}
    play.until(10)
    assert (play.phase(), play.weights) == (Phase.PAUSED, [])
    order(play, Order.RESUME)
    assert (play.phase(), play.weights) == (Phase.PROGRESSING, [0.1])


def test_nothing_measured_at_all_is_not_a_first_release() -> None:
    """Without metrics, and without a previous revision, the rollout holds: never a verdict from nothing."""
    play = Play(show=lambda *_: None, stable=None)
    play.tell(requested(previous=None))
    play.until(2000)
    assert (play.phase(), play.step()) == (Phase.PROGRESSING, 0)
    assert "paged" in play.events()
