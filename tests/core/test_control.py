"""A control track: the canary stands against pods of its age, and never against old ones instead."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.contest import OLDER
from guardian.core.fleet import Fleet
from guardian.core.looks import Allocation, Breach, Look
from guardian.core.model import Instant, RolloutId, Seconds, Verdict, Weight
from guardian.core.policy import Guardrail, Level, Policy, Scope, WarmUp
from guardian.errors import SamplesError
from tests.builders import ERRORS, OBJECTIVE, requested, seen
from tests.core.levels import ORDERS, ZERO, R, by, look, observe
from tests.core.play import Play
from tests.core.test_history import numbers
from tests.core.test_live_levels import live
from tests.core.trio import STEP, Trio, controlled

WARM = replace(ERRORS, warm_up=WarmUp(lasts=Seconds(120.0), factor=3.0))
OLD = -math.ceil(OLDER / STEP) - 5
"""First tick of a control pod that is too old."""

STORIES = {
    "fresh machines fail twice as much": (Trio(fresh=2.0), Verdict.PROMOTE),
    "the canary fails three times as much": (Trio(worse=3.0), Verdict.ROLLBACK),
    "both": (Trio(worse=3.0, fresh=2.0), Verdict.ROLLBACK),
    "control comes late": (Trio(fresh=2.0, controls=(15, 17)), Verdict.PROMOTE),
    "control goes early": (Trio(fresh=2.0, until=20), Verdict.HOLD),
    "one of three is old": (Trio(fresh=2.0, controls=(0, 0, OLD)), Verdict.PROMOTE),
    "none": (Trio(worse=5.0, controls=()), Verdict.HOLD),
    "all are old": (Trio(worse=5.0, controls=(OLD, OLD)), Verdict.HOLD),
}


def watched(trio: Trio, rules: Policy, *, upto: float = math.inf) -> tuple[Fleet, Look]:
    """A fleet that took all samples at once, and how it stands."""
    fleet = Fleet()
    fleet.open(R, rules)
    observe(fleet, [sample for sample in trio.samples() if sample[1] - ZERO <= upto])
    return fleet, look(fleet, ZERO + 1e4)


@pytest.mark.parametrize("rules", [(ERRORS,), (WARM,), (ERRORS, ORDERS)], ids=["errors", "warm-up", "orders"])
@pytest.mark.parametrize("name", STORIES)
def test_a_running_rollout_and_a_file_give_the_same_verdict(
    tmp_path: Path, name: str, rules: tuple[Guardrail, ...]
) -> None:
    """What, when and on which evidence: against control's pods of its age only."""
    trio, wanted = STORIES[name]
    expected = trio.judged(tmp_path / "samples.csv", controlled(*rules))
    verdict, at, evidence = live(trio.samples(), controlled(*rules))
    if wanted is Verdict.HOLD:  # a file that ends without a control track is inconclusive; a rollout holds
        assert (verdict, expected.verdict) == (Verdict.HOLD, Verdict.INCONCLUSIVE) or name == "control goes early"
        assert expected.verdict is not Verdict.PROMOTE
    else:
        assert (verdict, at) == (expected.verdict, expected.decided_at) == (wanted, at)
        assert evidence == pytest.approx(expected.evidence, rel=1e-6)


def test_without_a_control_track_a_fresh_machine_is_the_canary_s_fault(tmp_path: Path) -> None:
    """The same files, judged against old pods: what control is there for."""
    alone = Trio(fresh=2.0, controls=())
    assert alone.judged(tmp_path / "samples.csv", by(ERRORS)).verdict is Verdict.ROLLBACK


def test_reasons_say_whom_it_was_compared_with(tmp_path: Path) -> None:
    """How many control pods of its age, in a verdict and where there are none."""
    worse = Trio(worse=3.0).judged(tmp_path / "worse.csv", controlled(ERRORS))
    assert "control requests of 2 control pods of its age" in worse.reason
    assert "corrected for what pods of its age, the canary's and control's, differ" in worse.reason
    old = Trio(controls=(OLD, OLD)).judged(tmp_path / "old.csv", controlled(ERRORS))
    assert "2 control pods began more than 10m before the canary's first" in old.reason
    assert "never with old ones: start as many pods of the old revision" in old.reason
    lone = Trio(worse=20.0, canaries=1, controls=(0,)).judged(tmp_path / "lone.csv", controlled(ERRORS))
    assert "uncalibrated: less than 30 min of stable history, or a single pod of its age a track" in lone.reason


def test_old_pods_never_stand_in_for_control() -> None:
    """Five times the errors and no control pod: no evidence either way, whatever stable's old pods serve."""
    for controls in ((), (OLD, OLD)):
        at = watched(Trio(worse=5.0, controls=controls), controlled(ERRORS))[1]
        errors = at.of("errors")
        assert (at.log_harm, errors.comparable) == (0.0, False)
        assert not at.log_safe > 0.0
        assert errors.control is not None
        assert (errors.control.pods, errors.older, errors.stable.pods) == (0, len(controls), 4 + len(controls))


def test_a_control_pod_that_is_too_old_counts_as_stable_s() -> None:
    """In the totals of the comparison as well: two pods of three are left."""
    errors = watched(Trio(controls=(0, 0, OLD)), controlled(ERRORS))[1].of("errors")
    assert errors.control is not None
    assert (errors.control.pods, errors.stable.pods, errors.older) == (2, 5, 1)
    assert errors.control.requests == pytest.approx(errors.canary.requests, rel=0.05)
    assert errors.stable.requests == pytest.approx(2.5 * errors.canary.requests, rel=0.05)


