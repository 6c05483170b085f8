"""Rates, objectives, allocation, power, quantiles: the smaller parts of analysis/."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.allocation import log_skew, skewed
from analysis.power import latency_growth, margin_bound, ratio_growth, requests_needed
from analysis.quantiles import bucket_quantile
from analysis.rates import Step, bucket_counts, counter_steps
from analysis.scoring import delays, quantile_with_misses, share_of
from analysis.sequential.latency import LatencyTest
from analysis.slo import burn_rate, excludes


@given(steps=st.lists(st.integers(0, 50), min_size=1, max_size=20), resets=st.sets(st.integers(0, 19)))
def test_counters_with_resets_add_up(steps: list[int], resets: set[int]) -> None:
    """Every event is counted once, whatever restarts in between (a fall below half is a restart)."""
    value, last, when, total = 1000.0, math.nan, math.nan, 0.0
    expected = 0.0
    for i, step in enumerate(steps):
        value = float(step) if i in resets and i > 0 else value + step
        expected += step if i > 0 else 0.0
        delta, codes = counter_steps(
            np.array([value]), np.array([float(i)]), last_value=np.array([last]), last_time=np.array([when]),
            restarted=np.array([i in resets and i > 0]),
        )  # fmt: skip
        total += float(delta[0])
        assert codes[0] in (Step.FIRST, Step.COUNTED, Step.RESET)
        last, when = value, float(i)
    assert total == expected


def test_unusable_late_and_lagging_samples_are_dropped() -> None:
    """Each for its own reason; none of them counts."""
    delta, codes = counter_steps(
        np.array([math.nan, 20.0, 95.0]), np.array([2.0, 1.0, 2.0]), last_value=np.full(3, 100.0),
        last_time=np.array([1.0, 1.0, 1.0]), restarted=np.zeros(3, dtype=bool),
    )  # fmt: skip
    assert codes.tolist() == [Step.UNUSABLE, Step.STALE, Step.STEPPED_BACK]
    assert delta.tolist() == [0.0, 0.0, 0.0]


def test_buckets_that_fall_count_nothing() -> None:
    """A histogram that is not cumulative is no histogram."""
    counts, sound = bucket_counts(np.array([[1.0, 4.0], [3.0, 2.0], [math.nan, 2.0]]))
    assert sound.tolist() == [True, False, False]
    assert counts.tolist() == [[1.0, 3.0], [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("bad", "total", "allowed", "breached"),
    [(1.0, 24.0, 0.002, False), (1.0, 1.0, 0.002, False), (0.0, 0.0, 0.002, False), (3.0, 4.0, 0.002, True)],
)
def test_a_window_is_breached_when_its_data_exclude_the_threshold(
    *, bad: float, total: float, allowed: float, breached: bool
) -> None:
    """One-sided 99 %, and never by a single event."""
    assert excludes(np.array(bad), np.array(total), np.array(allowed)) == breached


def test_a_burn_rate_of_one_uses_the_budget_up_exactly() -> None:
    """0.1 % errors against 99.9 %; nothing to say without requests."""
    assert burn_rate(np.array([1.0]), np.array([1000.0]), 0.999)[0] == pytest.approx(1.0)
    assert math.isnan(burn_rate(np.array([0.0]), np.array([0.0]), 0.999)[0])
    with pytest.raises(ValueError, match=r"1\.0"):
        burn_rate(np.array([0.0]), np.array([0.0]), 1.0)


def test_a_fitting_share_is_rarely_called_skewed() -> None:
    """Looked at after each of 200 ticks; valid at any number of looks."""
    random = np.random.default_rng(4)
    asked = np.cumsum(random.poisson(200.0, (2000, 200)), axis=1).astype(float)
    ours = np.cumsum(random.poisson(20.0, (2000, 200)), axis=1).astype(float)
    worst = np.max([log_skew(ours[:, i], asked[:, i] + ours[:, i], np.full(2000, 1 / 11)) for i in range(200)], axis=0)
    assert (worst > math.log(1000.0)).mean() <= 0.002


def test_requests_at_weight_zero_are_skewed() -> None:
    """Traffic where there should be none is a fault, not noise."""
    assert skewed(np.array([50.0]), np.array([1000.0]), np.zeros(1), np.zeros(1))[0]


def test_the_margin_bound_is_the_one_of_the_statistics() -> None:
    """x2 at 0.5 % and 200 rps, canary 10 %, margin 1.05: about 160 s at alpha 1 %."""
    seconds = margin_bound(stable_rate=0.005, canary_rate=0.01, theta=1.05, requests=200.0, weight=0.1, alpha=0.01)
    assert 140.0 < seconds < 180.0


def test_larger_effects_need_fewer_requests() -> None:
    """And effects within the margin are never shown."""
    growth = ratio_growth(
        stable_rate=np.full(3, 0.005), canary_rate=np.array([0.005, 0.0075, 0.02]), theta=np.full(3, 1.05),
        weight=np.full(3, 0.1),
    )  # fmt: skip
    needed = requests_needed(growth, alpha=0.01)
    assert math.isinf(needed[0])
    assert needed[1] > 10.0 * needed[2]


def test_slower_requests_are_seen_sooner_the_slower_they_are() -> None:
    """Twenty per cent need more requests than a factor of two."""
    bounds = (0.05, 0.1, 0.25, 0.5, 1.0, math.inf)
    test = LatencyTest(bounds=bounds, relative=1.02, tail=0.001, promote_relative=1.15, promote_tail=0.003)
    stable = np.array([[500.0, 3000.0, 5000.0, 1300.0, 180.0, 20.0]])
    growth = [latency_growth(test, stable, scale=scale, weight=np.array([0.1]))[0] for scale in (1.01, 1.2, 2.0)]
    assert growth[0] < growth[1] < growth[2]


def test_a_quantile_lies_in_its_bucket() -> None:
    """The estimate is between the ends; an empty row is NaN."""
    counts = np.array([[5.0, 90.0, 5.0], [0.0, 0.0, 0.0]])
    value, low, high = bucket_quantile(counts, np.array([0.1, 0.5, math.inf]), 0.5)
    assert low[0] == 0.1 < value[0] < 0.5 == high[0]
    assert math.isnan(value[1])


def test_a_miss_is_later_than_everything() -> None:
    """The median of two hits and three misses is a miss."""
    late = delays(np.array([130.0, 140.0, math.nan, math.nan, 90.0]), np.full(5, 100.0))
    assert late.tolist() == [30.0, 40.0, math.inf, math.inf, math.inf]
    assert math.isinf(quantile_with_misses(late, 0.5))
    assert share_of(0, 2000).upper < 0.0019
