"""The bound of lasting differences: exceeded as often as it says, whatever the spread is."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.baseline import spread_fit
from analysis.lasting import NO_BOUND, Bounds, tilt
from analysis.sequential.gauge import MIXTURE as GAUGE
from analysis.sequential.latency import MIXTURE as LATENCY
from analysis.sequential.ratio import RatioTest

MIXTURE = RatioTest(relative=1.05, absolute=0.0, promote_relative=1.5, promote_absolute=0.0).mixture
BOUNDS = Bounds(MIXTURE)
EVEN = np.zeros(1)


def test_one_known_spread_gives_the_quantile_of_its_gaussian() -> None:
    """Nothing is left of the prior once a single spread explains the pods."""
    fit = np.full((1, 1, 8), -1e9)
    fit[..., 4] = 0.0
    bound = BOUNDS.bound(fit, np.array([[0.001]]), EVEN)
    assert bound[0, 0] == pytest.approx(3.0902 * MIXTURE.spreads[0, 4], rel=0.01)


@pytest.mark.parametrize("spread", [0.1, 0.15, 0.3])
@pytest.mark.parametrize("pods", [3, 6])
def test_a_fresh_pod_exceeds_the_bound_as_rarely_as_it_says(spread: float, pods: int) -> None:
    """Bound from a few pods without other noise and a new one of the same spread against it."""
    cells, chance = 20_000, 0.01
    random = np.random.default_rng(5)
    level = random.normal(0.0, spread, (cells, pods))
    drift = (level - level.mean(axis=1, keepdims=True)).reshape(-1)
    totals = np.stack((drift, np.ones_like(drift)), axis=1)[:, None]
    group = np.repeat(np.arange(cells), pods)
    noise = np.full((cells * pods, 1), 1e-6)
    fit = spread_fit(totals, noise, np.zeros_like(noise), group, spreads=MIXTURE.spreads, count=cells)
    bound = BOUNDS.bound(fit, np.full((cells, 1), chance), EVEN)[:, 0]
    exceeded = float((random.normal(0.0, spread, cells) > bound).mean())
    assert 0.0 < exceeded <= 1.4 * chance


def test_more_certain_pods_take_less_of_the_risk() -> None:
    """Where pods are alike no bound is needed, and no risk is spent on one."""
    posterior = np.zeros((2, 1, 8))
    posterior[0, 0, 0] = posterior[1, 0, -1] = 1.0
    alike, apart = BOUNDS.part(posterior)[:, 0]
    assert alike == 0.0
    assert 0.9 * MIXTURE.bounded[0] < apart < MIXTURE.bounded[0]


def test_a_smaller_chance_has_a_wider_bound() -> None:
    """Monotone, and the same for every cell that saw the same."""
    chances = np.array([[0.01], [0.004], [0.001], [1e-5]])
    bound = BOUNDS.bound(np.zeros((4, 1, 8)), chances, EVEN)[:, 0]
    assert (np.diff(bound) > 0).all()


def test_tails_are_given_no_bound() -> None:
    """They differ so skewed that a bound read off pods would not hold: no part of the risk is spent on one."""
    bounds = Bounds(LATENCY)
    part = bounds.part(LATENCY.prior[None])
    assert part[0, 0] > 0.0
    assert part[0, 1:].tolist() == [0.0, 0.0]
    assert bounds.bound(np.zeros((1, 3, 8)), 0.01 * part, EVEN)[0, 1:].tolist() == [NO_BOUND, NO_BOUND]


@pytest.mark.parametrize(("canary", "others"), [(1, 9), (1, 3), (2, 6)])
@pytest.mark.parametrize("spread", [0.1, 0.32])
def test_pods_that_differ_by_factors_exceed_the_bound_as_rarely_as_it_says(
    canary: int, others: int, spread: float
) -> None:
    """Levels are log-normal; the spread is known here.

    One term leaves up to a quarter more, and half as much more with 3 against 3: it knows nothing of kurtosis.
    """
    runs, chance, random = 400_000, 0.005, np.random.default_rng(11)
    level = np.exp(random.normal(0.0, spread, (runs, canary + others)) - spread**2 / 2.0)
    gap = level[:, :canary].mean(axis=1) - level[:, canary:].mean(axis=1)
    fit = np.full((1, 2, 8), -1e9)
    fit[:, 0, 3 if spread < 0.2 else 6] = fit[:, 1, 0] = 0.0
    kept = tilt(np.array([float(canary)]), np.array([float(others)]))
    bounds, reach = Bounds(GAUGE), np.sqrt(1.0 / canary + 1.0 / others)
    skewed, normal = (float(bounds.bound(fit, np.full((1, 2), chance), each)[0, 0]) for each in (kept, 0.0 * kept))
    assert (gap > skewed * reach).mean() <= 1.3 * chance
    if spread > 0.2:
        assert (gap > normal * reach).mean() > 1.5 * chance
