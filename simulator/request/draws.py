"""Random numbers for the request grain: drawn in blocks, handed out one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import numpy as np
from numpy.random import Generator

from simulator.request.language import Cache
from simulator.service import Latency
from simulator.traffic import Floats

T = TypeVar("T")
BLOCK: Final = 1024


def one_by_one(draw: Callable[[int], list[T]]) -> Callable[[], T]:
    """Return a function that gives the next number; `draw` makes so many at once."""

    def numbers() -> Iterator[T]:
        while True:
            yield from draw(BLOCK)

    return numbers().__next__


def uniforms(chance: Generator) -> Callable[[], float]:
    """Return draws from [0, 1)."""
    return one_by_one(lambda count: chance.random(count).tolist())


def times(chance: Generator, median: float, sigma: float) -> Callable[[], float]:
    """Return draws of log-normal times in seconds."""
    return one_by_one(lambda count: (median * np.exp(sigma * chance.standard_normal(count))).tolist())


def keys(chance: Generator, cache: Cache) -> Callable[[], int]:
    """Return draws of what is asked for, 0 the most wanted.  Source: Zipf's law, by inversion of its distribution."""
    weights = np.arange(1, cache.keys + 1, dtype=np.float64) ** -cache.skew
    reached = np.cumsum(weights) / weights.sum()
    return one_by_one(lambda count: np.searchsorted(reached[:-1], chance.random(count), side="right").tolist())


User = tuple[float, float, float, float, float, float]
"""One request before it meets a pod.

Seconds since the one before (the first: since the stretch began); which pod, 0..1; luck, 0..1: it fails where that is
below the pod's chance to; 0..1: it is a slow one where below the pod's share of these; seconds of work on a pod of
speed 1 if it is not, and if it is.
"""


def arrivals(chance: Generator, latency: Latency, *, rate: float, lasts: float) -> Iterator[User]:
    """Draw the users of `lasts` seconds, in the order they come: Poisson at `rate` a second."""
    count = int(chance.poisson(rate * lasts))
    place, luck, chosen, mode = (chance.random(count) for _ in range(4))
    gap = np.diff(lasts * np.sort(chance.random(count)), prepend=0.0)
    shape = chance.standard_normal(count)
    tail = latency.tail.median * np.exp(latency.tail.sigma * shape)
    columns = (gap, place, luck, chosen, _body(latency, mode, shape), tail)
    return zip(*(column.tolist() for column in columns), strict=True)


def clients(chance: Generator, latency: Latency, *, thinks: float) -> Callable[[], User]:
    """Return draws of the requests of closed loops; the first number of each: how long its client thinks before it."""

    def draw(count: int) -> list[User]:
        place, luck, chosen, mode = (chance.random(count) for _ in range(4))
        gap, shape = thinks * chance.standard_exponential(count), chance.standard_normal(count)
        tail = latency.tail.median * np.exp(latency.tail.sigma * shape)
        columns = (gap, place, luck, chosen, _body(latency, mode, shape), tail)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    return one_by_one(draw)


def _body(latency: Latency, mode: Floats, shape: Floats) -> Floats:
    """Return draws from the humps; mode: 0..1, which of them; shape: standard normal."""
    upto = np.cumsum([one.share for one in latency.body])[:-1]
    which = np.searchsorted(upto, mode, side="right")
    median, sigma = (np.array([getattr(one, name) for one in latency.body])[which] for name in ("median", "sigma"))
    body: Floats = median * np.exp(sigma * shape)
    return body
