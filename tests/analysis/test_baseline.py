"""What pods differ by: lasting spread, passing noise, and tracks that wander."""

from __future__ import annotations

import numpy as np

from analysis.baseline import WINDOWS, noise_at, passing_noise, spread_fit, spread_posterior, sum_by, wander_chance
from analysis.sequential.base import Floats

SPREADS = np.array([[0.0, 0.05, 0.1, 0.2, 0.4]])
PRIOR = np.full((1, 5), 0.2)


def posterior_for(sd: float, *, pods: int = 12, seed: int = 1) -> Floats:
    """Posterior of the spread from pods with 2,000 expected events each."""
    random = np.random.default_rng(seed)
    exposure = np.full(pods, 2000.0)
    drift = random.poisson(exposure * np.exp(random.normal(0.0, sd, pods))) - exposure
    totals = np.stack((drift, exposure), axis=-1)[:, None]
    fit = spread_fit(
        totals, exposure[:, None], np.zeros((pods, 1)), np.zeros(pods, dtype=np.int64), spreads=SPREADS, count=1
    )
    return np.asarray(spread_posterior(fit, PRIOR)[0, 0])


def test_the_spread_between_pods_is_found() -> None:
    """Equal pods: 0 or nearly; pods that differ by 20 %: about that."""
    assert posterior_for(0.0)[:2].sum() > 0.9
    assert posterior_for(0.2, pods=40)[3] > 0.9


def test_a_lone_pod_says_nothing_of_the_spread() -> None:
    """One degree of freedom is spent on the mean."""
    assert np.allclose(posterior_for(0.2, pods=1), PRIOR)


def windows_of(noise: Floats, exposure: float) -> Floats:
    """v(w) from the drift of pods (pods, ticks)."""
    pods, ticks = noise.shape
    sums = np.zeros((pods, 1, len(WINDOWS), 4))
    closed = np.zeros((pods, len(WINDOWS)))
    for i, window in enumerate(WINDOWS):
        whole = ticks // window
        drift = noise[:, : whole * window].reshape(pods, whole, window).sum(axis=2)
        size = exposure * window
        terms = (drift**2, drift * size, np.full(drift.shape, size**2), np.full(drift.shape, size))
        sums[:, 0, i] = np.stack([term.sum(axis=1) for term in terms], axis=-1)
        closed[:, i] = whole
    totals = np.stack((noise.sum(axis=1), np.full(pods, exposure * ticks)), axis=-1)[:, None]
    return np.asarray(passing_noise(sums, closed, totals, np.zeros(pods, dtype=np.int64), 1)[0, 0])


def test_independent_counts_have_no_passing_noise_and_overdispersed_ones_have() -> None:
    """Variance beyond Poisson: none, or 0.25 a tick that falls as 1/w."""
    random = np.random.default_rng(2)
    plain = windows_of(random.poisson(50.0, (8, 256)).astype(np.float64) - 50.0, 50.0)
    wild = windows_of(random.poisson(50.0 * random.gamma(4.0, 0.25, (8, 256))).astype(np.float64) - 50.0, 50.0)
    assert plain[0] < 0.01
    assert 0.2 < wild[0] < 0.35
    assert wild[4] < wild[0] / 8.0


def test_noise_between_measured_lengths_is_interpolated_and_falls_beyond() -> None:
    """Effective ticks are rarely a power of two."""
    curve = np.array([[1.0, 0.5, 0.25, 0.125, 0.1, 0.08, 0.04]])
    found = noise_at(curve, np.array([[1.0, 3.0, 64.0, 128.0]]))[0]
    assert found[0] == 1.0
    assert 0.25 < found[1] < 0.5
    assert np.allclose(found[2:], [0.04, 0.02])


def test_a_contrast_that_stays_still_clears_the_tracks() -> None:
    """What hits canary and stable alike does not show in the contrast; a track that wanders alone does."""
    still = np.array([[[100.0, 0.0, 1e4, 100.0]]])
    moving = np.array([[[2100.0, 0.0, 1e4, 100.0]]])
    closed, totals = np.array([40.0]), np.array([[[0.0, 100.0]]])
    found = [
        wander_chance(each, closed, totals, pods=np.zeros((1, 1)), tracks=np.full((1, 1), 0.2), prior=0.7)[0, 0]
        for each in (still, moving)
    ]
    assert found[0] < 0.01
    assert found[1] > 0.99


def test_sums_by_group_do_not_depend_on_the_order() -> None:
    """Sorted groups take a faster way; the result is the same."""
    random = np.random.default_rng(3)
    values, group = random.random((20, 3)), random.integers(0, 5, 20)
    order = np.argsort(group, kind="stable")
    assert np.allclose(sum_by(values, group, 6), sum_by(values[order], group[order], 6))
