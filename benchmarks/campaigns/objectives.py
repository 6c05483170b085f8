"""How often a healthy canary, at half the critical threshold, breaches its objective within 20 minutes."""

from functools import partial

import numpy as np
from numpy.random import default_rng

from benchmarks.cells import Campaign, Cell, Counts
from guardian.core.model import Seconds
from guardian.core.objectives import Objectives
from guardian.core.policy import Level, Slo

TICKS = 120
SECONDS = 10.0
OBJECTIVE = Slo(
    target=0.999,
    breached="below",
    warning=Level(bound=0.999, lasts=Seconds(120.0)),
    critical=Level(bound=0.998, lasts=Seconds(60.0)),
)


def healthy(seed: int, runs: int, *, rps: float) -> Counts:
    """Canary requests at 10 % of the traffic, failing at half the share the critical level allows."""
    random = default_rng(seed)
    state = Objectives()
    rows = np.array([state.add(OBJECTIVE) for _ in range(runs)])
    critical = np.zeros(runs, dtype=bool)
    for tick in range(TICKS):
        asked = random.poisson(0.1 * rps * SECONDS, runs).astype(float)
        failed = random.binomial(asked.astype(int), 0.001).astype(float)
        counts = np.zeros((runs, 2, 3))
        counts[:, 0] = np.stack((asked, failed, failed), axis=1)
        state.take(rows, time=np.full(runs, SECONDS * (tick + 1)), counts=counts, live=np.ones(runs))
        critical |= state.rows["state"][rows, 0, 1] == 2.0
    return Counts(runs=runs, events={"critical": int(critical.sum())})


CAMPAIGN = Campaign(
    name="objectives",
    claim="A canary at half the critical threshold breaches it in at most 0.1 % of rollouts, at any traffic.",
    cells=tuple(
        Cell(
            name=f"{rps:g} rps",
            run=partial(healthy, rps=rps),
            at_most={"critical": 0.001},
            chunk=2000,
            slice_runs=500,
        )
        for rps in (0.4, 2.0, 10.0, 20.0, 50.0, 200.0)
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns"),
)
