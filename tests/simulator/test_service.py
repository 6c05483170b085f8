"""Latencies and lasting differences of simulated pods."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.chance import Chance, Purpose
from simulator.service import BOUNDS, Service, temper
from simulator.traffic import Noise
from tests.simulator.worlds import SERVICE

SERVED = Service.model_validate(SERVICE)


@given(slow=st.floats(0.05, 50), tail=st.floats(0, 1))
def test_chances_of_buckets_sum_to_one(slow: float, tail: float) -> None:
    """Every request falls into exactly one bucket."""
    shares = SERVED.latency.shares(np.array([slow]), np.array([tail]))
    assert shares.shape == (1, len(BOUNDS) + 1)
    assert abs(shares.sum() - 1) < 1e-12
    assert (shares >= 0).all()


def test_slower_is_slower_in_every_bucket() -> None:
    """Cumulative shares fall when everything takes longer."""
    fast, slow = SERVED.latency.shares(np.array([1.0, 1.5]), np.array([0.003, 0.003]))
    assert (np.cumsum(slow) <= np.cumsum(fast) + 1e-12).all()


def test_a_heavier_tail_leaves_the_median_where_it_is() -> None:
    """3 % of requests at 2.5 s: mean and p99 move, p50 does not leave its bucket."""
    usual, heavy = np.cumsum(SERVED.latency.shares(np.ones(2), np.array([0.003, 0.03])), axis=1)
    assert np.searchsorted(usual, 0.5) == np.searchsorted(heavy, 0.5)
    assert BOUNDS[np.searchsorted(heavy, 0.99)] >= 2.5 > BOUNDS[np.searchsorted(usual, 0.99)]


def test_equal_pods_differ_lastingly_by_what_the_scenario_says() -> None:
    """The spread of what pods are born with is the spread that was asked for, around a mean of 1."""
    spread = Service.model_validate({**SERVICE, "errors": {"share": "1%", "spread": 0.3}})
    born = temper(spread, 20_000, Chance(1).at(Purpose.PODS))
    assert abs(np.log(born.errors).std() - 0.3) < 0.01
    assert abs(born.errors.mean() - 1) < 0.01
    assert (born.load == 1).all()


def test_noise_has_mean_one_and_the_memory_it_was_given() -> None:
    """Bad minutes, not bad scrapes: neighbours are correlated as said."""
    factors = np.log(Noise(sd=0.2, memory=0.9).factors(np.random.default_rng(1), (20_000, 2)))
    assert abs(factors.std() - 0.2) < 0.01
    assert abs(np.corrcoef(factors[:-1, 0], factors[1:, 0])[0, 1] - 0.9) < 0.02
