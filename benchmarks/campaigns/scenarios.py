"""How often each shipped scenario comes out wrong, or late, when the guardian guards it.

Verdicts are compared with the ground truth as docs/scenarios/README.md defines. It does not compare with other gates:
`guardian simulate --all` does.
"""

from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.cells import Campaign, Cell, Counts
from simulator.bound import bound
from simulator.library import library, load
from simulator.outcome import IN_TIME, compare
from simulator.request.language import Grain
from simulator.together import run_together

SLICE: Final = {Grain.FLOW: 2, Grain.REQUEST: 1}
CHUNK: Final = {Grain.FLOW: 50, Grain.REQUEST: 5}
MEDIAN: Final = 0.5


def played(seed: int, runs: int, *, file: Path) -> Counts:
    """Play `runs` seeds of one scenario; a seed of the campaign gives seeds of its own to every run."""
    scenario = load(file)
    outcomes = [compare(scenario, one) for one in run_together(scenario, [seed * 1_000_003 + at for at in range(runs)])]
    return Counts(
        runs=runs,
        events={
            "wrong": sum(one.wrong for one in outcomes),
            "after its deadline, or wrong": sum(one.wrong or one.lateness > 1 for one in outcomes),
            "late or wrong": sum(not one.ok for one in outcomes),
        },
        figures={"of its deadline": tuple(one.lateness for one in outcomes)},
    )


def cell(file: Path) -> Cell:
    """Return the claims of one scenario: wrong within the risk, and in time where the bound on information allows."""
    scenario = load(file)
    least, deadline = bound(scenario), scenario.spec.truth.within
    claims = {"wrong": scenario.risk}
    if least is None or deadline is None or least <= deadline:
        claims["after its deadline, or wrong"] = MEDIAN
    if least is None or deadline is None or least <= 4 * deadline:
        claims["late or wrong"] = 1 - IN_TIME
    return Cell(
        name=f"{scenario.name} {scenario.metadata.title}",
        run=partial(played, file=file),
        at_most=claims,
        chunk=CHUNK[scenario.spec.grain],
        slice_runs=SLICE[scenario.spec.grain],
    )


CAMPAIGN: Final = Campaign(
    name="scenarios",
    claim="Every shipped scenario comes out right: wrong within its policy's risk, and in time.",
    cells=tuple(cell(file) for file in library().values()),
)
