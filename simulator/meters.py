"""What pods show besides requests and latencies: what users attempt, and levels such as CPU.

A request answered 200 may still carry the wrong answer: only a counter of what users came for tells. What a fault
changes is in faults.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.random import Generator
from pydantic import Field

from guardian.config.fields import Number
from guardian.core.looks import Ints
from simulator.traffic import Floats, Noise
from simulator.units import Metric, Part, Portion, Spread


class Attempt(Part):
    """Something that users come for, a match or a write: metric counts all, and those that went wrong by a label.

    of: share of the requests without an HTTP failure that are one. bad: share of them that go wrong. spread: between
    equal pods, lasting.
    """

    metric: Metric
    of: Portion = 1.0
    bad: Portion
    spread: Spread = 0.0


class Gauge(Part):
    """A level that each pod shows when it is scraped. It does not follow traffic.

    level: mean of all pods. spread: between equal pods, lasting. noise: per pod, over time. most: it shows no more.
    """

    metric: Metric
    level: Annotated[Number, Field(gt=0)]
    spread: Spread = 0.0
    noise: Noise = Noise()
    most: Annotated[Number, Field(gt=0)] = float("inf")


class Meters:
    """The attempts and gauges of some slots: what each pod was born with, and how levels wobble."""

    def __init__(
        self, attempts: Sequence[Attempt], gauges: Sequence[Gauge], chance: Generator, shape: tuple[int, int]
    ) -> None:
        """shape: (rounds, slots)."""
        self.attempts, self.gauges = attempts, gauges

        def born(spread: float) -> Floats:
            return np.exp(spread * chance.standard_normal(shape[1]) - spread**2 / 2)

        self._wrong = [born(one.spread) for one in attempts]
        self._level = [born(one.spread) * one.noise.factors(chance, shape) for one in gauges]

    def usual(self, shape: tuple[int, ...]) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Return the chances that attempts go wrong, and the levels, by metric, where no fault acts."""
        wrong = {one.metric: np.full(shape, one.bad) for one in self.attempts}
        return wrong, {one.metric: np.full(shape, one.level) for one in self.gauges}

    def counts(self, well: Ints, wrong: Mapping[str, Floats], chance: Generator) -> Ints:
        """Draw attempts and those that go wrong, metric by metric.

        well: requests without an HTTP failure, shape (..., slots). wrong: chances, shape of `well`.
        Returns shape (..., slots, 2 x attempts).
        """
        columns: list[Ints] = []
        for one, temper in zip(self.attempts, self._wrong, strict=True):
            tried = chance.binomial(well, one.of)
            bad = np.clip(wrong[one.metric] * temper[: well.shape[-1]], 0.0, 1.0)
            columns += [tried, chance.binomial(tried, bad)]
        return np.stack(columns, axis=-1) if columns else np.zeros((*well.shape, 0), dtype=np.int64)

    def readings(self, levels: Mapping[str, Floats], rounds: slice | int) -> Floats:
        """Return what gauges show. levels: shape (..., slots). rounds: which. Returns shape (..., slots, gauges)."""
        shown = [
            np.minimum(levels[one.metric] * wobble[rounds, : levels[one.metric].shape[-1]], one.most)
            for one, wobble in zip(self.gauges, self._level, strict=True)
        ]
        return np.stack(shown, axis=-1)
