"""What the decision rules of other systems do, as their sources say; each fact names where it is written."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from benchmarks.detection.families import ERRORS_ONLY, LATENCY_ONLY
from benchmarks.detection.rules import OURS, RULES
from benchmarks.detection.rules.argo import Phase, ends, evaluate, settled
from benchmarks.detection.rules.base import Calls, Rule, Watch, limit
from benchmarks.detection.rules.flagger import advanced
from benchmarks.detection.rules.group_sequential import boundaries, spent
from benchmarks.detection.rules.keptn import ERRORS, LATENCY, points
from benchmarks.detection.rules.sequential import half_width, rho
from benchmarks.detection.streams import Situation, Streams, always, generate
from benchmarks.detection.tracks import Tracks, quantile
from guardian.core.policy import Policy
from simulator.gates.mann_whitney import high, scores, statistic

INF = float("inf")
NAN = float("nan")
SEED = 20261121
PEERS = [pytest.param(rule, id=name) for name, rule in RULES.items() if name != OURS]


def flags(text: str) -> np.ndarray:
    """One run: a row of flags from a word of + and -."""
    return np.array([[sign == "+" for sign in text]])


def minutes(count: int) -> np.ndarray:
    """Ends of the first minutes."""
    return 60.0 * np.arange(1, count + 1)


def test_argo_takes_nan_for_success_where_there_is_only_a_failure_condition() -> None:
    """evaluate.go: without a success condition, what does not fail is successful, and NaN > 0.01 is false."""
    rate, answered = np.array([[NAN]]), np.array([[False]])
    assert evaluate(error=answered, failure=rate > 0.01) == Phase.SUCCESSFUL


def test_argo_takes_nan_for_failure_where_there_is_only_a_success_condition() -> None:
    """evaluate.go: without a failure condition, what is no success fails, and NaN >= 0.95 is false."""
    rate, answered = np.array([[NAN]]), np.array([[False]])
    assert evaluate(error=answered, success=rate >= 0.95) == Phase.FAILED


def test_argo_takes_infinity_for_a_success_rate_of_at_least_90_percent() -> None:
    """+Inf >= 0.9, as any comparison of IEEE 754 says."""
    assert evaluate(error=np.array([[False]]), success=np.array([[INF]]) >= 0.9) == Phase.SUCCESSFUL


def test_argo_is_inconclusive_between_both_conditions() -> None:
    """evaluate.go: neither failed nor successful."""
    assert evaluate(error=flags("-"), success=flags("-"), failure=flags("-")) == Phase.INCONCLUSIVE


def test_argo_pauses_for_ever_when_inconclusive() -> None:
    """A paused rollout is neither aborted nor promoted, whatever comes later."""
    phases = np.array([[Phase.SUCCESSFUL, Phase.INCONCLUSIVE] + [Phase.FAILED] * 8], dtype=np.int8)
    calls = settled(minutes(10), [ends(phases, failure_limit=3)], 600.0)
    assert (calls.rolled_back.tolist(), calls.promoted.tolist()) == ([INF], [INF])


def test_argo_aborts_at_the_fourth_failure_of_failure_limit_3() -> None:
    """analysis.go: failed > failureLimit, in all, not in a row."""
    failing = flags("-+-+-+-+-+")
    phases = evaluate(error=np.zeros_like(failing), success=failing)
    assert settled(minutes(10), [ends(phases, failure_limit=3)], 600.0).rolled_back.tolist() == [420.0]


@pytest.mark.parametrize(("queries", "aborted"), [("-----+++++", 300.0), ("----+----+", INF)])
def test_argo_aborts_a_healthy_release_after_five_failed_queries_in_a_row(queries: str, aborted: float) -> None:
    """analysis.go: consecutiveErrors > consecutiveErrorLimit, which is 4; any measurement starts the count anew."""
    answered = flags(queries)
    phases = evaluate(error=~answered, success=np.ones_like(answered))
    assert settled(minutes(10), [ends(phases, failure_limit=3)], 600.0).rolled_back.tolist() == [aborted]


def test_flagger_never_takes_a_failed_check_back() -> None:
    """scheduler.go: FailedChecks only grows; a passed check in between changes nothing."""
    calls = advanced(minutes(12), flags("-+-+-+-+-+++"), threshold=5, iterations=20)
    assert calls.rolled_back.tolist() == [600.0]


def test_flagger_rolls_back_one_interval_after_the_last_failed_check() -> None:
    """scheduler.go: the threshold is looked at before the next check."""
    assert advanced(minutes(8), flags("--------"), threshold=5, iterations=20).rolled_back.tolist() == [360.0]


def test_flagger_counts_passed_checks_only_towards_promotion() -> None:
    """scheduler.go, runBlueGreen: a failed check halts the advancement."""
    calls = advanced(minutes(8), flags("++--++++"), threshold=5, iterations=3)
    assert (calls.promoted.tolist(), calls.rolled_back.tolist()) == ([360.0], [INF])


def test_flagger_fails_a_check_without_values() -> None:
    """scheduler_metrics.go: ErrNoValuesFound returns false, so a canary without traffic is rolled back."""
    streams = generate(Situation(vanish=0.0, history=600.0), runs=2, seed=SEED)
    calls = RULES["flagger"].judge(Watch(streams=streams, policy=ERRORS_ONLY))
    assert calls.rolled_back.tolist() == [360.0, 360.0]


def test_kayenta_standardises_as_mann_and_whitney() -> None:
    """The same p value as scipy's asymptotic test with continuity and tie correction."""
    rng = np.random.default_rng(SEED)
    x, y = rng.integers(0, 6, (1, 12)).astype(float) + 1.0, rng.integers(0, 6, (1, 15)).astype(float)
    ours = float(statistic(x, y, np.zeros(1))[0])
    theirs = mannwhitneyu(x[0], y[0], alternative="greater", method="asymptotic").pvalue
    assert ours == pytest.approx(float(norm.isf(theirs)))


