"""How often healthy releases are rolled back on counts without a denominator. Does not measure delay."""

from functools import partial

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.levels import HEALTHY_COUNTS, counts


def healthy(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one family."""
    outcome = counts(HEALTHY_COUNTS[name], runs=runs, seed=seed)
    return Counts(
        runs=runs,
        events={"false rollback": outcome.rollbacks(), "promoted": outcome.promotions()},
        figures={"promoted at, s": tuple(outcome.promoted)},
    )


CAMPAIGN = Campaign(
    name="healthy_counts",
    claim="A healthy release is rolled back on a count, too high or low, in at most 1 % of rollouts, in every family.",
    cells=tuple(
        Cell(name=name, run=partial(healthy, name=name), at_most={"false rollback": 0.01}, slice_runs=20)
        for name in HEALTHY_COUNTS
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
