"""How often healthy releases are rolled back on errors, in every noise family. Does not measure delay."""

from functools import partial

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.families import HEALTHY_ERRORS
from benchmarks.detection.judged import judged
from benchmarks.detection.streams import generate


def healthy(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one family."""
    situation, policy = HEALTHY_ERRORS[name]
    outcome = judged(generate(situation, runs=runs, seed=seed), policy)
    return Counts(
        runs=runs,
        events={"false rollback": outcome.rollbacks(), "promoted": outcome.promotions()},
        figures={"promoted at, s": tuple(outcome.promoted)},
    )


CAMPAIGN = Campaign(
    name="healthy_errors",
    claim="A healthy release is rolled back on errors in at most 1 % of rollouts, in every noise family.",
    cells=tuple(
        Cell(name=name, run=partial(healthy, name=name), at_most={"false rollback": 0.01}, slice_runs=60)
        for name in HEALTHY_ERRORS
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
