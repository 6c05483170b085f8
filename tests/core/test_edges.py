"""Where rules meet: orders, alerts and restarts at moments nobody plans for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.amend import loosened
from guardian.core.effects import SetWeight, StartCanary
from guardian.core.engine import Engine
from guardian.core.facts import DeployEnd, DeployReported, Order
from guardian.core.fleet import Fleet
from guardian.core.looks import Breach, Look
from guardian.core.model import EventRef, Instant, Mode, Phase, Place, RolloutId, Seconds, Weight
from guardian.core.policies import Policies
from guardian.core.policy import Adapter, AlertRule, OnAlert, Policy
from guardian.core.strategies import Approval, Step
from guardian.core.world import KEPT_ENDED, fold
from tests.builders import ERRORS, LATENCY, OBJECTIVE, PLACE, T0, alert, ordered, policy, requested, seen, steps
from tests.core.play import Play

GATED = policy(Step(weight=Weight(0.1), bake=Seconds(300.0), approval=Approval()), *steps((0.5, 300.0), (1.0, 600.0)))


def shows(**what: Any) -> Callable[[RolloutId, Instant], Look | None]:
    """Return a fleet that sees this at every look."""
    return lambda rollout, now: seen(rollout, at=now, **what)


def reach(play: Play, step: int) -> Play:
    """Let time pass until the step is ordered."""
    while play.step() < step:
        play.until(play.now - T0 + 10.0)
    return play


def reported(end: DeployEnd, *, time: float) -> DeployReported:
    """Return what a pipeline reports of whatever runs."""
    return DeployReported(event=EventRef(source="ci", id=f"{end}-{time}"), time=Instant(time), place=PLACE, end=end)


def test_a_policy_can_be_amended_before_anything_is_measured() -> None:
    """A rollout that waits for its canary has no evidence yet; tightening its policy must not end the daemon."""
    play = Play(policies=(policy(workload=Adapter(kind="memory")),), breaks={StartCanary: "503"})
    play.engine.fleet = Fleet()
    play.tell(requested())
    tighter = policy(*steps((0.1, 900.0), (0.5, 300.0), (1.0, 600.0)), workload=Adapter(kind="memory"))
    play.tell(ordered(play.rollout.id, Order.AMEND, policy=tighter))
    assert play.refusal is None
    assert play.rollout.policy == tighter


def test_a_weight_accepted_while_paused_promotes_when_resumed() -> None:
    """The bake of the step that reaches 100 % is phase baking, pause or not; nothing is compared without stable."""
    play = Play()
    play.tell(requested())
    reach(play, 1)
    play.breaks = {SetWeight: "503"}
    reach(play, 2)
    play.tell(ordered(play.rollout.id, Order.PAUSE))
    play.breaks = {}
    play.show = shows(stable=False)
    play.until(play.now - T0 + 120.0)
    assert (play.phase(), play.router, play.held()) == (Phase.PAUSED, 1.0, False)
    play.tell(ordered(play.rollout.id, Order.RESUME))
    assert play.phase() is Phase.BAKING
    play.until(play.now - T0 + 610.0)
    assert play.phase() is Phase.VERIFIED


def test_waiting_for_an_approver_never_makes_a_step_undecided() -> None:
    """Only an approval was missing for an hour; a moment of rising evidence must not roll a healthy release back."""
    play = Play(policies=(replace(GATED, on_undecided="rollback"),))
    play.tell(requested())
    play.until(3600.0)
    play.show = shows(harm=1.2, safe=50.0, rising=True)
    play.until(3700.0)
    assert play.phase() is Phase.PROGRESSING
    assert not play.held()


def test_a_shared_incident_on_one_guardrail_does_not_hide_a_broken_canary_on_another() -> None:
    """Each objective is judged by itself: latency that only the canary breaks goes back."""

    def show(rollout: RolloutId, now: Instant) -> Look:
        look = seen(rollout, at=now, guardrails=("errors", "latency"))
        shared, own = look.guardrails
        broken = (
            replace(shared, breach=Breach.CRITICAL, stable_breach=True),
            replace(own, breach=Breach.CRITICAL),
        )
        return replace(look, guardrails=broken)

    play = Play(policies=(_with_objectives(),))
    play.tell(requested())
    play.until(60.0)
    play.show = show
    play.until(120.0)
    assert play.phase() is Phase.ROLLED_BACK
    assert play.rollout.cause is not None
    assert play.rollout.cause.guardrail == "latency"


def _with_objectives() -> Policy:
    return policy(guardrails=tuple(replace(one, objective=OBJECTIVE) for one in (ERRORS, LATENCY)))


@pytest.mark.parametrize("end", [DeployEnd.CANCELLED, DeployEnd.FINISHED])
def test_a_report_older_than_the_rollout_is_ignored(end: DeployEnd) -> None:
    """A cancellation of yesterday's deploy that comes late must not abort today's."""
    play = Play()
    play.tell(requested())
    play.until(60.0)
    play.tell(reported(end, time=T0 - 3600.0))
    assert play.phase() is Phase.PROGRESSING
    assert play.all(r.Noted)[-1].reason.startswith(f"deploy.{end} is 1h older")


def test_a_revision_may_come_again_while_its_abort_is_under_way() -> None:
    """It is not going out any more; the new event waits for the place instead of being dropped."""
    play = Play()
    play.tell(requested())
    play.until(60.0)
    play.breaks = {SetWeight: "503"}
    play.tell(ordered(play.rollout.id, Order.ABORT))
    play.tell(requested(identity="again", at=play.now))
    play.breaks = {}
    play.until(120.0)
    assert [one.phase for one in play.engine.world.rollouts.values()] == [Phase.ABORTED, Phase.PROGRESSING]


def test_an_event_from_the_future_does_not_make_later_ones_too_old() -> None:
    """A pipeline's clock that is a year ahead must not lock the place."""
    play = Play()
    play.tell(requested(at=Instant(T0 + 31_536_000.0)))
    play.until(60.0)
    play.tell(requested("2.2.0", at=play.now))
    assert play.rollout.revision == "2.2.0"


