"""Right, wrong and late, as docs/scenarios defines them."""

from __future__ import annotations

import math

import pytest

from guardian.core.model import Seconds, Verdict
from simulator.bound import bound
from simulator.counted import Harm
from simulator.outcome import Outcome, Run, Seen, compare, lower_limit, summarise, upper_limit
from simulator.truth import Happening
from tests.simulator.worlds import scenario, shipped


def _run(*seen: tuple[float, Happening], verdict: Verdict = Verdict.HOLD) -> Run:
    happenings = tuple(Seen(at=Seconds(at), happening=what, event=what.value) for at, what in seen)
    decided = Seconds(seen[0][0] if seen else 0.0)
    return Run(scenario="x", seed=1, verdict=verdict, decided_at=decided, seen=happenings, harm=Harm())


BAD = scenario(
    faults=[{"kind": "error_step", "at": "60s", "share": "5%"}],
    truth={"verdict": "rollback", "onset": "60s", "within": "60s"},
)
HELD = scenario(
    truth={
        "verdict": "hold",
        "expect": [
            {"event": "held", "after": "2m", "within": "2m"},
            {"event": "paged", "after": "2m", "within": "2m"},
        ],
        "never": [{"event": "promote", "before": "10m"}],
    }
)


@pytest.mark.parametrize(
    ("seen", "ok", "late", "wrong"),
    [
        ([(100, Happening.ROLLBACK)], True, False, False),
        ([(299, Happening.ROLLBACK)], True, False, False),
        ([(301, Happening.ROLLBACK)], False, True, False),
        ([], False, True, False),
        ([(100, Happening.PROMOTE)], False, False, True),
        ([(100, Happening.PROMOTE), (110, Happening.ROLLBACK)], False, False, True),
    ],
)
def test_a_bad_release(seen: list[tuple[float, Happening]], *, ok: bool, late: bool, wrong: bool) -> None:
    """Rolled back in time is right, after 4 x the deadline or never is late, promoted is wrong."""
    outcome = compare(BAD, _run(*seen))
    assert (outcome.ok, outcome.late, outcome.wrong) == (ok, late, wrong)


def test_a_rollback_before_the_onset_does_not_count_as_the_right_one() -> None:
    """The guardian was right by chance: nothing was wrong yet."""
    assert compare(BAD, _run((30, Happening.ROLLBACK))).lateness == math.inf


def test_a_healthy_release_that_is_rolled_back_is_wrong() -> None:
    """The opposite verdict, whenever it comes."""
    assert compare(scenario(), _run((60, Happening.ROLLBACK))).wrong


@pytest.mark.parametrize(
    ("seen", "ok"),
    [
        ([(130, Happening.HELD), (140, Happening.PAGED)], True),
        ([(130, Happening.HELD)], False),
        ([(100, Happening.HELD), (140, Happening.PAGED)], False),
        ([(130, Happening.HELD), (140, Happening.PAGED), (400, Happening.ROLLBACK)], False),
        ([(130, Happening.HELD), (140, Happening.PAGED), (400, Happening.PROMOTE)], False),
        ([(130, Happening.HELD), (140, Happening.PAGED), (700, Happening.PROMOTE)], True),
    ],
)
def test_a_hold_needs_all_its_milestones_and_no_rollback(seen: list[tuple[float, Happening]], *, ok: bool) -> None:
    """Holding means saying so, calling a person, and neither rolling back nor promoting too early."""
    assert compare(HELD, _run(*seen)).ok is ok


def test_a_scenario_passes_on_the_interval_of_wrong_verdicts_and_not_on_their_count() -> None:
    """5 of 200 may be a policy of 5 %; 30 of 200 is not."""
    right, wrong = compare(BAD, _run((100, Happening.ROLLBACK))), compare(BAD, _run((100, Happening.PROMOTE)))
    assert summarise(BAD, [right] * 190 + [wrong] * 10).passed
    summary = summarise(BAD, [right] * 150 + [wrong] * 50)
    assert not summary.passed
    assert "50 of 200 wrong" in summary.failures[0]


