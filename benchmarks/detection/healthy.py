"""Campaigns of healthy releases: how often they are rolled back, in every noise family of one kind of guardrail.

Does not measure delay.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.families import HEALTHY_ERRORS, HEALTHY_LATENCY
from benchmarks.detection.judged import judged
from benchmarks.detection.streams import generate

FAMILIES: Final = {"errors": HEALTHY_ERRORS, "latency": HEALTHY_LATENCY}
"""Kind of guardrail -> its noise families."""


def healthy(seed: int, runs: int, *, kind: str, name: str) -> Counts:
    """Counts of one family."""
    situation, policy = FAMILIES[kind][name]
    outcome = judged(generate(situation, runs=runs, seed=seed), policy)
    return Counts(
        runs=runs,
        events={"false rollback": outcome.rollbacks(), "promoted": outcome.promotions()},
        figures={"promoted at, s": tuple(outcome.promoted)},
    )


def campaign(kind: str, *, slice_runs: int, chunk: int = 500) -> Campaign:
    """The campaign of guardrails of one kind: at most 1 % of rollouts in each family."""
    return Campaign(
        name=f"healthy_{kind}",
        claim=f"A healthy release is rolled back on {kind} in at most 1 % of rollouts, in every noise family.",
        cells=tuple(
            Cell(
                name=name,
                run=partial(healthy, kind=kind, name=name),
                at_most={"false rollback": 0.01},
                chunk=chunk,
                slice_runs=slice_runs,
            )
            for name in FAMILIES[kind]
        ),
        sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
    )
