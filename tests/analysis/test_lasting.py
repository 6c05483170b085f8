"""The bound of lasting differences: exceeded as often as it says, whatever the spread is."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.baseline import spread_fit
from analysis.lasting import NO_BOUND, Bounds
from analysis.sequential.latency import MIXTURE as LATENCY
from analysis.sequential.ratio import RatioTest

MIXTURE = RatioTest(relative=1.05, absolute=0.0, promote_relative=1.5, promote_absolute=0.0).mixture
BOUNDS = Bounds(MIXTURE)


def test_one_known_spread_gives_the_quantile_of_its_gaussian() -> None:
    """Nothing is left of the prior once a single spread explains the pods."""
    fit = np.full((1, 1, 8), -1e9)
    fit[..., 4] = 0.0
    bound = BOUNDS.bound(fit, np.array([[0.001]]))
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
    bound = BOUNDS.bound(fit, np.full((cells, 1), chance))[:, 0]
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
    bound = BOUNDS.bound(np.zeros((4, 1, 8)), chances)[:, 0]
    assert (np.diff(bound) > 0).all()


def test_tails_are_given_no_bound() -> None:
    """They differ so skewed that a bound read off pods would not hold: no part of the risk is spent on one."""
    bounds = Bounds(LATENCY)
    part = bounds.part(LATENCY.prior[None])
    assert part[0, 0] > 0.0
    assert part[0, 1:].tolist() == [0.0, 0.0]
    assert bounds.bound(np.zeros((1, 3, 8)), 0.01 * part)[0, 1:].tolist() == [NO_BOUND, NO_BOUND]
