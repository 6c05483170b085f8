"""What would have changed the verdict: every number tried on the samples, and forecasts that agree with it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.detection.files import sample_table
from benchmarks.detection.streams import Situation, always, generate
from guardian.adapters.samples.tables import Samples
from guardian.core.counterfactual import canary_totals, changed, changes, margin_change, until
from guardian.core.course import TOGETHER, Against
from guardian.core.model import Ratio, Seconds, Track, Verdict
from guardian.core.policy import Guardrail, Policy, Risk, with_margins
from guardian.core.replay import Recording, judged, replay
from guardian.core.supposing import Tally, first, suppose
from guardian.core.what_if import of_recording
from guardian.errors import SamplesError
from tests.builders import ERRORS, LATENCY, policy
from tests.core.levels import MEMORY, METRICS, ORDERS, Story, events, level
from tests.core.levels import by as levels_by

RISK = Risk(false_rollback=Ratio(0.01), false_promotion=Ratio(0.05), earliest_promotion=Seconds(300.0))
BY = replace(policy(), risk=RISK)
CASES = [(1.0, 400.0, Verdict.PROMOTE), (1.3, 100.0, Verdict.HOLD), (3.0, 200.0, Verdict.ROLLBACK)]


def recording(folder: Path, *, times_worse: float, rps: float, seed: int = 3, latency: bool = False) -> Recording:
    """A rollout of some minutes, written and read as a user's file is."""
    situation = Situation(rps=rps, length=400.0, effect=always(times_worse), latency=latency)
    path = folder / f"{times_worse}-{rps}-{seed}.csv"
    pacsv.write_csv(sample_table(generate(situation, runs=2, seed=seed)), path)
    reader = Samples([path])
    return Recording(reader, rollout="r1", rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)


def verdict_with(by: Policy, known: Recording, requests: int) -> Verdict:
    """The judge's verdict on the rows up to the first verdict, with that many canary requests changed."""
    rows = until(known.rows, replay(known, by)[0])
    (found,) = judged(known, by, changed(rows, known.metrics.index("errors"), requests))
    return found.verdict


@pytest.mark.parametrize(("times_worse", "rps", "verdict"), CASES)
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(1, 1000))
def test_the_number_flips_the_verdict_and_one_less_does_not(
    tmp_path: Path, *, times_worse: float, rps: float, verdict: Verdict, seed: int
) -> None:
    """Applied to the data and judged: whatever the verdict was, and whichever way the change goes."""
    known = recording(tmp_path, times_worse=times_worse, rps=rps, seed=seed)
    was, _ = replay(known, BY)
    found = changes(known, BY, was)
    for change in found:
        sign = 1 if change.requests > 0 else -1
        assert (sign < 0) == (was.verdict is Verdict.ROLLBACK)
        assert verdict_with(BY, known, change.requests) is change.after
        assert verdict_with(BY, known, change.requests - sign) is not change.after
        assert change.after is not was.verdict
    assert found  # all bad, or none, always is another verdict in these


@pytest.mark.parametrize(("times_worse", "rps", "verdict"), CASES)
def test_a_replay_is_the_judge_with_its_evidence_written_down(
    tmp_path: Path, *, times_worse: float, rps: float, verdict: Verdict
) -> None:
    """Same verdict, same last evidence, one reading per tick up to the verdict, and the thresholds of the policy."""
    known = recording(tmp_path, times_worse=times_worse, rps=rps)
    (plain,) = judged(known, BY, known.rows)
    was, course = replay(known, BY)
    assert was.verdict is verdict
    assert (was.verdict, was.decided_at, was.evidence) == (plain.verdict, plain.decided_at, plain.evidence)
    assert (course.rollback, course.promotion) == (100.0, 20.0)
    against = Against.HARM if verdict is Verdict.PROMOTE else Against.CANARY
    readings = course.of("errors", against)
    assert readings[-1].evidence == pytest.approx(was.evidence)
    times = [one.at for one in course.of(TOGETHER, Against.CANARY)]
    assert times == sorted(set(times))
    ticks = np.unique(known.rows.time[(known.rows.time > 0) & (known.rows.time <= was.decided_at)])
    assert times == ticks.tolist()


def test_a_wider_margin_is_where_the_rollback_ends(tmp_path: Path) -> None:
    """At the margin named the verdict is another; a hundredth nearer to the policy's it is not."""
    known = recording(tmp_path, times_worse=3.0, rps=200.0)
    was, _ = replay(known, BY)
    found = margin_change(known, BY, was)
    assert found is not None
    rows, guardrail = until(known.rows, was), BY.guardrail("errors")
    verdicts = [
        judged(known, with_margins(BY, {guardrail.name: margin}), rows)[0].verdict
        for margin in (found.margin, found.margin - 0.01)
    ]
    assert verdicts == [found.after, Verdict.ROLLBACK]
    assert found.after is not Verdict.ROLLBACK