def test_a_slow_median_fails_and_a_few_late_seeds_do_not() -> None:
    """The median within the deadline, 95 % within four times it."""
    quick, slow = compare(BAD, _run((100, Happening.ROLLBACK))), compare(BAD, _run((200, Happening.ROLLBACK)))
    never = compare(BAD, _run())
    assert summarise(BAD, [quick] * 96 + [never] * 4).passed
    assert not summarise(BAD, [quick] * 90 + [never] * 10).passed
    assert not summarise(BAD, [slow] * 60 + [quick] * 40).passed


def _told(seed: int, *seen: tuple[str, str]) -> Outcome:
    """Return a run that only waited; seen: events and their reasons."""
    events = tuple(
        Seen(at=Seconds(60.0 + at), happening=None, event=one[0], reason=one[1]) for at, one in enumerate(seen)
    )
    run = Run(scenario="x", seed=seed, verdict=Verdict.HOLD, decided_at=Seconds(0.0), seen=events, harm=Harm())
    return compare(BAD, run)


def test_what_late_runs_waited_for_last_stands_beside_the_failure() -> None:
    """`never` without a reason sends its reader to the JSON; nobody would think of the approval."""
    held = [_told(seed, ("paged", "old"), ("held", f"no metrics for {seed} s")) for seed in (4, 5)]
    asked = [_told(seed, ("held", "x"), ("awaiting-approval", "step 1 waits for approval")) for seed in (1, 2, 3)]
    (median, seeds) = summarise(BAD, [*held, *asked]).failures
    assert median.endswith(
        "never comes to it; seed 1: awaiting-approval: step 1 waits for approval (nobody answers in a simulation)"
    )
    assert "waits" not in seeds
    assert summarise(BAD, [*held, asked[0]]).failures[0].endswith("; seed 4: held: no metrics for 4 s")


def test_runs_that_went_wrong_are_not_explained_by_what_others_waited_for() -> None:
    """The reason belongs to the more frequent failure."""
    wrong = compare(BAD, _run((100, Happening.PROMOTE)))
    assert not any("seed 1" in one for one in summarise(BAD, [wrong, wrong, _told(1, ("held", "x"))]).failures)


@pytest.mark.parametrize(
    ("events", "held"), [(("held",), True), (("held", "resumed"), False), (("held", "advanced"), False), ((), False)]
)
def test_a_promote_verdict_of_a_rollout_that_is_held_is_told(events: tuple[str, ...], *, held: bool) -> None:
    """Evidence alone moves no weight: who sees `passes` would think that the release went out."""
    seen = tuple(Seen(at=Seconds(10.0), happening=None, event=one, reason="no metrics") for one in events)
    run = Run(
        scenario="x", seed=3, verdict=Verdict.PROMOTE, decided_at=Seconds(60.0), seen=seen, harm=Harm()
    )  # fmt: skip
    told = summarise(BAD, [compare(BAD, run)]).caution
    assert told.startswith("1 of 1 rollouts were held when the verdict was promote") is held
    assert told.endswith("seed 3: no metrics") is held


def test_what_no_method_could_do_is_not_asked_for() -> None:
    """A bound beyond the deadline is printed, not held against the guardian."""
    never = compare(BAD, _run())
    assert summarise(BAD, [never] * 10, bound=Seconds(1000.0)).passed
    assert not summarise(BAD, [never] * 10, bound=Seconds(50.0)).passed


def test_limits_hold_the_share_they_are_about() -> None:
    """Clopper-Pearson, one-sided 95 %: 0 of 59 is the classic 5 %."""
    assert lower_limit(0, 59) == 0.0
    assert upper_limit(0, 59) == pytest.approx(0.0495, abs=1e-4)
    assert lower_limit(10, 100) == pytest.approx(0.0552, abs=1e-3)


def test_the_bound_agrees_with_the_one_worked_out_by_hand() -> None:
    """Errors 0.5 % -> 1 %, 200 requests/s, arms 9:1, 1 % false rollbacks: 135 s (docs/statistics.md)."""
    least = bound(shipped("S02"))
    assert least is not None
    assert least == pytest.approx(135, abs=2)


def test_a_hold_has_no_bound() -> None:
    """There is nothing to decide."""
    assert bound(shipped("S12")) is None
