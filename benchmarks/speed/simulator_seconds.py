"""The simulated half hour of simulator.py with a scrape each second: ten times the samples, and as many looks."""

from functools import partial
from typing import Final

from benchmarks.rounds import Bench, Better
from benchmarks.speed.simulator import scenario

BENCH: Final = Bench(
    name="simulator-seconds",
    unit="s",
    better=Better.LOWER,
    reference="numpy drawing the same counts",
    prepare=partial(scenario, every=1.0),
)