def test_kayenta_calls_two_points_against_two_high() -> None:
    """MannWhitney.scala: where no shift is significant, the interval ends at the smallest difference."""
    x, y = np.array([[2.0, 2.1]]), np.array([[1.0, 1.1]])
    assert high(x, y).tolist() == [True]


def test_kayenta_needs_the_shift_beyond_a_quarter_of_its_estimate() -> None:
    """MannWhitneyClassifier.scala: a wide interval, though above 0, passes."""
    rng = np.random.default_rng(SEED)
    y = rng.normal(10.0, 1.0, (200, 12))
    x = rng.normal(11.2, 1.0, (200, 12))
    significant = statistic(x, y, np.zeros(200)) > 2.326
    assert 0 < high(x, y).sum() < significant.sum()


def test_kayenta_passes_a_canary_without_errors_to_report() -> None:
    """With nanStrategy "replace" no data is 0 errors, so a vanished canary scores 100."""
    nothing = np.zeros((1, 10))
    assert scores([[(nothing, np.full((1, 10), 0.01))]], required=True).tolist() == [100.0]


def test_kayenta_scores_0_where_all_metrics_are_missing() -> None:
    """WeightedSumScorer.scala: a group of Nodata adds nothing to the sum."""
    assert scores([[(np.full((1, 5), NAN), np.ones((1, 5)))]], required=True).tolist() == [0.0]


def test_kayenta_finds_more_differences_the_longer_it_looks_at_equal_pods_that_differ() -> None:
    """Points of one pod are not independent of each other: more of them make a chance difference certain."""
    rng = np.random.default_rng(SEED)
    offset = rng.normal(0.0, 0.1, (400, 1))
    x, y = rng.normal(0.0, 0.2, (400, 120)) + offset + 10.0, rng.normal(0.0, 0.2, (400, 120)) + 10.0
    rates = [float(high(x[:, :n], y[:, :n]).mean()) for n in (10, 120)]
    assert rates[0] < rates[1]
    assert rates[1] > 0.2


def test_keptn_passes_what_it_has_nothing_to_compare_with() -> None:
    """evaluateComparison: without earlier results the criterion is met; a fixed limit still holds."""
    value = np.array([[0.3], [0.7], [0.9]])
    assert points(value, np.full(3, NAN), LATENCY).tolist() == [[1.0], [0.5], [0.0]]


def test_keptn_fails_what_has_no_value() -> None:
    """evaluateObjectives: no result available, the objective fails."""
    assert points(np.array([[NAN]]), np.array([0.01]), ERRORS).tolist() == [[0.0]]


def test_keptn_warns_between_10_and_25_percent() -> None:
    """A warning is half the points, so a single objective in warning is below 75 % of the score."""
    value = np.array([[0.0109], [0.0120], [0.0130]])
    assert points(value, np.full(3, 0.01), ERRORS).tolist() == [[1.0], [0.5], [0.0]]


def test_the_confidence_sequence_is_tightest_near_its_tuning_parameter() -> None:
    """Equation 161 chooses rho for that: at 5000 the width is within 1 % of what any other rho gives there."""
    n, one = np.array([5000.0]), np.array([1.0])
    chosen = half_width(one, n, alpha=0.05, tuning=5000.0)
    others = [half_width(one, n, alpha=0.05, tuning=tuning) for tuning in np.geomspace(500.0, 50000.0, 41)]
    assert float(chosen[0]) <= 1.01 * min(float(other[0]) for other in others)
    assert rho(0.05, 5000.0) == pytest.approx(0.0396, abs=5e-4)


