"""Ours and other systems' decision rules on the same streams: `python -m benchmarks.detection` shows them side by side.

Only ours is held to its claims; what the others do is counted beside it.
"""

from functools import partial

from benchmarks.cells import Campaign, Cell
from benchmarks.detection.cases import CASES, Case, Kind
from benchmarks.detection.comparison import compared
from benchmarks.detection.rules import OURS


def cell(case: Case) -> Cell:
    """Healthy: rolled back in at most 1 %. Worse: promoted in at most what the case says."""
    healthy = case.kind is Kind.HEALTHY
    claims = {f"{OURS}: rolled back": 0.01} if healthy else {f"{OURS}: promoted": case.promoted}
    run = partial(compared, name=case.name)
    slow = case.situation.latency
    return Cell(name=case.name, run=run, at_most=claims, chunk=125 if slow else 250, slice_runs=1)


CAMPAIGN = Campaign(
    name="detection",
    claim="On streams that other systems' rules are given too, ours rolls back at most 1 % of healthy releases.",
    cells=tuple(cell(case) for case in CASES.values()),
    sources=(
        "analysis", "guardian/core", "benchmarks/campaigns/detection.py", "benchmarks/detection/rules",
        *(f"benchmarks/detection/{name}.py" for name in (
            "bounds", "cases", "comparison", "families", "judged", "streams", "tracks",
        )),
    ),
)  # fmt: skip
