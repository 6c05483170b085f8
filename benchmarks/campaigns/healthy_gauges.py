"""How often healthy releases are rolled back on gauges, in every noise family. Does not measure delay."""

from functools import partial

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.levels import HEALTHY_GAUGES, gauges


def healthy(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one family."""
    outcome = gauges(HEALTHY_GAUGES[name], runs=runs, seed=seed)
    return Counts(
        runs=runs,
        events={"false rollback": outcome.rollbacks(), "promoted": outcome.promotions()},
        figures={"promoted at, s": tuple(outcome.promoted)},
    )


CAMPAIGN = Campaign(
    name="healthy_gauges",
    claim="A healthy release is rolled back on a gauge in at most 1 % of rollouts, in every noise family.",
    cells=tuple(
        Cell(name=name, run=partial(healthy, name=name), at_most={"false rollback": 0.01}, slice_runs=20)
        for name in HEALTHY_GAUGES
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
