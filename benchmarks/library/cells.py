"""One cell a scenario: what the guardian and each gate make of the same seeds. It judges nothing by itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.cells import Campaign, Cell, Counts
from simulator.gates import GATES
from simulator.gates.walk import run_gate
from simulator.library import library, load
from simulator.outcome import compare
from simulator.request.language import Grain
from simulator.together import TOGETHER, run_together

OURS: Final = "guardian"
RULES: Final = (OURS, *GATES)
CHUNK: Final = {Grain.FLOW: TOGETHER, Grain.REQUEST: 2}


def played(seed: int, runs: int, *, file: Path) -> Counts:
    """Play `runs` seeds of one scenario under every rule; events are named after rule and outcome."""
    scenario = load(file)
    events: dict[str, int] = {}
    figures: dict[str, tuple[float, ...]] = {}
    seeds = [seed * 1_000_003 + number for number in range(runs)]
    for rule in RULES:
        ended = (
            run_together(scenario, seeds) if rule == OURS else [run_gate(scenario, one, GATES[rule]) for one in seeds]
        )
        found = [compare(scenario, one) for one in ended]
        events |= {
            f"{rule}: right": sum(one.ok for one in found),
            f"{rule}: wrong": sum(one.wrong for one in found),
            f"{rule}: late": sum(one.late for one in found),
        }
        figures[f"{rule}: of its deadline"] = tuple(one.lateness for one in found)
        figures[f"{rule}: hurt"] = tuple(float(one.run.harm.bad) for one in found)
    return Counts(runs=runs, events=events, figures=figures)


def _cell(file: Path) -> Cell:
    scenario = load(file)
    return Cell(
        name=scenario.name,
        run=partial(played, file=file),
        at_most={f"{OURS}: wrong": scenario.risk},
        chunk=CHUNK[scenario.spec.grain],
        slice_runs=1,
    )


def campaign() -> Campaign:
    """The whole library."""
    return Campaign(
        name="library",
        claim="Every shipped scenario comes out right under the guardian; other rules on the same seeds beside it.",
        cells=tuple(_cell(file) for file in library().values()),
        sources=("analysis", "guardian/core", "simulator", "benchmarks/library"),
    )
