"""Who asks besides users: crawlers and scripts, with a rhythm of their own and other luck with what they ask for.

Both tracks get them as they get users. Metrics count their requests as any; a bot whose request fails is nobody hurt.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.random import Generator

from guardian.core.looks import Ints
from simulator.conditions import Conditions
from simulator.service import Latency
from simulator.traffic import Floats, Traffic
from simulator.units import Factor, Part, Portion

Chances = TypeVar("Chances", float, Floats)
MOST_BOTS: Final = 16
"""Kinds of bots of one service: each has random numbers of its own."""


class Bot(Part):
    """One kind of bots, beside the users of `traffic`.

    errors: share of their requests that fails for what they ask, whatever answers. slow: factor on their latencies.
    """

    traffic: Traffic
    errors: Portion = 0.0
    slow: Factor = 1.0

    def failing(self, chance: Chances) -> Chances:
        """Return the chance that a request of a bot fails where that of a user has this one; same shape."""
        return 1.0 - (1.0 - chance) * (1.0 - self.errors)

    def counts(
        self, conditions: Conditions, asked: Floats, latency: Latency, *, columns: int, chance: Generator
    ) -> Ints:
        """Draw what pods count of these bots; they attempt nothing of what users come for.

        asked: requests to expect, shape (..., slots). Returns shape (..., slots, columns): requests, failures, buckets
        and further columns of 0.
        """
        total = chance.poisson(np.where(conditions.ready, asked, 0.0))
        shares = latency.shares(conditions.slow * self.slow, conditions.tail)
        found = np.zeros((*total.shape, columns), dtype=np.int64)
        found[..., 0], found[..., 1] = total, chance.binomial(total, self.failing(conditions.errors))
        found[..., 2 : 2 + shares.shape[-1]] = chance.multinomial(total, shares)
        return found
