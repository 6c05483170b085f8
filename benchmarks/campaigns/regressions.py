"""How often, and how late, regressions are rolled back; none of them may be promoted.

`later` counts misses too: at most half of the runs may be later than the figure of its cell, at most 1 % missed.
"""

from functools import partial

import numpy as np

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.families import REGRESSIONS
from benchmarks.detection.judged import judged
from benchmarks.detection.streams import generate


def worse(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one regression."""
    situation, policy, median = REGRESSIONS[name]
    outcome = judged(generate(situation, runs=runs, seed=seed), policy)
    return Counts(
        runs=runs,
        events={
            "missed": runs - outcome.rollbacks(),
            "later": int((outcome.rolled_back > median).sum()),
            "promoted": outcome.promotions(),
        },
        figures={"rolled back at, s": tuple(float(np.minimum(at, 1e9)) for at in outcome.rolled_back)},
    )


def claims(name: str) -> dict[str, float]:
    """A late onset may be promoted before enough was seen; everything else may be missed in 1 %."""
    late = "after" in name
    return {"missed": 0.12 if late else 0.01, "later": 0.5, "promoted": 0.12 if late else 0.01}


CAMPAIGN = Campaign(
    name="regressions",
    claim="Clear regressions are rolled back in 99 % of rollouts, half of them within the time stated.",
    cells=tuple(
        Cell(name=name, run=partial(worse, name=name), at_most=claims(name), chunk=250, slice_runs=40)
        for name in REGRESSIONS
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