def test_the_weight_is_the_canary_s_share_of_all_traffic() -> None:
    """Two pods of eight: a quarter, with control and stable in the sum; a router that gives less is found out."""
    for weight, wanted in ((0.25, Allocation.FITS), (0.5, Allocation.SKEWED)):
        fleet = Fleet()
        fleet.open(R, controlled(ERRORS))
        fleet.expect(R, weight=Weight(weight), now=Instant(ZERO))
        observe(fleet, Trio().samples())
        at = look(fleet, ZERO + 1e4)
        assert at.observed is not None
        assert at.observed.share == pytest.approx(0.25, abs=0.01)
        assert at.allocation is wanted


@pytest.mark.parametrize("scope", Scope)
def test_an_objective_that_control_breaks_as_well_is_not_the_canary_s(scope: Scope) -> None:
    """The old revision is one track to objectives, on old pods and on control's; the service is all three."""
    objective = replace(OBJECTIVE, scope=scope)
    broken = Trio(fresh=20.0, controls=(0,) * 6, stables=2)
    errors = watched(broken, controlled(replace(ERRORS, objective=objective)))[1].of("errors")
    assert (errors.breach, errors.stable_breach) == (Breach.CRITICAL, True)
    looser = replace(objective, target=0.97, warning=None, critical=Level(bound=0.97, lasts=Seconds(60.0)))
    rules = controlled(replace(ERRORS, objective=looser))
    apart = watched(Trio(worse=20.0), rules)[1].of("errors")
    assert (apart.breach, apart.stable_breach) == (Breach.CRITICAL, False)


@pytest.mark.parametrize("name", ["both", "control comes late", "one of three is old"])
def test_history_in_one_go_leaves_what_it_leaves_tick_by_tick(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control pods have a past too, which tells their age and is compared with nothing."""
    rules = controlled(replace(ERRORS, objective=OBJECTIVE), ORDERS)
    at_once = numbers(watched(STORIES[name][0], rules)[0].checkpoint(R))
    monkeypatch.setattr("guardian.core.feeding.take_history", lambda *_: False)
    assert at_once == pytest.approx(
        numbers(watched(STORIES[name][0], rules)[0].checkpoint(R)), rel=1e-9, abs=1e-9, nan_ok=True
    )


@pytest.mark.parametrize("cut", [-300.0, 0.0, 40.0, 400.0])
def test_a_restart_goes_on_against_control(cut: float) -> None:
    """Before, at and after the hand-over from stable's past to control."""
    trio, rules = Trio(worse=1.5, fresh=2.0, controls=(0, 3, OLD)), controlled(WARM, ORDERS)
    fleet = watched(trio, rules, upto=cut)[0]
    again = Fleet()
    again.restore(R, rules, fleet.checkpoint(R))
    for each in (fleet, again):
        observe(each, [sample for sample in trio.samples() if sample[1] - ZERO > cut])
    assert look(again, ZERO + 1e4) == look(fleet, ZERO + 1e4)


def test_evidence_does_not_depend_on_how_often_one_looks() -> None:
    """After every scrape, or once at the end."""
    trio, rules = Trio(worse=1.3, fresh=2.0, controls=(0, 4)), controlled(ERRORS, ORDERS)
    fleet = Fleet()
    fleet.open(R, rules)
    for t, scrape in groupby(trio.samples(), key=lambda sample: sample[1]):
        observe(fleet, list(scrape))
        look(fleet, t)
    often, once = look(fleet, ZERO + 1e4), watched(trio, rules)[1]
    assert (often.log_harm, often.log_safe) == pytest.approx((once.log_harm, once.log_safe), rel=1e-9)


def test_a_row_of_control_needs_a_policy_that_names_it(tmp_path: Path) -> None:
    """The line, what is wrong, and what to write."""
    with pytest.raises(SamplesError, match="the policy names no control track") as error:
        Trio(history=2, lasts=5).judged(tmp_path / "samples.csv", by(ERRORS))
    assert "samples.csv: line" in error.value.where
    assert "column track" in error.value.where
    assert "labels: {control: control}" in error.value.remedy


def test_a_silent_control_track_holds_and_is_paged() -> None:
    """Absent from the start, or gone: said with the remedy; the canary is fine, and is not promoted."""
    for older, text in ((0, "has no metrics of the control yet"), (2, "2 control pods began more than 10m before")):

        def show(rollout: RolloutId, now: Instant, older: int = older) -> Look:
            at = seen(rollout, at=now, harm=0.5, safe=100.0)
            errors = replace(at.guardrails[0], control=replace(at.guardrails[0].stable, last=None, pods=0), older=older)
            return replace(at, guardrails=(errors,))

        play = Play(policies=(controlled(ERRORS),), show=show)
        play.tell(requested())
        play.until(3600.0)
        reasons = [record.reason for record in play.all(r.Held)]
        assert any(text in reason and "never with old ones" in reason for reason in reasons)
        assert any("of the control" in record.reason for record in play.all(r.Paged))
        assert [record.step for record in play.all(r.Advanced)] == [0]
