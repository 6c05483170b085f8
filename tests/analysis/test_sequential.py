"""The tests themselves: gains that are fair under the null, and evidence that pays for what pods differ."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from analysis.multiplicity import average
from analysis.sequential import TESTS
from analysis.sequential.base import Floats, logsumexp, start_times, start_weights
from analysis.sequential.latency import LatencyTest, label_fit, moved_quantile
from analysis.sequential.mixture import Lasting, Sums, harm_evidence, mixed, plain
from analysis.sequential.ratio import MULTIPLES, RatioTest, gains, lower_rate, null_share, upper_rate

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, float("inf"))
RATIO = RatioTest(relative=1.05, absolute=0.0, promote_relative=1.5, promote_absolute=0.0)
LATENCY = LatencyTest(bounds=BOUNDS, relative=1.02, tail=0.001, promote_relative=1.15, promote_tail=0.003)
STABLE = np.array([[500.0, 3000.0, 5000.0, 1300.0, 180.0, 20.0]])


@pytest.mark.parametrize("errors", [1, 3, 20])
def test_a_ratio_gain_is_fair_at_the_margin(errors: int) -> None:
    """Under the null the canary's errors are binomial: the expectation of exp(gain) is exactly 1."""
    share = null_share(np.array([100.0]), np.array([900.0]), np.array([1.05]))
    seen = np.arange(errors + 1.0)
    each = gains(seen, np.full(errors + 1, float(errors)), np.repeat(share, errors + 1), MULTIPLES)
    expectation = binom.pmf(seen, errors, share) @ np.exp(each)
    assert expectation == pytest.approx(np.ones(len(MULTIPLES)), abs=1e-12)


def test_a_label_gain_is_fair_at_the_margin() -> None:
    """Labels of single requests are independent given their buckets: the expectation of exp(gain) is exactly 1."""
    tilt, null = np.array([[[0.5, 1.5, 4.0]]]), np.array([[0.9, 1.1, 1.3]])
    both, share = np.array([[2.0, 1.0, 1.0]]), np.array([0.2])
    chance = share[0] * null[0] / (share[0] * null[0] + 1.0 - share[0])
    total = 0.0
    for counts in product(*(range(int(n) + 1) for n in both[0])):
        weight = np.prod(binom.pmf(counts, both[0], chance))
        fit = label_fit(np.array([counts], dtype=float), both, share, np.concatenate((tilt, null[:, None]), axis=1))
        gain = fit[0, 0] - fit[0, 1]
        total += weight * np.exp(gain)
    assert total == pytest.approx(1.0, abs=1e-12)


def test_latency_alternatives_are_distributions() -> None:
    """Every map of the stable distribution still sums to 1, and a slower one has more in the slow buckets."""
    known, tilt = LATENCY.densities(STABLE)
    scales = tilt[:, 1:8] * known[:, None]
    assert scales.sum(axis=2) == pytest.approx(np.ones((1, 7)), abs=1e-9)
    assert np.all(np.diff(scales[0, :, -2:].sum(axis=1)) > 0)


def test_a_faster_canary_gains_nothing() -> None:
    """No account of a tail may take fewer slow requests for more."""
    fast = np.array([[150.0, 500.0, 320.0, 28.0, 2.0, 0.0]])
    reading = LATENCY.read(fast, STABLE, STABLE, elapsed=np.array([10.0]))
    count = len(LATENCY.mixture.harm_weights)
    smaller = np.minimum(reading.harm[:, :count], reading.harm[:, LATENCY.mixture.partner])
    assert smaller.max() < 0.0


def test_a_tail_alone_gains_for_the_tail_and_not_for_the_scale() -> None:
    """2 % of requests moved to the last buckets: the tail alternatives find it."""
    tail = np.array([[49.0, 294.0, 490.0, 127.0, 25.0, 15.0]])
    reading = LATENCY.read(tail, STABLE, STABLE, elapsed=np.array([10.0]))
    direction = LATENCY.mixture.harm_direction
    best = [reading.harm[0, : len(direction)][direction == d].max() for d in (0, 1, 2)]
    assert max(best[1], best[2]) > best[0] + 2.0


