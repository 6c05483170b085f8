"""Comparisons per second of latencies in 17 buckets and all corrections: start times, dispersion, spreads, 8 pods."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from scipy.special import ndtr

from analysis.sequential.base import Floats
from analysis.sequential.latency import LatencyTest
from benchmarks.kernels import measures
from benchmarks.rounds import Bench, Better, Measures

BOUNDS: Final = (
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, float("inf")
)  # fmt: skip
TEST: Final = LatencyTest(bounds=BOUNDS, relative=1.02, tail=0.001, promote_relative=1.15, promote_tail=0.003)


@contextmanager
def rollouts() -> Iterator[Measures]:
    """10,000 healthy rollouts, log-normal around 0.1 s, 200 requests a pod and tick."""
    random = np.random.default_rng(1)
    below = ndtr((np.log(np.array(BOUNDS[:-1])) - np.log(0.1)) / 0.6)
    shares = np.diff(below, prepend=0.0, append=1.0)

    def draw(pods: int) -> Floats:
        return random.multinomial(200, shares, size=pods).astype(np.float64)

    yield measures(TEST, draw)


BENCH: Final = Bench(
    name="latency-corrected", unit="comparisons/s", better=Better.HIGHER, reference="numpy's logarithms alone",
    prepare=rollouts, rounds=3,
)  # fmt: skip
