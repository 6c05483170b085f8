"""The proved correction: e-values under any exchangeable pods, and no more than the ways to choose them."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from analysis.exchangeable import drawn_evidence, draws, over_looks


def test_the_mean_over_all_draws_is_exactly_one() -> None:
    """Under the null each way to choose the canary's pods is as likely: the claim, without any simulation."""
    effects = np.random.default_rng(1).normal(0.0, 1.0, (5, 7))
    ways = draws(7, 2)
    total = np.zeros(5)
    for way in ways:
        order = np.concatenate((np.flatnonzero(way), np.flatnonzero(~way)))
        total += np.exp(drawn_evidence(effects[:, order], ways))
    assert total / len(ways) == pytest.approx(np.ones(5))


@pytest.mark.parametrize(("pods", "canary"), [(8, 2), (12, 3), (16, 4)])
def test_one_look_gives_at_most_the_number_of_draws(pods: int, canary: int) -> None:
    """However clear the difference is: with few pods it may be the draw of the pods."""
    effects = np.zeros((1, pods))
    effects[0, :canary] = 100.0
    effects += np.random.default_rng(2).normal(0.0, 1e-3, (1, pods))
    assert np.exp(drawn_evidence(effects, draws(pods, canary))[0]) == pytest.approx(comb(pods, canary), rel=1e-3)


def test_wild_and_lasting_pods_do_not_break_it() -> None:
    """Effects with heavy tails that wander from look to look: at any look, 1/alpha is passed in at most alpha."""
    random = np.random.default_rng(3)
    runs, looks, pods = 4000, 10, 12
    lasting = random.standard_t(2, (runs, 1, pods))
    wander = np.cumsum(random.standard_t(3, (runs, looks, pods)), axis=1)
    each = drawn_evidence((lasting + 0.3 * wander).reshape(-1, pods), draws(pods, 3)).reshape(runs, looks)
    passed = over_looks(each, np.full(looks, 0.1))[:, -1] >= np.log(20.0)
    assert passed.mean() <= 0.05


def test_pods_that_all_show_the_same_say_nothing() -> None:
    """No variance at all: every draw is as good."""
    assert drawn_evidence(np.zeros((1, 6)), draws(6, 2))[0] == pytest.approx(0.0)


@pytest.mark.parametrize(("pods", "canary"), [(8, 0), (8, 8), (60, 20)])
def test_impossible_and_too_many_draws_are_refused(pods: int, canary: int) -> None:
    """A clear word rather than an hour of work."""
    with pytest.raises(ValueError, match="draws; allowed"):
        draws(pods, canary)
