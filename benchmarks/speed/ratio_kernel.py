"""Comparisons per second of the bare ratio update, one core: rollouts times alternatives, nothing around it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from analysis.sequential.ratio import MULTIPLES, gains, null_share
from benchmarks.rounds import Bench, Better, Measures

ROLLOUTS: Final = 10_000
REPEATS: Final = 40


@contextmanager
def arrays() -> Iterator[Measures]:
    """Counts of one tick of 10,000 rollouts, with 8 alternatives."""
    random = np.random.default_rng(1)
    canary, stable = random.poisson(200.0, ROLLOUTS).astype(float), random.poisson(1800.0, ROLLOUTS).astype(float)
    bad = random.poisson(1.0, ROLLOUTS).astype(float)
    both = bad + random.poisson(9.0, ROLLOUTS).astype(float)
    share = null_share(canary, stable, np.full(ROLLOUTS, 1.06))
    out = np.empty((ROLLOUTS, len(MULTIPLES)))
    total = np.zeros_like(out)
    plain = random.random((ROLLOUTS, len(MULTIPLES))) + 0.5

    def ours() -> float:
        began = time.perf_counter()
        for _ in range(REPEATS):
            total.__iadd__(gains(bad, both, share, MULTIPLES, out=out))
        return ROLLOUTS * len(MULTIPLES) * REPEATS / (time.perf_counter() - began)

    def logarithms() -> float:
        began = time.perf_counter()
        for _ in range(REPEATS):
            np.log1p(plain, out=out)
        return ROLLOUTS * len(MULTIPLES) * REPEATS / (time.perf_counter() - began)

    yield Measures(ours=ours, reference=logarithms)


BENCH: Final = Bench(
    name="ratio-kernel", unit="comparisons/s", better=Better.HIGHER, reference="numpy's logarithms alone",
    prepare=arrays,
)  # fmt: skip
