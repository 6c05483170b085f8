"""Pretended rollouts on a made past: what they are made of, how often they are rolled back, what is too thin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace as changed

from analysis.clusters import share_over_groups
from benchmarks.detection.files import sample_table
from benchmarks.detection.streams import Situation, generate
from guardian.adapters.samples.tables import Samples
from guardian.cli.recorded import Past, past_of
from guardian.core.backtest import Arms, Court, Finding, outcome, power, suggest, survey
from guardian.core.model import TRACKS, Seconds, Track
from guardian.core.offline import Offline
from guardian.core.policy import Compare, Margin, Policy, with_margins
from guardian.core.pretend import Fault, Pretence, Shape, Window, fault_of, rows_of, splits, starts, worsened
from guardian.core.samples import Batch
from guardian.errors import ThinHistory
from tests.builders import ERRORS, LATENCY, policy

SHAPE = Shape(length=Seconds(1800.0), history=Seconds(2400.0), weight=0.25, splits=4)
QUARTER_DAY = Situation(rps=200.0, length=10.0, history=21600.0, stable_pods=8, canary_pods=1, pod_sd=0.15, tick=15.0)
ERRORS_ONLY = policy()
NAMES = ["errors"]
PODS = [f"pod-{number}" for number in range(9)]


def past(table: pa.Table, folder: Path, by: Policy = ERRORS_ONLY, *, shape: Shape = SHAPE, windows: int = 20) -> Past:
    """Windows of a table, by way of a file."""
    file = folder / "past.parquet"
    pq.write_table(table, file)
    reader = Samples([file])
    return past_of(reader, by, metrics=reader.metrics, windows=windows, shape=shape, files=[file])


def court(windows: Sequence[Window], *, shape: Shape = SHAPE, metrics: Sequence[str] = NAMES) -> Court:
    """A court without an audience."""
    return Court(windows, shape, metrics=metrics, pods=PODS, seed=1, heard=lambda _: None)


def flat(*, rates: Sequence[float], seconds: float = 14400.0, requests: int = 300, seed: int = 1) -> Batch:
    """Stable's rows of one pod for each error rate, 15 s each, independent requests."""
    chance = np.random.default_rng(seed)
    times = np.arange(15.0, seconds + 1.0, 15.0)
    count = len(times) * len(rates)
    asked = chance.poisson(requests, count).astype(np.float64)
    whole, nothing = np.zeros(count, dtype=np.int64), np.full(count, np.nan)
    return Batch(
        rollout=whole, metric=whole, stratum=whole, pod=np.tile(np.arange(len(rates)), len(times)),
        track=whole + Track.STABLE.code, time=np.repeat(times, len(rates)), seconds=np.full(count, 15.0),
        requests=asked, bad=chance.binomial(asked.astype(np.int64), np.tile(rates, len(times))).astype(np.float64),
        bound=nothing, count=nothing, value=nothing,
    )  # fmt: skip


def cuts(rows: Batch, *, shape: Shape = SHAPE) -> Past:
    """Windows of rows, as a file would give them."""
    found = starts(np.unique(rows.time), wanted=20, shape=shape)
    return Past(rows=(rows,), starts=tuple((0, float(at)) for at in found), shape=shape, span=float(np.ptp(rows.time)))


def test_pods_that_differ_by_15_percent_are_rolled_back_within_the_interval(tmp_path: Path) -> None:
    """Of a made past of six hours none is; the interval counts starting times, so it is wide and says so."""
    windows = past(sample_table(generate(QUARTER_DAY, runs=1, seed=4)), tmp_path)
    seen = survey(windows, SHAPE, seed=1, where="here")
    assert (seen.pods, seen.group, seen.left_out) == ((8, 8), (2, 2), {})
    assert len(seen.pretences) == 4 * seen.windows
    for arms, pretences in ((Arms.PODS, seen.pretences), (Arms.TIME, seen.before)):
        found = outcome(arms, court(windows).judge(ERRORS_ONLY, pretences), pretences, risk=0.01)
        assert found.rolled_back.lower <= 0.01 <= found.rolled_back.upper
        assert found.finding is Finding.UNDECIDED
        assert found.promoted.share > 0.3
        assert 900.0 <= found.promoted_after <= 1800.0


