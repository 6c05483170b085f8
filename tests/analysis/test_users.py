"""Users who stick to a track: how many requests count as one, held against users who were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.allocation import log_skew, skewed
from analysis.slo import excludes
from analysis.users import Users, crowding

USERS = Users(requests=10.0, visit=600.0, variation=1.5, correlation=0.2)
CROWDS = st.builds(
    Users,
    requests=st.floats(1.0, 1e4),
    visit=st.floats(1.0, 1e6),
    variation=st.floats(0.0, 10.0),
    correlation=st.floats(0.0, 1.0),
)


def made(random: np.random.Generator, users: int) -> npt.NDArray[np.int64]:
    """Requests of drawn users, log-normal and then Poisson."""
    square = np.log1p(USERS.variation**2)
    busy = np.exp(np.sqrt(square) * random.standard_normal(users) - square / 2.0)
    return np.asarray(random.poisson(USERS.requests * busy))


def test_a_request_belongs_to_a_user_who_makes_many() -> None:
    """E[n^2]/E[n] of users that were drawn; the one of Poisson numbers is 1 more."""
    count = made(np.random.default_rng(1), 1_000_000).astype(float)
    assert (count**2).sum() / count.sum() - 1.0 == pytest.approx(USERS.largest, rel=0.05)


@pytest.mark.parametrize("part", [0.1, 0.5, 1.0])
def test_failures_of_users_spread_by_the_design_effect(part: float) -> None:
    """Beta-binomial users, seen for a part of their visit: the variance of failures over that of independent ones."""
    random, runs, users, share = np.random.default_rng(2), 4000, 500, 0.05
    size = 1.0 / USERS.correlation - 1.0
    count = random.binomial(made(random, runs * users), part)
    luck = random.beta(share * size, (1.0 - share) * size, runs * users)
    beyond = (random.binomial(count, luck) - share * count).reshape(runs, users).sum(axis=1)
    ratio = beyond.var() / (share * (1.0 - share) * count.sum() / runs)
    assert ratio == pytest.approx(float(USERS.design(np.array(part * USERS.visit))), rel=0.15)


@given(users=CROWDS, seconds=st.floats(0.0, 1e7))
def test_windows_hold_at_least_one_request_of_a_user_and_longer_ones_no_fewer(users: Users, seconds: float) -> None:
    """So nothing is ever surer with users than without, and correlation 1 makes of a user one request."""
    short, long = users.cluster(np.array([seconds, 2.0 * seconds]))
    assert short <= float(users.single(np.array(seconds))) * (1.0 + 1e-9)
    design = float(users.design(np.array(seconds)))
    assert 1.0 <= short <= long <= users.largest * (1.0 + 1e-9)
    assert 1.0 <= design <= short * (1.0 + 1e-9)
    assert design <= float(users.dispersion(np.array(seconds)))


@given(users=CROWDS, alone=st.floats(0.0, 1e6))
def test_waiting_ends_when_evidence_is_that_of_independent_requests(users: Users, alone: float) -> None:
    """Time over dispersion is what counts, and it is never shorter."""
    wait = float(users.wait(np.array(alone)))
    assert wait >= alone * (1.0 - 1e-9)
    assert wait / float(users.dispersion(np.array(wait))) == pytest.approx(alone, rel=1e-6, abs=1e-6)


def test_what_is_never_shown_is_waited_for_for_ever() -> None:
    """Also where failures are not alike at all, and nothing has to be waited for."""
    for each in (USERS, replace(USERS, correlation=0.0)):
        assert each.wait(np.array([np.inf])).tolist() == [np.inf]


def test_failures_of_one_user_breach_nothing() -> None:
    """A busy user's minute fails whole: a breach of independent requests, and none of users; thirty such users are."""
    window = np.array(60.0)
    one = USERS.single(window)
    design, least = crowding(USERS, window)
    total, allowed = np.array(600.0), np.array(0.0005)
    assert excludes(one, total, allowed)
    assert not excludes(one, total, allowed, design=design, least=least)
    assert excludes(30.0 * one, total, allowed, design=design, least=least)


def test_without_users_every_request_counts() -> None:
    """And a window needs two failures."""
    design, least = crowding(None, np.array([60.0, 3600.0]))
    assert design.tolist() == [1.0, 1.0]
    assert least.tolist() == [2.0, 2.0]


def test_a_share_of_few_busy_users_is_rarely_called_skewed() -> None:
    """60 looks at users who come one by one: in clusters of four requests many are held, in their own none."""
    random, runs = np.random.default_rng(3), 400
    count = made(random, runs * 60 * 20).reshape(runs, 60, 20)
    canary = random.random(count.shape) < 0.1
    total, ours = (each.sum(axis=2).cumsum(axis=1).astype(float) for each in (count, count * canary))
    tenth = np.full(runs, 0.1)

    def held(cluster: float) -> float:
        looks = [skewed(ours[:, at], total[:, at], tenth, tenth, cluster=cluster) for at in range(60)]
        return float(np.any(looks, axis=0).mean())

    assert held(4.0) > 0.1
    assert held(USERS.largest) <= 0.005


def test_a_share_between_two_weights_is_no_skew_and_one_outside_is() -> None:
    """Users of the former weight are still there."""
    total, low, high = np.full(3, 1e5), np.full(3, 0.1), np.full(3, 0.5)
    assert skewed(np.array([3e4, 2e3, 7e4]), total, low, high).tolist() == [False, True, True]
    assert log_skew(np.array([3e4]), total[:1], np.array([0.3])) < 0.0
