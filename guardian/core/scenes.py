"""What the pods of one guardrail would count, drawn at random: equal pods that differ lastingly, and else independent.

One kind each of ratio, histogram, count and gauge. Axes: C rollouts, P pods (the canary's first), F columns of counts.
It judges nothing (rehearsal.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from analysis.readings import COLUMNS, REMEMBERED, reading_rows
from analysis.sequential.base import Floats, Ints
from analysis.sequential.latency import PSEUDO, Cuts, bucket_edges, scaled

_LOGS: Final = np.linspace(np.log(0.1), np.log(100.0), 1000)
"""Logarithms of how many times as long latencies may be."""

MOST_READINGS: Final = 12
"""Readings drawn in one tick, at most: how much pods differ says more than further ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One tick of some rollouts (C,): end and length in seconds, requests expected of each pod (P,).

    factor: (C, P) times as many errors, as long, as high, as the usual pod. tail: (C, P) share of requests that takes
    `tail_times` (C, 1) as long beside. anew: the canary's first tick.
    """

    rollouts: Ints
    end: float
    seconds: float
    load: Floats
    factor: Floats
    tail: Floats
    tail_times: Floats
    anew: bool


class Scene(Protocol):
    """Draws what pods count. It may remember earlier ticks: each rehearsal takes a copy of one that was never used."""

    def rows(self, moment: Moment, random: np.random.Generator) -> Floats:
        """Rows (C, P, F) of one tick, as the guardrail's test reads them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Bad events among requests; share: of the usual pod."""

    share: float

    def rows(self, moment: Moment, random: np.random.Generator) -> Floats:
        """Draw (requests, bad)."""
        requests = random.poisson(np.broadcast_to(moment.load, moment.factor.shape))
        bad = random.binomial(requests, np.minimum(self.share * moment.factor, 1.0))
        return np.stack((requests, bad), axis=-1).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events without a denominator; each: per request."""

    each: float

    def rows(self, moment: Moment, random: np.random.Generator) -> Floats:
        """Draw (requests, events)."""
        requests = random.poisson(np.broadcast_to(moment.load, moment.factor.shape))
        return np.stack((requests, random.poisson(moment.load * self.each * moment.factor)), axis=-1).astype(np.float64)


class Latencies:
    """Requests by bucket; bounds: upper ones in seconds, the last inf. counts: of the usual pod, a large sample."""

    def __init__(self, bounds: tuple[float, ...], counts: tuple[float, ...]) -> None:
        known, upper = np.array([counts], np.float64) + PSEUDO, np.array(bounds)
        table = scaled(known / known.sum(), Cuts.of(upper, np.exp(_LOGS)), *bucket_edges(upper))[0]
        self._table = np.maximum(table, 0.0)

    def rows(self, moment: Moment, random: np.random.Generator) -> Floats:
        """Draw requests per bucket."""
        shares = self._shares(moment.factor)
        if moment.tail.any():
            tail = moment.tail[..., None]
            shares = (1.0 - tail) * shares + tail * self._shares(moment.factor * moment.tail_times)
        return random.poisson(shares * moment.load[:, None]).astype(np.float64)

    def _shares(self, factor: Floats) -> Floats:
        """Shares per bucket (C, P, B) of latencies `factor` (C, P) times as long."""
        place = np.clip((np.log(factor) - _LOGS[0]) / (_LOGS[1] - _LOGS[0]), 0.0, len(_LOGS) - 1.001)
        low = place.astype(np.int64)
        part = (place - low)[..., None]
        return np.asarray(self._table[low] * (1.0 - part) + self._table[low + 1] * part)


class Levels:
    """Readings of a gauge, one every so many seconds; noise: sd of a reading, in units of the level."""

    def __init__(self, *, noise: float, every: float) -> None:
        self._noise, self._every = noise, every
        self._memory: Floats = np.zeros((0, REMEMBERED))

    def rows(self, moment: Moment, random: np.random.Generator) -> Floats:
        """Draw the columns of analysis.readings; the level is 1."""
        pods = moment.factor.shape[1]
        places = (moment.rollouts[:, None] * pods + np.arange(pods)).ravel()
        if places.max() >= len(self._memory):
            self._memory = np.zeros((int(places.max()) + 1, REMEMBERED))
        memory = self._memory[places]
        count = min(max(round(moment.seconds / self._every), 1), MOST_READINGS)
        rows = np.zeros((len(places), COLUMNS))
        for reading in range(count):
            time = moment.end - moment.seconds * (count - 1 - reading) / count
            value = moment.factor.ravel() + random.standard_normal(len(places)) * self._noise
            anew = np.full(len(places), moment.anew and reading == 0)
            rows += reading_rows(value, np.full(len(places), time), memory, anew=anew)
        self._memory[places] = memory
        return rows.reshape(*moment.factor.shape, COLUMNS)