def test_absurd_margins_show_a_high_rate() -> None:
    """A canary that must have half of stable's errors is rolled back, healthy or not."""
    windows = cuts(flat(rates=[0.01] * 4))
    seen = survey(windows, SHAPE, seed=1, where="here")
    absurd = with_margins(ERRORS_ONLY, {"errors": 0.5})
    found = outcome(Arms.PODS, court(windows).judge(absurd, seen.pretences), seen.pretences, risk=0.01)
    assert found.rolled_back.share > 0.9
    assert (found.finding, set(found.by_guardrail)) == (Finding.REJECTED, {"errors"})


def test_a_suggested_margin_is_within_the_risk_when_it_is_applied() -> None:
    """One pod of four has twice the others' errors: as the only canary it fails at the smallest margins."""
    shape = replace(SHAPE, canary_pods=1)
    windows = cuts(flat(rates=[0.02, 0.02, 0.02, 0.04], requests=600), shape=shape)
    seen = survey(windows, shape, seed=1, where="here")
    judging = court(windows, shape=shape)
    given = outcome(Arms.PODS, judging.judge(ERRORS_ONLY, seen.pretences), seen.pretences, risk=0.01)
    assert given.rolled_back.share == pytest.approx(0.25, abs=0.1)
    [suggestion], then = suggest(judging, ERRORS_ONLY, seen.pretences, NAMES)
    assert suggestion.suggested is not None
    assert 1.3 <= suggestion.suggested <= 2.0
    applied = with_margins(ERRORS_ONLY, {"errors": suggestion.suggested})
    again = outcome(Arms.PODS, judging.judge(applied, seen.pretences), seen.pretences, risk=0.01)
    assert again.rolled_back.share <= 0.01
    assert again == then


def test_no_margin_is_suggested_where_none_is_within_the_risk() -> None:
    """A pod with twenty times the errors is beyond every margin tried."""
    shape = replace(SHAPE, canary_pods=1)
    windows = cuts(flat(rates=[0.005, 0.005, 0.1], requests=600), shape=shape)
    seen = survey(windows, shape, seed=1, where="here")
    [suggestion], then = suggest(court(windows, shape=shape), ERRORS_ONLY, seen.pretences, NAMES)
    assert (suggestion.given, suggestion.suggested, then) == (1.05, None, None)


def test_the_promote_margin_is_never_below_the_suggested_one() -> None:
    """A policy that is inverted would be refused."""
    compare = with_margins(ERRORS_ONLY, {"errors": 2.0}).guardrails[0].compare
    assert compare is not None
    assert (compare.rollback.relative, compare.promote.relative, compare.rollback.absolute) == (2.0, 2.0, 0.00005)


def test_power_is_that_of_errors_added_to_real_counts() -> None:
    """Twice the errors at 80 rps and 1 % are found; half as many more are found later or missed."""
    windows = cuts(flat(rates=[0.01] * 4))
    seen = survey(windows, SHAPE, seed=1, where="here")
    half, twice = power(court(windows), ERRORS_ONLY, seen.pretences, NAMES)
    assert (half.worse, twice.worse) == (1.5, 2.0)
    assert twice.found.share > 0.7
    assert twice.found.share >= half.found.share
    assert twice.delay < half.delay


def test_what_has_no_bad_event_cannot_be_made_worse() -> None:
    """Twice nothing is nothing: its power is not known, and not said to be 0."""
    windows = cuts(flat(rates=[0.0] * 4))
    seen = survey(windows, SHAPE, seed=1, where="here")
    assert list(power(court(windows), ERRORS_ONLY, seen.pretences, NAMES)) == []


def test_arms_are_whole_pods_with_every_request_they_had() -> None:
    """Thinned at random, requests would hide how pods differ; a canary has no past, and nobody else's rows."""
    rows = flat(rates=[0.01] * 4)
    windows = cuts(rows)
    start = windows.starts[0][1]
    found = rows_of(windows[0], Pretence(window=0, canary=(1, 3)), SHAPE)
    canary = found.rows(np.flatnonzero(found.track == Track.CANARY.code))
    assert set(canary.pod.tolist()) == {1, 3}
    assert canary.time.min() > 0
    for pod in range(4):
        live = (rows.pod == pod) & (rows.time > start) & (rows.time <= start + SHAPE.length)
        assert found.requests[(found.pod == pod) & (found.time > 0)].sum() == rows.requests[live].sum()
    assert np.all(np.diff(found.time) >= 0)


