"""Comparisons per second of error ratios with all corrections: start times, dispersion, lasting spreads, eight pods."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from analysis.sequential.base import Floats
from analysis.sequential.ratio import RatioTest
from benchmarks.kernels import measures
from benchmarks.rounds import Bench, Better, Measures

TEST: Final = RatioTest(relative=1.05, absolute=0.00005, promote_relative=1.5, promote_absolute=0.0005)


@contextmanager
def rollouts() -> Iterator[Measures]:
    """10,000 healthy rollouts of 0.5 % errors, 200 requests a pod and tick."""
    random = np.random.default_rng(1)

    def draw(pods: int) -> Floats:
        requests = random.poisson(200.0, pods)
        return np.stack((requests, random.binomial(requests, 0.005)), axis=1).astype(np.float64)

    yield measures(TEST, draw)


BENCH: Final = Bench(
    name="ratio-corrected", unit="comparisons/s", better=Better.HIGHER, reference="numpy's logarithms alone",
    prepare=rollouts, rounds=3,
)  # fmt: skip
