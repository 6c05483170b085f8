"""Canaries that get another mix of requests than stable, where the policy names the label: both kinds of error."""

from functools import partial

import numpy as np

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.mixes import HEALTHY_MIXES, WORSE_MIXES, mixed


def healthy(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of a healthy canary."""
    outcome = mixed(HEALTHY_MIXES[name], runs=runs, seed=seed)
    return Counts(
        runs=runs,
        events={"false rollback": outcome.rollbacks(), "promoted": outcome.promotions()},
        figures={"promoted at, s": tuple(outcome.promoted)},
    )


def worse(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of a canary that is worse."""
    mix, median = WORSE_MIXES[name]
    outcome = mixed(mix, runs=runs, seed=seed)
    found = outcome.rolled_back
    return Counts(
        runs=runs,
        events={
            "missed": int(np.isinf(found).sum()),
            "later": int((found > median).sum()),
            "promoted": outcome.promotions(),
        },
        figures={"found at, s": tuple(found)},
    )


CAMPAIGN = Campaign(
    name="strata",
    claim="Compared within strata a healthy canary with another mix of requests is rolled back in at most 1 % of "
    "rollouts, and a worse one is found as often and as early as stated.",
    cells=(
        *(
            Cell(
                name=f"healthy: {name}",
                run=partial(healthy, name=name),
                at_most={"false rollback": 0.01},
                chunk=250,
                slice_runs=60,
            )
            for name in HEALTHY_MIXES
        ),
        *(
            Cell(
                name=f"worse: {name}",
                run=partial(worse, name=name),
                at_most={"missed": 0.02, "later": 0.5, "promoted": 0.01},
                chunk=250,
                slice_runs=60,
            )
            for name in WORSE_MIXES
        ),
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
