"""Two rollouts that overlap: the innocent one spared, the guilty one found, and nothing promoted for it.

`back` counts rollbacks of checkout, `promoted` its promotions, `payment` the runs in which payment did not go back.
"""

from functools import partial

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.overlapping import World, played_together
from guardian.core.model import Phase

LASTS = 2400.0
EDGE = 1.6
"""Beyond checkout's promote margin at its base rate (x1.5 and 0.05 points): 0.5 % may be 0.8 %."""


def overlapping(seed: int, runs: int, *, world: World, lasts: float, blamed: bool = True) -> Counts:
    """Counts of runs of one world."""
    back, promoted, stayed = 0, 0, 0
    delays: list[float] = []
    overlap = played_together(world, seeds=range(seed, seed + runs), lasts=lasts, blamed=blamed)
    for copy in range(runs):
        checkout, payment = overlap.rollout(f"checkout/{copy}"), overlap.rollout(f"payment/{copy}")
        if checkout is None or payment is None:
            raise AssertionError("a rollout did not start")
        went_back = checkout.phase is Phase.ROLLED_BACK
        back += went_back
        promoted += checkout.promoted_at is not None
        stayed += payment.phase is not Phase.ROLLED_BACK
        if went_back and checkout.ended_at is not None and payment.ended_at is not None:
            delays.append(checkout.ended_at - payment.ended_at)
    events = {"back": back, "kept": runs - back, "promoted": promoted, "payment": stayed}
    return Counts(runs=runs, events=events, figures={"after payment, s": tuple(delays)})


SUFFERS = {"back": 0.01, "payment": 0.01}
CELLS: dict[str, tuple[World, float, dict[str, float]]] = {
    "suffers, payment x10": (World(), LASTS, SUFFERS),
    "suffers, payment x3": (World(times=3.0), LASTS, {"back": 0.06, "payment": 0.01}),
    "suffers half of payment x10": (World(shared=0.5), LASTS, SUFFERS),
    "suffers ten times its own errors": (World(checkout=0.0005, times=3.0), LASTS, {"payment": 0.01}),
    "healthy beside a bad payment": (World(shared=0.0), LASTS, SUFFERS),
    "guilty as well, x10": (World(own=10.0, since=310.0), 900.0, {"kept": 0.01, "promoted": 0.001}),
    "guilty alone, x10": (World(times=1.0, own=10.0, since=310.0), 600.0, {"kept": 0.01, "promoted": 0.001}),
    "beyond the promote margin": (World(own=EDGE), LASTS, {"promoted": 0.05}),
}
CAMPAIGN = Campaign(
    name="attribution",
    claim="A rollout that suffers from its dependency's is not rolled back for it, a guilty one is, and neither is "
    "promoted for it.",
    cells=tuple(
        Cell(
            name=name,
            run=partial(overlapping, world=world, lasts=lasts),
            at_most=at_most,
            chunk=50,
            slice_runs=8,
        )
        for name, (world, lasts, at_most) in CELLS.items()
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/overlapping.py"),
)
