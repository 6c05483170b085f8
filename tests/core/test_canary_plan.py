"""A canary goes through its plan on evidence: facts about the step rule, weights and the bake."""

from __future__ import annotations

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import SetWeight
from guardian.core.looks import Allocation, Look
from guardian.core.model import Driver, Instant, Phase, RolloutId, Weight
from guardian.core.policy import Adapter, Risk
from tests.builders import T0, policy, requested, seen, steps
from tests.core.play import Play, healthy


def test_a_healthy_release_is_promoted_and_verified() -> None:
    """10 -> 50 -> 100 %, then the bake; no weight is ever set twice."""
    play = Play()
    play.tell(requested())
    play.until(4000)
    assert play.phase() is Phase.VERIFIED
    assert play.weights == [0.1, 0.5, 1.0]
    assert play.events() == ["queued", "started", "advanced", "advanced", "advanced", "promoted", "verified"]


def test_promotion_waits_for_the_earliest_time_and_the_promote_verdict() -> None:
    """The step that leaves no stable traffic is not taken before the evidence is there."""
    play = Play(policies=(policy(risk=Risk(earliest_promotion=1800.0)),))  # type: ignore[arg-type]
    play.tell(requested())
    play.until(1799)
    assert play.step() == 1
    play.until(1900)
    assert play.phase() is Phase.BAKING


def test_strong_evidence_rolls_back_at_once_and_says_why() -> None:
    """E >= 1/alpha sends all traffic to stable; the event carries the evidence."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, harm=226.0))
    play.tell(requested())
    play.until(25)
    assert play.phase() is Phase.ROLLED_BACK
    assert play.weights == [0.1, 0.0]
    assert play.events()[-1] == "rolled-back"
    ordered = play.all(r.RollbackOrdered)[0]
    assert "1.9% against 0.5%" in ordered.reason
    assert ordered.evidence.harm > 225


def test_missing_metrics_hold_and_page_once_then_resume_by_themselves() -> None:
    """Absent data is neither good nor bad news."""
    silent = lambda rollout, now: seen(rollout, at=now, canary_last=T0)  # noqa: E731
    play = Play(show=silent)
    play.tell(requested())
    play.until(1500)
    assert play.step() == 0
    assert play.events().count("held") == 1
    assert play.events().count("paged") == 1
    play.show = healthy
    play.until(6000)
    assert play.phase() is Phase.VERIFIED
    assert "resumed" in play.events()


def test_a_step_waits_for_its_sample() -> None:
    """Time alone never passes a step."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, safe=50.0, step_requests=999.0))
    play.tell(requested())
    play.until(1200)
    assert play.step() == 0


def test_growing_rollback_evidence_keeps_a_step_from_passing() -> None:
    """Between the margins, promotion waits while harm is above 1 and rising."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, harm=2.0, safe=50.0, rising=True))
    play.tell(requested())
    play.until(1200)
    assert play.step() == 0


def test_an_undecided_step_pages_once_and_still_passes_later() -> None:
    """A hold at the limit is a state, not an end."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, safe=1.0))
    play.tell(requested())
    play.until(3000)
    assert play.rollout.held is not None
    assert play.rollout.held.hold is r.Hold.UNDECIDED
    assert play.events().count("paged") == 1
    play.show = lambda rollout, now: seen(rollout, at=now, safe=50.0)
    play.until(5000)
    assert play.phase() is Phase.VERIFIED


def test_an_undecided_step_rolls_back_where_the_policy_says_so() -> None:
    """on_undecided: rollback."""
    play = Play(policies=(policy(on_undecided="rollback"),), show=lambda rollout, now: seen(rollout, at=now, safe=1.0))
    play.tell(requested())
    play.until(3000)
    assert play.phase() is Phase.ROLLED_BACK


def test_a_skewed_allocation_decides_nothing() -> None:
    """When canary and stable do not get the traffic that was accepted, evidence against the canary is unknown."""

    def skewed(rollout: RolloutId, now: Instant) -> Look:
        return seen(rollout, at=now, harm=1e6 if now > T0 + 20 else 1.0, allocation=Allocation.SKEWED)

    play = Play(show=skewed)
    play.tell(requested())
    play.until(1200)
    assert play.phase() is Phase.PROGRESSING