def test_a_deploy_that_nothing_can_move_is_rejected() -> None:
    """Without a router no weight is ever set: carrying it out would verify a revision that never ran."""
    play = Play(policies=(policy(router=None, workload=Adapter(kind="memory")),))
    play.tell(requested())
    assert play.phase() is Phase.REJECTED
    assert "router" in play.all(r.Ended)[-1].reason


def test_a_step_passed_by_a_person_still_stops_at_rollback_evidence() -> None:
    """Nobody promotes over evidence of harm, also not by an order given before it came up; and it is said once."""
    play = Play(policies=(GATED,))
    play.tell(requested(irreversible=True))
    play.until(50.0)
    play.tell(ordered(play.rollout.id, Order.PROMOTE))
    play.show = shows(harm=1e4)
    play.until(200.0)
    play.tell(ordered(play.rollout.id, Order.APPROVE))
    play.until(300.0)
    assert (play.step(), play.router) == (0, 0.1)
    assert play.events().count("held") == 1
    assert play.events().count("resumed") == 0


def test_a_flood_of_ended_rollouts_does_not_end_the_watch_over_another_badly() -> None:
    """A rollout is watched a little after it went back; the world may have forgotten it by then."""
    play = Play()
    play.tell(requested())
    play.until(60.0)
    play.tell(ordered(play.rollout.id, Order.ROLLBACK))
    nowhere = Place(service="nobody", environment="nowhere")
    for number in range(KEPT_ENDED + 1):
        play.engine.receive(requested(identity=str(number), at=play.now, place=nowhere), play.now)
    play.until(300.0)
    assert play.engine.wake_at() is None


def test_an_alert_of_an_earlier_step_rolls_back_when_nothing_is_measured() -> None:
    """It began after the canary's first traffic, whichever step it is now."""
    play = Play()
    play.tell(requested())
    reach(play, 1)
    began = Instant(play.now - 100.0)
    play.until(play.now - T0 + 20.0)
    play.show = lambda _rollout, _now: None
    play.engine = Engine(policies=Policies(play.policies), fleet=cast(Any, play.fleet), world=fold(play.records))
    play.tell(alert(starts_at=began, severity="critical", track="canary"))
    assert play.phase() is Phase.ROLLED_BACK


def test_a_pipeline_that_approves_its_deploy_does_not_approve_a_rollback() -> None:
    """It answers another question."""
    play = Play(policies=(policy(mode=Mode.ADVISE),))
    play.tell(requested())
    play.tell(ordered(play.rollout.id, Order.APPROVE))
    play.until(60.0)
    play.show = shows(harm=1e4)
    play.until(100.0)
    play.tell(reported(DeployEnd.APPROVED, time=play.now))
    assert play.phase() is Phase.PROGRESSING
    play.tell(ordered(play.rollout.id, Order.APPROVE, reason="go back"))
    assert play.phase() is Phase.ROLLED_BACK


