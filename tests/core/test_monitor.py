"""Stable against stable over a trailing span: which windows, what they come to, what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from analysis.scoring import share_of
from guardian.core.model import Instant, Ratio, Seconds
from guardian.core.monitor import SETTLED, UNUSABLE, Ruled, Standing, Tally, rule
from guardian.core.policy import Compare, CountSli, Guardrail, Margin, Policy
from guardian.core.pretend import Fault, Window, cut, splits
from guardian.core.samples import Batch
from tests.builders import T0, policy, steps
from tests.core.test_backtest import flat

WEEK, HOUR = Seconds(7 * 86400.0), 3600.0
LENGTH = 1800.0
NOW = Instant(math.floor(T0 / LENGTH) * LENGTH + SETTLED)
"""As soon as the window before it is settled."""
ORDERS = Guardrail(
    name="orders", sli=CountSli(events="orders_total"),
    compare=Compare(rollback=Margin(relative=1.1), promote=Margin(relative=1.5)),
)  # fmt: skip


def tally(by: Policy | None = None, *, over: Seconds = WEEK) -> Tally:
    """The empty tally of a policy."""
    return Tally.of(by or policy(), over)


def judged(total: int, *, bad: int = 0, fault: str = "", over: Seconds = WEEK) -> Tally:
    """A tally of the newest windows, the first `bad` of them rolled back."""
    empty = tally(over=over)
    ruled = {at: Ruled(fault=fault, guardrail="errors" if number < bad else "")
             for number, at in enumerate(empty.due(NOW)[:total])}  # fmt: skip
    return empty.grown(ruled, NOW)


def past(rates: Sequence[float], *, seconds: float = 6 * HOUR) -> Batch:
    """Stable's rows from NOW - SETTLED - seconds on, one pod for each error rate."""
    rows = flat(rates=rates, seconds=seconds)
    return replace(rows, time=rows.time + NOW - SETTLED - seconds)


def windows(rows: Batch, empty: Tally) -> dict[Instant, Window]:
    """The windows of the span."""
    return {at: cut([rows], at, empty.shape) for at in empty.due(NOW)}


def names(count: int) -> Mapping[str, int]:
    """Names of pods with their codes."""
    return {f"s-{pod}": pod for pod in range(count)}


def test_a_week_has_a_window_every_half_hour_on_a_grid_of_absolute_times() -> None:
    """Newest first; none before late samples are there; two daemons that start at other times mean the same windows."""
    due = tally().due(NOW)
    assert (len(due), due[0], due[-1]) == (335, NOW - SETTLED - LENGTH, NOW - SETTLED - 335 * LENGTH)
    assert np.array_equal(np.diff(due), np.full(334, -LENGTH))
    assert tally().due(Instant(NOW - 1.0))[0] == due[1]
    assert tally().due(Instant(NOW + 700.0)) == due


def test_windows_are_due_once_and_leave_with_the_span() -> None:
    """An hour later two are new and the two oldest count no more."""
    whole = judged(335, bad=3)
    later = Instant(NOW + HOUR)
    assert (whole.due(NOW), len(whole.due(later))) == ((), 2)
    moved = whole.grown(dict.fromkeys(whole.due(later), Ruled()), later)
    assert moved.due(later) == ()
    assert (moved.standing().windows, moved.standing().newest) == (335, NOW - SETTLED + HOUR)


def test_a_pretended_rollout_lasts_as_the_plan_does_and_is_not_promoted_before() -> None:
    """Three steps of half an hour with both tracks: evidence may roll back all that time, a verdict does not end it."""
    long = tally(policy(*steps((0.1, 1800.0), (0.3, 1800.0), (0.5, 1800.0), (1.0, 600.0))))
    assert long.policy.risk.earliest_promotion == 5400.0
    assert (long.shape.length, long.shape.weight, long.shape.splits) == (10800.0, 0.1, 1)
    short = tally()
    assert (short.policy, short.shape.length, short.shape.history) == (policy(), LENGTH, 2400.0)


def test_equal_pods_are_not_rolled_back() -> None:
    """Six hours of four pods with the same errors."""
    empty = tally(over=Seconds(5 * HOUR))
    found = empty.grown(rule(empty, windows(past([0.01] * 4), empty), names(4)), NOW).standing()
    assert (found.windows, found.false_rollbacks, found.lower, found.left_out) == (9, 0, 0.0, 0)
    assert found.upper == share_of(0, 9).upper
    assert (found.complete, found.exceeded, found.problem) == (True, False, "")


