"""Campaigns of healthy releases: how often they are rolled back, in every noise family of one kind of guardrail.

Does not measure delay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.arena import Fight
from benchmarks.detection.families import HEALTHY_ERRORS, HEALTHY_LATENCY
from benchmarks.detection.judged import judged
from benchmarks.detection.levels import HEALTHY_COUNTS, HEALTHY_GAUGES, counts, gauges
from benchmarks.detection.streams import Situation, generate
from guardian.core.policy import Policy


def streamed(family: tuple[Situation, Policy], *, runs: int, seed: int) -> Fight:
    """Judge runs of a family with all of the product's rules."""
    situation, policy = family
    return judged(generate(situation, runs=runs, seed=seed), policy)


FAMILIES: Final[Mapping[str, tuple[Mapping[str, Any], Callable[..., Fight]]]] = {
    "errors": (HEALTHY_ERRORS, streamed),
    "latency": (HEALTHY_LATENCY, streamed),
    "gauges": (HEALTHY_GAUGES, gauges),
    "counts": (HEALTHY_COUNTS, counts),
}
"""Kind of guardrail -> its noise families, and what judges runs of one."""


def healthy(seed: int, runs: int, *, kind: str, name: str) -> Counts:
    """Counts of one family."""
    families, judge = FAMILIES[kind]
    outcome = judge(families[name], runs=runs, seed=seed)
    return Counts(
        runs=runs,
        events={"false rollback": outcome.rollbacks(), "promoted": outcome.promotions()},
        figures={"promoted at, s": tuple(outcome.promoted)},
    )


def campaign(kind: str, *, slice_runs: int, chunk: int = 500, on: str = "") -> Campaign:
    """The campaign of guardrails of one kind: at most 1 % of rollouts in each family. on: the kind in a sentence."""
    return Campaign(
        name=f"healthy_{kind}",
        claim=f"A healthy release is rolled back on {on or kind} in at most 1 % of rollouts, in every noise family.",
        cells=tuple(
            Cell(
                name=name,
                run=partial(healthy, kind=kind, name=name),
                at_most={"false rollback": 0.01},
                chunk=chunk,
                slice_runs=slice_runs,
            )
            for name in FAMILIES[kind][0]
        ),
        sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
    )
