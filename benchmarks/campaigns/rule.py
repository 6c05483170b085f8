"""How often the rule that judges campaigns (benchmarks/cells.py) is itself wrong, doubling included.

It says nothing about the product: it is the ruler, measured.
"""

from functools import cache, partial
from typing import Final

import numpy as np

from benchmarks.cells import FIRST_RUNS, Campaign, Cell, Counts, Standing, judge_claim, runs_after

ALLOWED: Final = 0.01


@cache
def stages() -> tuple[tuple[int, int, int], ...]:
    """Each stage of the rule: runs in all, largest count that is accepted, smallest that is rejected."""
    found = []
    runs: int | None = FIRST_RUNS
    while runs is not None:
        standings = [
            judge_claim("event", count=count, runs=runs, allowed=ALLOWED).standing
            for count in range(int(3 * ALLOWED * runs))
        ]
        last_accepted = standings.count(Standing.ACCEPTED) - 1
        found.append((runs, last_accepted, standings.index(Standing.REJECTED)))
        runs = runs_after(runs, Standing.UNDECIDED)
    return tuple(found)


def judged(seed: int, runs: int, *, share: float) -> Counts:
    """Judge `runs` cells whose event truly happens in `share` of their runs."""
    random = np.random.default_rng(seed)
    count = np.zeros(runs, dtype=np.int64)
    still_open = np.ones(runs, dtype=np.bool_)
    events = {"accepted": 0, "rejected": 0}
    before = 0
    for until, last_accepted, first_rejected in stages():
        count += random.binomial(until - before, share, size=runs)
        accepted, rejected = still_open & (count <= last_accepted), still_open & (count >= first_rejected)
        events["accepted"] += int(accepted.sum())
        events["rejected"] += int(rejected.sum())
        still_open &= ~accepted & ~rejected
        before = until
    return Counts(runs=runs, events=events)


CAMPAIGN: Final = Campaign(
    name="rule",
    claim="A cell well within its claim is practically never rejected, one well beyond it never accepted.",
    sources=("benchmarks/cells.py", "benchmarks/campaigns/rule.py"),
    cells=(
        Cell(name="half of what is allowed", run=partial(judged, share=0.005), at_most={"rejected": 0.001}),
        Cell(name="twice what is allowed", run=partial(judged, share=0.02), at_most={"accepted": 0.001}),
        # Five looks at one-sided 95 % limits: Bonferroni says 25 % at most.
        Cell(name="exactly what is allowed", run=partial(judged, share=0.01), at_most={"rejected": 0.25}),
    ),
)
