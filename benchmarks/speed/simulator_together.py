"""Time of one of twenty simulated half hours that are played side by side, as `guardian simulate --seeds` plays them.

The half hour and the reference are those of simulator.py.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.rounds import Bench, Better, Measures
from benchmarks.speed.simulator import drawn, half_hour
from simulator.together import TOGETHER, run_together


@contextmanager
def scenario() -> Iterator[Measures]:
    """Read the scenario once; each round plays other seeds."""
    busy = half_hour()
    firsts = iter(range(1, 100_000, TOGETHER))

    def ours() -> float:
        first = next(firsts)
        began = time.perf_counter()
        run_together(busy, range(first, first + TOGETHER))
        return (time.perf_counter() - began) / TOGETHER

    def reference() -> float:
        began = time.perf_counter()
        drawn(busy)
        return time.perf_counter() - began

    yield Measures(ours=ours, reference=reference)


BENCH: Final = Bench(
    name="simulator-together",
    unit="s",
    better=Better.LOWER,
    reference="numpy drawing the same counts",
    prepare=scenario,
)