def test_a_sample_with_many_impossible_rows_promotes_nothing() -> None:
    """Rows refused because they had errors leave a faultless rest; whoever asks is told what to mend."""

    def lossy(rollout: RolloutId, now: Instant) -> Look:
        look = seen(rollout, at=now, safe=1e6)
        return replace(look, guardrails=tuple(replace(each, refused=0.2) for each in look.guardrails))

    play = Play(show=lossy)
    play.tell(requested())
    play.until(3000)
    assert play.phase() is Phase.PROGRESSING
    assert "20% of the rows of 'errors'" in play.all(r.Paged)[-1].reason


def test_a_foreign_weight_is_set_again_and_a_person_told() -> None:
    """Drift: desired differs from what the router reads back."""
    play = Play()
    play.tell(requested())
    play.until(100)
    play.router = Weight(0.0)
    play.until(120)
    assert play.weights == [0.1, 0.1]
    assert "drift" in [page.key for page in play.all(r.Paged)]


def test_a_router_that_refuses_is_tried_again_then_held_and_paged() -> None:
    """Deadlines are states of the core: the weight is tried with growing pauses, and nothing else moves."""
    play = Play(breaks={SetWeight: "503"})
    play.tell(requested())
    play.until(200)
    assert play.rollout.held is not None
    assert play.rollout.held.hold is r.Hold.WEIGHT
    assert play.events().count("paged") == 1
    play.breaks = {}
    play.until(600)
    assert not play.held()
    assert play.weights[0] == 0.1


def test_a_rollback_goes_on_being_tried_until_the_router_takes_it() -> None:
    """Rollback must finish whenever the router is back, and never gives up."""
    play = Play()
    play.tell(requested())
    play.until(60)
    play.breaks, play.show = {SetWeight: "timeout"}, lambda rollout, now: seen(rollout, at=now, harm=1e4)
    play.until(900)
    assert play.phase() is Phase.ROLLING_BACK
    assert "paged" in play.events()
    play.breaks = {}
    play.until(910)
    assert play.phase() is Phase.ROLLED_BACK


def test_where_somebody_else_moves_traffic_the_verdict_is_an_order() -> None:
    """deploy.started without a router: promote or roll back is said, nothing is written."""
    watched = policy(router=None)
    play = Play(policies=(watched,), show=lambda rollout, now: seen(rollout, at=now, harm=500.0))
    play.tell(requested(driver=Driver.OTHER))
    play.until(25)
    assert play.phase() is Phase.ROLLED_BACK
    assert play.performed == []
    assert play.events() == ["queued", "started", "advanced", "rolled-back"]


def test_a_policy_where_nothing_compares_goes_by_time_objectives_and_gates() -> None:
    """compare: none everywhere: the promote verdict is not asked."""
    plain = policy(guardrails=(replace(policy().guardrails[0], compare=None),))
    play = Play(policies=(plain,), show=lambda rollout, now: seen(rollout, at=now))
    play.tell(requested())
    play.until(4000)
    assert play.phase() is Phase.VERIFIED


def test_a_single_full_step_is_promoted_as_soon_as_its_weight_is_accepted() -> None:
    """A switch has no step with traffic on both tracks."""
    switch = policy(*steps((1.0, 60.0)))
    play = Play(policies=(switch,))
    play.tell(requested())
    play.until(300)
    assert play.phase() is Phase.VERIFIED
    assert play.weights == [1.0]


def test_a_workload_is_brought_up_before_and_handed_over_after() -> None:
    """Canary up, weights, verified, stable runs the revision, weight to stable, canary down."""
    full = policy(workload=Adapter(kind="memory"))
    play = Play(policies=(full,))
    play.tell(requested())
    play.until(4000)
    names = [type(effect).__name__ for effect in play.performed]
    assert names == [
        "Preflight", "StartCanary", "SetWeight", "SetWeight", "SetWeight", "MakeStable", "SetWeight", "StopCanary",
    ]  # fmt: skip
    assert play.rollout.settled