@pytest.mark.parametrize(
    ("story", "guardrail"), [(Story(memory=level(1.6)), MEMORY), (Story(orders=events(0.5)), ORDERS)]
)
def test_the_margin_of_levels_and_of_events_is_tried_as_well(story: Story, guardrail: Guardrail) -> None:
    """They have no bad requests to take away; at another margin they are judged like everything else."""
    by, (rows, pods) = levels_by(ERRORS, guardrail), story.batch()
    known = Recording([rows], rollout="r", rollouts=["r"], metrics=METRICS, pods=pods)
    was, _ = replay(known, by)
    found = margin_change(known, by, was)
    assert found is not None
    assert (found.guardrail, found.before) == (guardrail.name, Verdict.ROLLBACK)
    assert found.margin > 1.1
    assert found.after is not Verdict.ROLLBACK
    assert any("counts no bad requests" in line for line in of_recording(known, by, was))


def test_changed_requests_are_as_many_as_were_asked_for_and_never_more_than_there_are(tmp_path: Path) -> None:
    """No row gets more bad requests than requests, or fewer than none; nothing else of the file moves."""
    known = recording(tmp_path, times_worse=3.0, rps=50.0)
    requests, bad = canary_totals(known.rows, 0)
    for number in (-bad, -1, 0, 1, 7, requests - bad):
        rows = changed(known.rows, 0, number)
        assert canary_totals(rows, 0) == (requests, bad + number)
        counted = np.isfinite(rows.bad)
        assert ((rows.bad >= 0) & (rows.bad <= rows.requests))[counted].all()
        assert np.array_equal(
            rows.bad[rows.track == Track.STABLE.code], known.rows.bad[rows.track == Track.STABLE.code], equal_nan=True
        )
    for number in (-bad - 1, requests - bad + 1):
        with pytest.raises(ValueError, match="are to change"):
            changed(known.rows, 0, number)


@pytest.mark.parametrize(("times_worse", "rps", "verdict"), CASES)
def test_a_forecast_from_totals_is_near_what_the_judge_says(
    tmp_path: Path, *, times_worse: float, rps: float, verdict: Verdict
) -> None:
    """A running rollout keeps no samples: its forecast must be of the right size, within a factor of two and a few."""
    known = recording(tmp_path, times_worse=times_worse, rps=rps)
    was, course = replay(known, BY)
    tried = changes(known, BY, was)[-1].requests
    rows = until(known.rows, was)
    requests, bad = canary_totals(rows, 0)
    stable = (rows.track == Track.STABLE.code) & (rows.time > 0)
    tally = Tally(
        guardrail="errors",
        requests=requests,
        bad=bad,
        stable_requests=float(rows.requests[stable].sum()),
        stable_bad=float(rows.bad[stable].sum()),
        log_harm=math.log(course.of("errors", Against.CANARY)[-1].evidence),
    )
    forecast = suppose(BY, tally).requests
    assert forecast is not None
    assert forecast * tried > 0
    assert abs(forecast) <= 2 * abs(tried) + 3
    assert abs(tried) <= 2 * abs(forecast) + 3


def test_latencies_have_no_requests_to_change_and_say_so(tmp_path: Path) -> None:
    """Honest words where a number would be made up; the margin is tried all the same."""
    known = recording(tmp_path, times_worse=1.0, rps=100.0, latency=True)
    by = replace(BY, guardrails=(LATENCY,))
    was, _ = replay(known, by)
    told = of_recording(known, by, was)
    assert any("counts no bad requests" in line for line in told)
    assert any("margin" in line for line in told)


def test_samples_without_history_of_stable_have_nothing_that_would_change(tmp_path: Path) -> None:
    """Inconclusive for want of a comparison is not a matter of requests."""
    known = recording(tmp_path, times_worse=1.0, rps=50.0)
    known.rows = known.rows.rows(np.flatnonzero(known.rows.time > 0))
    was, course = replay(known, BY)
    assert was.verdict is Verdict.INCONCLUSIVE
    assert course.series == ()
    (told,) = of_recording(known, BY, was)
    assert "before the canary's first traffic" in told


def test_a_rollout_that_is_not_in_the_file_is_named_with_those_that_are(tmp_path: Path) -> None:
    """A typing error costs no search."""
    path = tmp_path / "samples.csv"
    pacsv.write_csv(sample_table(generate(Situation(rps=20.0, length=60.0), runs=2, seed=1)), path)
    reader = Samples([path])
    with pytest.raises(SamplesError, match="no row has rollout_id 'r7'") as caught:
        Recording(reader, rollout="r7", rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
    assert "r0, r1" in caught.value.remedy


def test_the_first_that_holds_is_found_or_none() -> None:
    """Nothing to try is none."""
    assert first(lambda count: count >= 5, 9) == 5
    assert first(lambda count: count >= 5, 4) is None
    assert first(lambda count: count > 0, 0) is None


def test_nothing_is_divided_by_a_stable_without_errors() -> None:
    """No bad request of stable, and none of the canary: a number all the same."""
    nothing = Tally(guardrail="errors", requests=1e3, bad=0.0, stable_requests=1e4, stable_bad=0.0, log_harm=-0.5)
    found = suppose(BY, nothing)
    assert found.requests is not None
    assert 1 <= found.requests <= 100
    assert ERRORS.compare is not None
    assert found.margin is None
