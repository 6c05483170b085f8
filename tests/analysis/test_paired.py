"""Paired comparisons: exact where they can be, and not more often wrong than they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_rel

from analysis.paired import proved, share_change, total_change
from analysis.scoring import share_of

TRIALS = 2_000


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_chance_of_more_that_are_worse_is_the_binomial_one(pairs: list[tuple[bool, bool]]) -> None:
    """McNemar's exact test, beside scipy's binomial test of the pairs that differ."""
    before, after = np.array(pairs, dtype=bool).T
    change = share_change(before, after)
    worse, better = int((after & ~before).sum()), int((before & ~after).sum())
    expected = binomtest(worse, worse + better, 0.5, alternative="greater").pvalue if worse + better else 1.0
    assert change.p == pytest.approx(expected)
    assert change.gain == pytest.approx(share_change(after, before).p)
    assert change.estimate == pytest.approx(after.mean() - before.mean())
    assert change.lower <= change.estimate + 1e-12
    assert change.estimate <= change.upper + 1e-12


def test_the_chance_of_savings_is_that_of_the_paired_t_test() -> None:
    """Beside scipy's; where all that is left is 0, one pair that saved something proves nothing."""
    random = np.random.default_rng(7)
    before, after = random.gamma(4.0, 25.0, 12), random.gamma(4.0, 20.0, 12)
    expected = ttest_rel(before, after, alternative="greater").pvalue
    assert total_change(before, after, tolerance=0.1).gain == pytest.approx(expected)
    assert total_change(np.eye(8)[0], np.zeros(8), tolerance=0.0).gain == pytest.approx(0.175, abs=0.001)
    assert total_change(np.ones(8), np.full(8, 0.5), tolerance=0.0).gain == 0.0


def test_what_did_not_change_is_never_worse() -> None:
    """The same code gives the same runs: no chance is left that could call it worse, or better."""
    values = np.random.default_rng(1).gamma(2.0, 50.0, 30)
    assert total_change(values, values, tolerance=0.0).p == 1.0
    assert total_change(values, values, tolerance=0.0).gain == 1.0
    assert share_change(values > 100, values > 100).p == 1.0


def test_versions_that_are_equally_good_are_rarely_called_worse() -> None:
    """At a level of 5 %: of totals that hang together by their seed, and of shares."""
    random, called = np.random.default_rng(20261122), {"total": 0, "share": 0}
    for _ in range(TRIALS):
        seeds = random.gamma(4.0, 25.0, 20)
        before, after = (seeds * random.lognormal(0.0, 0.4, 20) for _ in range(2))
        called["total"] += total_change(before, after, tolerance=0.0).p <= 0.05
        called["share"] += share_change(before > 120.0, after > 120.0).p <= 0.05
    assert {name: share_of(count, TRIALS).lower <= 0.05 for name, count in called.items()} == dict.fromkeys(
        called, True
    )
    assert called["total"] > 0.02 * TRIALS  # and it is no rule that never calls


def test_a_worsening_within_the_tolerance_is_none_and_one_beyond_it_is_found() -> None:
    """A tenth more is allowed here."""
    random = np.random.default_rng(3)
    before = random.gamma(4.0, 25.0, 40)
    after = before * random.lognormal(0.0, 0.05, 40)
    assert total_change(before, 1.05 * after, tolerance=0.1).p > 0.05
    assert total_change(before, 1.3 * after, tolerance=0.1).p < 0.001
    assert total_change(before, after, tolerance=0.1).lower < 1.0 < total_change(before, after, tolerance=0.1).upper


@pytest.mark.parametrize(("before", "after"), [([5.0], [50.0]), ([0.0, 0.0], [3.0, 4.0])])
def test_one_pair_or_nothing_before_proves_nothing(before: list[float], after: list[float]) -> None:
    """There is no spread to hold it against, or no ratio."""
    assert total_change(np.array(before), np.array(after), tolerance=0.0).p == 1.0


def test_many_questions_share_one_level() -> None:
    """Holm: the smallest pays for all of them, the next one for what is left."""
    assert proved([0.02, 0.02, 0.02], level=0.05) == [False, False, False]
    assert proved([0.016, 0.024, 0.05], level=0.05) == [True, True, True]
    assert proved([], level=0.05) == []
