"""Random numbers of a run: same seed, same run; one purpose never disturbs another."""

from __future__ import annotations

import numpy as np

from simulator.chance import Chance, Purpose


def test_a_stream_does_not_depend_on_what_was_drawn_before() -> None:
    """Else two policies on one seed would meet different worlds after their first difference."""
    fresh, used = Chance(7), Chance(7)
    used.at(Purpose.ERRORS, 3).random(1000)
    used.at(Purpose.TRAFFIC, 9).random(5)
    assert np.array_equal(fresh.at(Purpose.TRAFFIC, 3).random(50), used.at(Purpose.TRAFFIC, 3).random(50))


def test_purposes_rounds_and_seeds_have_numbers_of_their_own() -> None:
    """Shared numbers would correlate what is independent in the world."""
    draws = {
        (seed, purpose, number): tuple(Chance(seed).at(purpose, number).random(4))
        for seed in range(3)
        for purpose in Purpose
        for number in range(3)
    }
    assert len(set(draws.values())) == len(draws)


def test_neighbouring_rounds_are_not_correlated() -> None:
    """Rounds are found by a counter; the numbers must not show it."""
    chance = Chance(1)
    rows = np.array([chance.at(Purpose.NOISE, number).random(64) for number in range(2000)])
    correlation = np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(rows.size)