def test_time_as_arms_sets_a_stretch_against_the_one_before_it() -> None:
    """The same pods on both tracks: stable is what they did one length earlier."""
    rows = flat(rates=[0.01] * 2)
    windows = cuts(rows)
    start = windows.starts[3][1]
    found = rows_of(windows[3], Pretence(window=3), SHAPE)
    for track, since in ((Track.CANARY, start), (Track.STABLE, start - SHAPE.length)):
        live = (rows.time > since) & (rows.time <= since + SHAPE.length)
        assert found.bad[(found.track == track.code) & (found.time > 0)].sum() == rows.bad[live].sum()


def test_the_judge_is_that_of_files(tmp_path: Path) -> None:
    """A pretended rollout written as a file has the very verdict that it has here."""
    both = changed(policy(), guardrails=(ERRORS, LATENCY))
    situation = replace(QUARTER_DAY, latency=True, history=8000.0, stable_pods=4)
    windows = past(sample_table(generate(situation, runs=1, seed=2)), tmp_path, both)
    one = Pretence(window=0, canary=(0,))
    [here] = court(windows, metrics=["errors", "latency"]).judge(both, [one])
    rows = rows_of(windows[0], one, SHAPE)
    table = pa.table(
        {
            "rollout_id": ["0"] * len(rows), "t": rows.time, "dt": rows.seconds,
            "track": np.array(TRACKS)[rows.track], "pod": np.array(PODS)[rows.pod],
            "metric": np.array(["errors", "latency"])[rows.metric], "requests": _some(rows.requests),
            "bad": _some(rows.bad), "le": [None if np.isnan(le) else f"{le}" for le in rows.bound],
            "count": _some(rows.count),
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "one.parquet")
    reader = Samples([tmp_path / "one.parquet"])
    offline = Offline(both, rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
    for batch in reader:
        offline.take(batch)
    assert offline.finish() == [here]


def _some(column: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pa.Array:
    return pa.array(column, mask=np.isnan(column))


def test_added_errors_come_to_the_factor() -> None:
    """1 % of 144,000 requests x2 are 2 %; nobody else is changed."""
    windows = cuts(flat(rates=[0.01] * 4))
    healthy = rows_of(windows[0], Pretence(window=0, canary=(0,)), SHAPE)
    worse = worsened(healthy, metric=0, factor=2.0, chance=np.random.default_rng(1))
    assert worse is not None
    canary = healthy.track == Track.CANARY.code
    assert worse.bad[canary].sum() / worse.requests[canary].sum() == pytest.approx(0.02, rel=0.1)
    assert np.all(worse.bad <= worse.requests)
    assert np.array_equal(worse.bad[~canary], healthy.bad[~canary])


def test_slower_requests_stay_cumulative_and_move_to_later_buckets() -> None:
    """Counts <= 0.2 s become those that were <= 0.1 s when all takes twice as long; `+Inf` keeps all."""
    bounds = np.array([0.1, 0.2, 0.4, np.inf])
    shown = np.array([[10.0, 30.0, 37.0, 40.0], [20.0, 61.0, 75.0, 80.0]])
    zeros, nothing = np.zeros(8, dtype=np.int64), np.full(8, np.nan)
    rows = Batch(
        rollout=zeros, metric=zeros, pod=zeros, stratum=zeros, track=np.full(8, Track.CANARY.code),
        time=np.repeat([15.0, 30.0], 4), seconds=np.full(8, 15.0), requests=nothing, bad=nothing,
        bound=np.tile(bounds, 2), count=shown.reshape(-1), value=nothing,
    )  # fmt: skip
    twice = worsened(rows, metric=0, factor=2.0, chance=np.random.default_rng(1))
    assert twice is not None
    after = twice.count.reshape(2, 4)
    assert after[:, 1:].tolist() == [[10.0, 30.0, 40.0], [20.0, 61.0, 80.0]]
    assert np.all(np.diff(after, axis=1) >= 0)
    assert np.all(np.diff(after, axis=0) >= 0)


def test_splits_are_different_groups() -> None:
    """All there are where these are fewer than wanted; the seed decides."""
    pods = np.arange(8)
    few = splits(np.arange(3), size=1, count=9, chance=np.random.default_rng(1))
    many = splits(pods, size=2, count=12, chance=np.random.default_rng(1))
    huge = splits(np.arange(60), size=20, count=5, chance=np.random.default_rng(1))
    assert sorted(few) == [(0,), (1,), (2,)]
    assert len(set(many)) == 12
    assert len(set(huge)) == 5
    assert {len(one) for one in huge} == {20}
    assert many == splits(pods, size=2, count=12, chance=np.random.default_rng(1))


def test_pretended_rollouts_do_not_overlap_in_time() -> None:
    """Each stretch of the past is judged once for each split."""
    found = starts(np.arange(0.0, 86400.0, 15.0), wanted=1000, shape=SHAPE)
    assert np.diff(found).min() >= SHAPE.length
    assert found[0] >= SHAPE.history
    assert found[-1] <= 86400.0 - SHAPE.length
    assert len(found) == 46


def test_a_share_counts_groups_not_runs() -> None:
    """A hundred splits of ten starting times say little more than ten runs."""
    hits = np.zeros(1000, dtype=np.bool_)
    loose = share_over_groups(hits, np.repeat(np.arange(10), 100)).upper
    assert loose == pytest.approx(1.0 - 0.025**0.1, rel=1e-6)
    assert share_over_groups(hits, np.arange(1000)).upper < 0.004
    with pytest.raises(ValueError, match="no share"):
        share_over_groups(hits[:0], np.arange(0))


def without(rows: Batch, begin: float, end: float) -> Batch:
    """The rows without those of a stretch of time."""
    return rows.rows(np.flatnonzero((rows.time <= begin) | (rows.time > end)))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (flat(rates=[0.01]), Fault.PODS),
        (without(flat(rates=[0.01] * 4), 4000.0, 4600.0), Fault.GAP),
        (without(flat(rates=[0.01] * 4), 0.0, 1500.0), Fault.SHORT),
        (without(flat(rates=[0.01] * 4), 0.0, 14400.0), Fault.EMPTY),
    ],
    ids=["one-pod", "gap", "short", "empty"],
)
def test_a_window_that_cannot_be_judged_is_left_out_with_the_reason(rows: Batch, fault: Fault) -> None:
    """Alone it is an error that says what to do; among others it is counted."""
    good = cuts(flat(rates=[0.01] * 4))
    bad = Past(rows=(rows,), starts=((0, 3000.0),), shape=SHAPE, span=1.0)[0]
    with pytest.raises(ThinHistory, match=f"1 looked at: 1 with {fault}") as caught:
        survey([bad], SHAPE, seed=1, where="past.csv")
    assert caught.value.where == "past.csv"
    assert caught.value.remedy
    assert survey([good[0], bad], SHAPE, seed=1, where="past.csv").left_out == {fault: 1}
    assert fault_of(good[0], SHAPE) is None


def test_a_guardrail_that_only_has_an_objective_takes_no_part(tmp_path: Path) -> None:
    """Its rows are left out before anything is judged."""
    aside = changed(policy(), guardrails=(changed(ERRORS, compare=None),))
    with pytest.raises(ThinHistory, match="no stable row of a guardrail that the policy compares"):
        past(sample_table(generate(replace(QUARTER_DAY, history=6000.0), runs=1, seed=4)), tmp_path, aside)


def test_a_compare_without_relative_change_is_kept() -> None:
    """Only guardrails named get another margin."""
    other = changed(ERRORS, name="other", compare=Compare(rollback=Margin(relative=1.3), promote=Margin(relative=1.6)))
    both = changed(policy(), guardrails=(ERRORS, other))
    assert with_margins(both, {"errors": 1.1}).guardrails[1] == other