def test_the_quantile_that_moved_is_named() -> None:
    """p50 stays, p99 moves."""
    canary = np.array([[50.0, 300.0, 500.0, 110.0, 20.0, 20.0]])
    assert moved_quantile(canary, STABLE, BOUNDS)[0] >= 0.95


def sums(gain: float, *, information: float, reach: float = 0.0) -> Sums:
    """One cell, one start, with all alternatives at the same gain."""
    shape = (1, 1, 1)
    return Sums(
        gain=np.full((1, 1, len(RATIO.mixture.harm_weights)), gain), information=np.full(shape, information),
        reach=np.full(shape, reach), passing=np.zeros(shape), common=np.zeros(shape), wander=np.zeros((1, 1)),
    )  # fmt: skip


def corrected(each: Sums, lasting: Lasting) -> Floats:
    """The evidence of one start."""
    bare = plain(each.gain, log_starts=np.zeros(1), log_weights=np.log(RATIO.mixture.harm_weights))
    return harm_evidence(bare, each, lasting=lasting, mixture=RATIO.mixture, log_starts=np.zeros(1))


def test_evidence_is_never_more_than_the_plain_process() -> None:
    """The claim under independence rests on this: the correction may only take away."""
    weights = np.log(RATIO.mixture.harm_weights)
    for gain, reach in product((-3.0, 0.5, 8.0, 60.0), (0.0, 50.0, 5e4)):
        each = sums(gain, information=100.0, reach=reach)
        bare = plain(each.gain, log_starts=np.zeros(1), log_weights=weights)
        for bound in (0.01, 0.3, 5.0):
            lasting = Lasting(
                posterior=RATIO.mixture.prior[None], bound=np.full((1, 1), bound), part=np.full((1, 1), 0.5)
            )
            assert corrected(each, lasting)[0] <= bare[0] + 1e-12


def test_pods_that_differ_cost_evidence() -> None:
    """The same gains say less where pods are known to differ: spread 0 against 30 %."""
    found = []
    for place in (0, 5):
        posterior = np.zeros((1, 1, RATIO.mixture.spreads.shape[1]))
        posterior[..., place] = 1.0
        lasting = Lasting(posterior=posterior, bound=np.full((1, 1), 5.0), part=np.zeros((1, 1)))
        each = sums(12.0, information=100.0, reach=5e3)
        found.append(corrected(each, lasting)[0])
    assert found[0] == pytest.approx(12.0, abs=0.1)
    assert found[1] < 4.0


def test_lasting_differences_beyond_the_bound_need_not_be_disproved() -> None:
    """The same gains with the same pods: the narrower the bound, the less a lasting difference explains."""
    found = []
    for bound in (5.0, 1.0, 0.3, 0.1):
        lasting = Lasting(posterior=RATIO.mixture.prior[None], bound=np.full((1, 1), bound), part=np.zeros((1, 1)))
        each = sums(12.0, information=100.0, reach=5e3)
        found.append(corrected(each, lasting)[0])
    assert found == sorted(found)
    assert found[-1] > found[0] + 1.0


def test_the_margin_uses_a_lower_bound_of_the_base_rate() -> None:
    """absolute/p_stable must not be too small: p_stable is bounded from below, even without any error."""
    test = RatioTest(relative=1.05, absolute=0.00005, promote_relative=1.5, promote_absolute=0.0005)
    memory = np.array([[500.0, 1e5, 500.0, 1e5], [0.0, 1e5, 0.0, 1e5], [0.0, 0.0, 0.0, 0.0]])
    harm, _ = test.margins(memory)
    assert 1.05 + 0.01 < harm[0] < 1.05 + 0.012
    assert harm[1] > 10.0
    assert np.isinf(harm[2])


