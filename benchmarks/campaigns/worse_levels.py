"""How often, and how late, regressions of gauges, counts and against the past are found; none may be promoted.

`later` counts misses too: at most half of the runs may be later than the figure of its cell.
"""

from functools import partial

import numpy as np

from analysis.sequential.base import Floats
from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.levels import WORSE_COUNTS, WORSE_GAUGES, counts, gauges
from benchmarks.detection.pasts import WORSE_PAST, watched


def counted(at: Floats, *, median: float, promoted: int) -> Counts:
    """Counts of runs that were found worse at these times (runs,), inf where they were not."""
    return Counts(
        runs=len(at),
        events={"missed": int(np.isinf(at).sum()), "later": int((at > median).sum()), "promoted": promoted},
        figures={"found at, s": tuple(float(np.minimum(each, 1e9)) for each in at)},
    )


def gauge(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one gauge."""
    world, median, _ = WORSE_GAUGES[name]
    outcome = gauges(world, runs=runs, seed=seed)
    return counted(outcome.rolled_back, median=median, promoted=outcome.promotions())


def count(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one count without a denominator."""
    world, median, _ = WORSE_COUNTS[name]
    outcome = counts(world, runs=runs, seed=seed)
    return counted(outcome.rolled_back, median=median, promoted=outcome.promotions())


def past(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one change against the past; it promotes nothing."""
    track, median, _ = WORSE_PAST[name]
    return counted(watched(track, runs=runs, seed=seed), median=median, promoted=0)


KINDS = (("gauge", WORSE_GAUGES, gauge), ("count", WORSE_COUNTS, count), ("past", WORSE_PAST, past))
CAMPAIGN = Campaign(
    name="worse_levels",
    claim="Regressions of gauges, of counts and against the past are found as often and as early as stated.",
    cells=tuple(
        Cell(
            name=f"{kind}: {name}",
            run=partial(run, name=name),
            at_most={"missed": missed, "later": 0.5, "promoted": 0.01},
            slice_runs=30,
        )
        for kind, worse, run in KINDS
        for name, (_, _, missed) in worse.items()
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
