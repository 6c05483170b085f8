"""Where ticks are precise and pods differ: healthy releases that go back, and regressions that must not hide behind it.

At ten times the traffic of the other campaigns one tick says as much as pods differ: what is wrong with caps and
lasting differences shows here first (analysis/capping.py).
"""

from functools import partial
from typing import Any, Final

import numpy as np

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.families import ERRORS_ONLY, LATENCY_ONLY
from benchmarks.detection.judged import judged
from benchmarks.detection.streams import Situation, always, generate
from guardian.core.policy import Policy

SHAPES: Final = ((2, 6), (1, 9), (3, 3), (3, 9))


def _healthy() -> dict[str, tuple[Situation, Policy]]:
    found = {"errors, 20,000 rps, correlation 0.9": (Situation(rps=20_000.0, noise_sd=0.4, noise_rho=0.9), ERRORS_ONLY)}
    for canary, stable in SHAPES:
        shape: dict[str, Any] = {"canary_pods": canary, "stable_pods": stable}
        for sd in (0.1, 0.3):
            name = f"errors, 20,000 rps, pods differ {sd:.0%}, {canary} against {stable}"
            found[name] = (Situation(rps=20_000.0, pod_sd=sd, **shape), ERRORS_ONLY)
        for sd in (0.1, 0.2):
            name = f"latency, 2000 rps, pods differ {sd:.0%}, {canary} against {stable}"
            found[name] = (Situation(latency=True, rps=2000.0, latency_pod_sd=sd, **shape), LATENCY_ONLY)
    return found


HEALTHY: Final = _healthy()
SLOWER: Final = Situation(
    latency=True, rps=2000.0, latency_pod_sd=0.1, slower=always(1.5), canary_pods=3, stable_pods=9
)
FAILING: Final = Situation(rps=20_000.0, pod_sd=0.15, effect=always(2.0))
WORSE: Final = {  # and the share that may be missed
    "errors x2, 20,000 rps, pods differ 15 %, 2 against 6": (FAILING, ERRORS_ONLY, 0.1),
    "latency x1.5, 2000 rps, pods differ 10 %, 3 against 9": (SLOWER, LATENCY_ONLY, 0.05),
}


def measured(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one situation, healthy or not."""
    situation, policy = HEALTHY[name] if name in HEALTHY else WORSE[name][:2]
    outcome = judged(generate(situation, runs=runs, seed=seed), policy)
    found = outcome.rollbacks()
    return Counts(
        runs=runs,
        events={"rolled back": found, "missed": runs - found, "promoted": outcome.promotions()},
        figures={"rolled back at, s": tuple(float(np.minimum(at, 1e9)) for at in outcome.rolled_back)},
    )


def _cells() -> tuple[Cell, ...]:
    healthy = [
        Cell(name=f"healthy: {name}", run=partial(measured, name=name), at_most={"rolled back": 0.01}, slice_runs=10)
        for name in HEALTHY
    ]
    worse = [
        Cell(
            name=f"worse: {name}", run=partial(measured, name=name),
            at_most={"missed": missed, "promoted": 0.001}, chunk=250, slice_runs=10,
        )
        for name, (_, _, missed) in WORSE.items()
    ]  # fmt: skip
    return (*healthy, *worse)


CAMPAIGN: Final = Campaign(
    name="high_traffic",
    claim="At high traffic a healthy release whose pods differ is rolled back in at most 1 % of rollouts, and a clear "
    "regression is found.",
    cells=_cells(),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