def test_bounds_of_rates_hold_the_rate_between_them() -> None:
    """Wilson-Hilferty: a tight bracket at 500 events, a wide one at 3."""
    bad, requests = np.array([3.0, 500.0]), np.array([1e4, 1e5])
    low, high = lower_rate(bad, requests), upper_rate(bad, requests)
    assert np.all(low < bad / requests)
    assert np.all(bad / requests < high)
    assert high[1] / low[1] < 1.25 < high[0] / low[0]


def test_weights_of_starts_sum_to_one_and_starts_rise() -> None:
    """Fixed in advance: restarting spends weight, it adds none."""
    assert start_weights().sum() == pytest.approx(1.0)
    assert np.all(np.diff(start_times()) > 0)


def test_every_test_has_weights_that_sum_to_one() -> None:
    """What TESTS lists keeps the protocol's promises."""
    for test in (RATIO, LATENCY):
        assert type(test) in TESTS.values()
        assert test.mixture.harm_weights.sum() == pytest.approx(1.0)
        assert test.mixture.prior.sum(axis=1) == pytest.approx(np.ones(len(test.mixture.prior)))
        assert test.mixture.lone_prior.sum(axis=1) == pytest.approx(np.ones(len(test.mixture.prior)))
        for direction in np.unique(test.mixture.safe_direction):
            assert test.mixture.safe_weights[test.mixture.safe_direction == direction].sum() == pytest.approx(1.0)


def test_the_average_of_evidence_ignores_guardrails_that_take_no_part() -> None:
    """Their share of the risk goes to the others."""
    logs = np.log(np.array([[400.0, 1.0]]))
    assert np.exp(average(logs, np.array([[1.0, 0.0]]))[0]) == pytest.approx(400.0)
    assert average(logs, np.array([[0.0, 0.0]]))[0] == 0.0


def random_sums(cells: int, *, wander: bool) -> tuple[Sums, Lasting]:
    """Many cells of latency after seven starts, drawn at random."""
    random, mixture = np.random.default_rng(3), LATENCY.mixture
    shape = (cells, 7, len(mixture.spreads))
    each = Sums(
        gain=random.normal(1.0, 3.0, (cells, 7, len(mixture.harm_weights))), information=random.gamma(2.0, 20.0, shape),
        reach=random.gamma(2.0, 200.0, shape), passing=random.gamma(1.0, 20.0, shape),
        common=random.gamma(1.0, 20.0, shape) * wander, wander=random.random((cells, shape[2])),
    )  # fmt: skip
    posterior = random.dirichlet(np.ones(mixture.spreads.shape[1]), (cells, shape[2]))
    return each, Lasting(posterior=posterior, bound=random.random(shape[::2]), part=0.5 * random.random(shape[::2]))


@pytest.mark.parametrize("wander", [False, True])
def test_evidence_of_a_cell_does_not_depend_on_how_many_there_are(*, wander: bool) -> None:
    """Not in the last bit: cells are worked on some at a time, and each by itself."""
    each, lasting = random_sums(1_000, wander=wander)
    starts = np.log(np.full(7, 1.0 / 7.0))
    bare = np.full(1_000, 50.0)
    whole = harm_evidence(bare, each, lasting=lasting, mixture=LATENCY.mixture, log_starts=starts)
    assert np.any(whole > 0.0)
    for number in (0, 427, 428, 429, 999):
        one = np.array([number])
        own = Lasting(posterior=lasting.posterior[one], bound=lasting.bound[one], part=lasting.part[one])
        found = harm_evidence(bare[one], each.rows(one), lasting=own, mixture=LATENCY.mixture, log_starts=starts)
        assert found[0] == whole[number]


@pytest.mark.parametrize("spreads", [1, 2, 8, 16])
def test_a_mixture_along_the_first_axis_is_that_along_the_last(spreads: int) -> None:
    """In every bit, so that turning the axes for speed changed no verdict; all -inf is -inf."""
    values = np.random.default_rng(4).normal(0.0, 30.0, (spreads, 40, 30))
    values[:, 0] = -np.inf
    assert np.array_equal(mixed(values), logsumexp(np.ascontiguousarray(np.moveaxis(values, 0, -1)), axis=-1))
