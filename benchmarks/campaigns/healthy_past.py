"""How often a healthy change is found worse than the service's own past. Does not measure delay."""

from functools import partial

import numpy as np

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.pasts import HEALTHY_PAST, watched


def healthy(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one family."""
    found = watched(HEALTHY_PAST[name], runs=runs, seed=seed)
    return Counts(runs=runs, events={"found worse": int(np.isfinite(found).sum())})


CAMPAIGN = Campaign(
    name="healthy_past",
    claim="A healthy change is found worse than the service's own past in at most 1 % of rollouts, in every family.",
    cells=tuple(
        Cell(name=name, run=partial(healthy, name=name), at_most={"found worse": 0.01}, slice_runs=40)
        for name in HEALTHY_PAST
    ),
    sources=("analysis", "benchmarks/campaigns", "benchmarks/detection"),
)