def test_the_confidence_sequence_holds_at_every_look() -> None:
    """2,000 random walks of 3,000 steps leave it in at most 5 %."""
    rng = np.random.default_rng(SEED)
    n = np.arange(1.0, 3001.0)
    mean = np.cumsum(rng.standard_normal((2000, 3000)), axis=1) / n
    left = (np.abs(mean) > half_width(np.ones_like(n), n, alpha=0.05, tuning=5000.0)).any(axis=1)
    assert left.mean() < 0.06


def test_obrien_fleming_boundaries_are_the_published_ones() -> None:
    """Five looks, one-sided 2.5 %, Lan and DeMets' spending: Jennison and Turnbull 2000; also R's ldbounds."""
    assert boundaries(5, 0.025) == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=2e-3)


def test_all_error_is_spent_at_the_end() -> None:
    """Lan and DeMets 1983: the spending function is alpha at full information."""
    assert float(spent(0.01, np.array([1.0]))[0]) == pytest.approx(0.01)


def test_the_group_sequential_design_keeps_its_level_on_independent_data() -> None:
    """20,000 random walks with the boundaries of 30 looks cross one in 1 %."""
    rng = np.random.default_rng(SEED)
    looks = np.arange(1.0, 31.0)
    z = np.cumsum(rng.standard_normal((20000, 30)), axis=1) / np.sqrt(looks)
    assert (z > boundaries(30, 0.01)).any(axis=1).mean() == pytest.approx(0.01, abs=0.0025)


def test_the_naive_z_test_rolls_back_far_more_than_its_level() -> None:
    """180 looks at a nominal 1 %: more than one healthy release in twenty."""
    streams = generate(Situation(), runs=300, seed=SEED)
    calls = RULES["z test"].judge(Watch(streams=streams, policy=ERRORS_ONLY))
    assert np.isfinite(calls.rolled_back).mean() > 0.05


def test_a_quantile_is_that_of_prometheus() -> None:
    """Linear within its bucket; the lower bound of the last one; NaN of nothing."""
    counts = np.zeros((3, 12))
    counts[0, 3], counts[1, 11] = 10.0, 5.0
    assert quantile(counts, 0.5) == pytest.approx([0.0375, 10.0, NAN], nan_ok=True)


def test_windows_miss_and_repeat_nothing() -> None:
    """Minutes side by side hold every request of the canary's time once."""
    tracks = Tracks.of(generate(Situation(missing=0.2, history=300.0, length=600.0), runs=3, seed=SEED))
    minute = tracks.windows(every=60.0, over=60.0)
    assert minute.requests.sum() == tracks.requests[:, tracks.times > 0].sum()


def test_a_threshold_leaves_room_for_what_is_usual() -> None:
    """The documented example's, unless history alone would break it; without history the example's."""
    assert limit(0.01, np.array([0.001, 0.02, NAN]), room=2.0).tolist() == [0.01, 0.04, 0.01]


@pytest.mark.parametrize("rule", PEERS)
@pytest.mark.parametrize(
    ("situation", "policy"),
    [
        pytest.param(Situation(effect=always(100.0)), ERRORS_ONLY, id="errors"),
        pytest.param(Situation(latency=True, slower=always(4.0)), LATENCY_ONLY, id="latency"),
    ],
)
def test_a_catastrophe_is_rolled_back_by_every_rule(rule: Rule, situation: Situation, policy: Policy) -> None:
    """Half of the requests fail, or all take four times as long."""
    watch = Watch(streams=generate(situation, runs=20, seed=SEED), policy=policy)
    assert np.isfinite(rule.judge(watch).rolled_back).all()


@pytest.mark.parametrize("rule", PEERS)
def test_runs_are_judged_each_by_itself(rule: Rule) -> None:
    """A run's call does not depend on which others are in the batch."""
    streams = generate(Situation(effect=always(1.5), pod_sd=0.2, missing=0.1), runs=12, seed=SEED)
    alone = Streams(
        situation=streams.situation,
        requests=streams.requests[3:4],
        bad=streams.bad[3:4],
        buckets=None,
        present=streams.present[3:4],
    )
    together = rule.judge(Watch(streams=streams, policy=ERRORS_ONLY))
    single = rule.judge(Watch(streams=alone, policy=ERRORS_ONLY))
    assert (single.rolled_back[0], single.promoted[0]) == (together.rolled_back[3], together.promoted[3])


@pytest.mark.parametrize("rule", [pytest.param(rule, id=name) for name, rule in RULES.items()])
def test_a_rule_says_where_it_comes_from(rule: Rule) -> None:
    """A peer's rule without source and parameters could be anything."""
    assert len(rule.source) > 20
    assert len(rule.parameters) > 20


def test_a_run_is_not_called_twice() -> None:
    """Rolled back and promoted at once would count twice."""
    with pytest.raises(ValueError, match="both rolled back and promoted"):
        Calls(rolled_back=np.array([60.0]), promoted=np.array([60.0]))