def test_a_pod_that_is_worse_counts_whenever_it_is_drawn() -> None:
    """One of three with ten times the errors, by hand: the draw of a window depends on its time alone."""
    empty = tally(over=Seconds(10 * HOUR))
    found = rule(empty, windows(past([0.005, 0.005, 0.05], seconds=12 * HOUR), empty), names(3))
    drawn = {at: splits(np.arange(3), size=1, count=1, chance=np.random.default_rng(int(at))) for at in found}
    assert {at for at, one in found.items() if one.guardrail == "errors"} == {
        at for at, split in drawn.items() if split == [(2,)]
    }
    assert 0 < sum(bool(one.guardrail) for one in found.values()) < len(found) == 19


def test_who_counts_anew_counts_the_same() -> None:
    """Neither the order in which pods are answered nor which windows are judged together changes a verdict."""
    rows, empty = past([0.005, 0.005, 0.05]), tally(over=Seconds(5 * HOUR))
    at_once = rule(empty, windows(rows, empty), names(3))
    turned = replace(rows, pod=(rows.pod + 1) % 3)
    other = {"s-2": 0, "s-0": 1, "s-1": 2}
    one_by_one: dict[Instant, Ruled] = {}
    for at, window in windows(turned, empty).items():
        one_by_one |= rule(empty, {at: window}, other)
    assert one_by_one == at_once


@pytest.mark.parametrize(
    ("rows", "pods", "fault"),
    [
        (past([0.01]), 1, Fault.PODS),
        (past([0.01] * 3, seconds=600.0), 3, Fault.SHORT),
        (replace(past([0.01] * 3), time=past([0.01] * 3).time - 6 * HOUR), 3, Fault.EMPTY),
        (replace(past([0.01] * 3), requests=np.zeros(4320), bad=np.zeros(4320)), 3, UNUSABLE),
    ],
    ids=["one-pod", "short", "nothing", "no-requests"],
)
def test_a_window_that_cannot_be_judged_is_no_window_without_a_rollback(rows: Batch, pods: int, fault: str) -> None:
    """It is left out, and why is said."""
    empty = tally(over=Seconds(HOUR))
    found = empty.grown(rule(empty, windows(rows, empty), names(pods)), NOW).standing()
    assert (found.windows, found.left_out, found.lower) == (0, 1, None)
    assert found.sentence == (
        "not measured at this service, stable against stable: no window of its past can be judged "
        f"(1 with {fault})"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "over", "said"),
    [
        (policy(guardrails=(ORDERS,)), WEEK, "no guardrail that compares counts the requests that the events of 'ord"),
        (policy(*steps((0.1, 7200.0), (1.0, 60.0))), HOUR, "monitor.over (1h) is shorter than one rollout of this"),
    ],
    ids=["events-only", "span"],
)
def test_what_the_judge_of_samples_cannot_do_is_said_and_nothing_is_asked(
    rules: Policy, over: Seconds, said: str
) -> None:
    """A rate under other rules than the rollout's would mislead."""
    empty = tally(rules, over=over)
    assert empty.due(NOW) == ()
    assert said in empty.grown({}, NOW).standing().sentence


COUNTED = "measured at this service, stable against stable:"
TOO_MUCH = "this service's pods differ more than the evidence allows for (false_rollback 1%):"
REMEDY = "`guardian backtest` suggests margins"


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (judged(335), f"{COUNTED} 0 of 335 windows (95 %: at most 1.1%; 7 days)"),
        (judged(24, bad=1), f"{COUNTED} 1 of 24 windows (95 %: 0.105% to 21.1%; 12h), so far"),
        (judged(335, bad=12), f"{TOO_MUCH} {COUNTED} 12 of 335 windows (95 %: 1.86% to 6.17%; 7 days); {REMEDY}"),
        (tally(), f"not {COUNTED} no window is judged yet"),
    ],
    ids=["none", "so-far", "exceeded", "nothing-yet"],
)
def test_it_is_told_with_its_interval(counted: Tally, said: str) -> None:
    """The wording of the reasons; what is not whole says so."""
    assert counted.standing().sentence == said


def test_a_past_that_cannot_be_read_is_told_beside_what_was_counted_before() -> None:
    """The count stays, and is not passed for a new one."""
    said = judged(335).standing(problem="http://p: no answer").sentence
    assert said.endswith("0 of 335 windows (95 %: at most 1.1%; 7 days); not up to date: http://p: no answer")


def test_pods_differ_too_much_when_the_lower_limit_of_the_whole_span_is_above_the_risk() -> None:
    """Before that every window more would be another look at the limit; later a gap in reading does not end it."""
    assert share_of(7, 335).lower < 0.01 < share_of(8, 335).lower
    assert [judged(335, bad=bad).standing().exceeded for bad in (7, 8)] == [False, True]
    half = judged(168, bad=20)
    assert (half.standing().complete, half.standing().exceeded) == (False, False)
    assert judged(335, bad=8).standing(problem="no answer").exceeded
    assert Standing(risk=Ratio(0.01)).exceeded is False