def test_in_mode_advise_the_hand_over_waits_for_approval_too() -> None:
    """Every write does; turned down, everything goes back."""
    play = Play(policies=(policy(mode=Mode.ADVISE, workload=Adapter(kind="memory")),))
    play.tell(requested())
    for number in range(4000):
        if play.phase() is Phase.BAKING:
            break
        if play.rollout.awaiting is not None:
            play.tell(ordered(play.rollout.id, Order.APPROVE, reason=str(number)))
        play.until(play.now - T0 + 10.0)
    play.until(play.now - T0 + 1200.0)
    assert (play.phase(), play.router) == (Phase.BAKING, 1.0)
    assert play.rollout.awaiting is not None
    play.tell(ordered(play.rollout.id, Order.REJECT))
    assert (play.phase(), play.router) == (Phase.ROLLED_BACK, 0.0)


def test_a_restart_holds_the_share_against_the_weight_in_force() -> None:
    """A checkpoint from before the weight was set must not make all later traffic look misrouted."""
    play = Play()
    play.tell(requested())
    reach(play, 1)
    told: list[tuple[str, float, float]] = []
    play.fleet.expect = lambda rollout, *, weight, now: told.append((rollout, weight, now))  # type: ignore[method-assign]
    play.engine = Engine(policies=Policies(play.policies), fleet=cast(Any, play.fleet), world=fold(play.records))
    play.engine.restore(play.rollout.id, b"")
    play.until(play.now - T0 + 10.0)
    assert [(rollout, weight) for rollout, weight, _ in told] == [(play.rollout.id, 0.5)]
    assert told[0][2] > T0 + 299.0


def test_a_checkpoint_that_does_not_read_leaves_the_rollout_looked_at() -> None:
    """Evidence begins again; it does not end."""
    play = Play()
    play.tell(requested())
    play.until(60.0)
    engine = Engine(policies=Policies(play.policies), fleet=Fleet(), world=fold(play.records))
    for blob in (b"", b"\xff", b"\x81\xa7version\x63", b"\x81\xa7version\x01"):
        with pytest.raises(ValueError, match="begins again"):
            engine.restore(play.rollout.id, blob)
        assert engine.checkpoint(play.rollout.id)


@pytest.mark.parametrize(
    "change",
    [
        {"alerts": ()},
        {"hold_back": Seconds(1.0)},
        {"interval": Seconds(600.0)},
        {"drain": Seconds(600.0)},
        {"refuse_for": Seconds(0.0)},
        {"probes": ()},
        {"first_release": "hold"},
        {"guardrails": (replace(ERRORS, min_requests=1),)},
        {"guardrails": (replace(ERRORS, page_after=Seconds(86_400.0)),)},
    ],
)
def test_an_amendment_loosens_nothing(change: dict[str, Any]) -> None:
    """Every key that makes the guardian see less, later or more kindly is refused."""
    rule = AlertRule(match={"alertname": "A"}, on_firing=OnAlert.ROLLBACK)
    base = policy(alerts=(rule,), probes=(Adapter(kind="memory"),), first_release="remove")
    assert loosened(base, base) == ()
    assert len(loosened(base, replace(base, **change))) == 1


def test_a_fault_in_deciding_stops_one_rollout_and_pages() -> None:
    """A mistake of ours must not take the process, and all other rollouts, with it."""

    def broken(rollout: RolloutId, now: Instant) -> Look | None:
        look = seen(rollout, at=now, safe=50.0)
        return replace(look, worst="nobody", log_harm=9.0) if now > T0 + 20 else look

    play = Play(show=broken)
    play.tell(requested())
    play.until(100)
    assert play.phase() is Phase.PROGRESSING
    assert [page.key for page in play.all(r.Paged)] == ["internal-error"]
    play.tell(ordered(play.rollout.id, Order.ROLLBACK))
    assert play.phase() is Phase.ROLLED_BACK


def test_an_amendment_does_not_take_a_steps_own_limit_away() -> None:
    """Its default is longer; a longer bake may have a default that is longer still."""

    def steps(**change: Any) -> Policy:
        return policy(replace(policy().strategy.steps()[0], **{"bake": Seconds(300.0), **change}))

    limited, default = steps(limit=Seconds(600.0)), steps()
    assert loosened(limited, default) == ("step 1 may be undecided for longer",)
    assert loosened(default, limited) == ()
    assert loosened(default, steps(bake=Seconds(900.0))) == ()
