"""What a policy is judged by over many runs: six figures, all the smaller the better, and who beats whom in them.

Each figure is the mean over scenarios of the mean over their seeds, so that no scenario counts for more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guardian.core.model import Verdict
from simulator.scenario import LATE
from simulator.tuning.trial import Tried

Runs = Mapping[str, Sequence[Tried]]
"""Scenario -> its runs, in the order of seeds; tape -> its replay."""
Figures = tuple[float | None, ...]
"""A number for each of OBJECTIVES; None where no scenario asks for it."""
HOLD, PROMOTE, ROLLBACK = Verdict.HOLD, Verdict.PROMOTE, Verdict.ROLLBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One figure. asked: truths of the scenarios that tell it; of: its value in one run, never negative.

    verdict: whether it counts verdicts that are plainly wrong. taped: whether tapes tell it, too. relative: runs are
    taken in units of what the policy that came in does there. grain: a difference too small to mean anything.
    """

    name: str
    meaning: str
    asked: Collection[Verdict]
    of: Callable[[Tried], float]
    grain: float
    verdict: bool = False
    taped: bool = False
    relative: bool = False


def _missed(run: Tried) -> bool:
    return run.wrong or run.lateness is None or run.lateness > LATE


def _waited(run: Tried) -> float:
    """Return how late a run was in deadlines; what never came, or came wrong, is as late as can be."""
    return LATE if run.wrong or run.lateness is None else min(run.lateness, LATE)


OBJECTIVES: Final = (
    Objective(
        name="false rollbacks", meaning="share of runs wrong where nothing must go back", asked={HOLD, PROMOTE},
        of=lambda run: float(run.wrong), grain=0.02, verdict=True, taped=True,
    ),
    Objective(
        name="missed", meaning="share of runs promoted, or later than 4 deadlines, where the release must go back",
        asked={ROLLBACK}, of=lambda run: float(_missed(run)), grain=0.02, verdict=True, taped=True,
    ),
    Objective(
        name="delay", meaning="until rolled back, or held as it must be, in deadlines, 4 at most",
        asked={ROLLBACK, HOLD}, of=_waited, grain=0.02, taped=True,
    ),
    Objective(
        name="hurt", meaning="requests that failed or took over a second, 1 = under the policy that came in",
        asked={HOLD, PROMOTE, ROLLBACK}, of=lambda run: float(run.hurt), grain=0.02, relative=True,
    ),
    Objective(
        name="promotion", meaning="until a good release is promoted, in deadlines, 4 at most", asked={PROMOTE},
        of=_waited, grain=0.02,
    ),
    Objective(
        name="pages", meaning="calls of a person per run", asked={HOLD, PROMOTE, ROLLBACK},
        of=lambda run: float(run.pages), grain=0.02,
    ),
)  # fmt: skip


def values(objective: Objective, runs: Runs, base: Runs, truths: Mapping[str, Verdict]) -> list[list[float]]:
    """Return an objective's value in each run, a list a scenario or tape that asks for it.

    base: runs of the policy that came in; truths: scenario -> what must come out.
    """
    found = []
    for name, each in runs.items():
        if truths[name] in objective.asked and (objective.taped or not each[0].recorded):
            unit = _mean([objective.of(run) for run in base[name]]) if objective.relative else 1.0
            found.append([objective.of(run) / unit if unit > 0 else 1.0 + objective.of(run) for run in each])
    return found


def figures(runs: Runs, base: Runs, truths: Mapping[str, Verdict]) -> Figures:
    """Return the figures of a policy; arguments as of `values`."""
    each = [values(objective, runs, base, truths) for objective in OBJECTIVES]
    return tuple(_mean([_mean(one) for one in scenarios]) if scenarios else None for scenarios in each)


def beats(one: Figures, other: Figures) -> bool:
    """Whether one is nowhere worse than the other, and somewhere better (Pareto)."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(all_figures: Sequence[Figures]) -> list[int]:
    """Return which of them nobody beats; of equal ones the first.

    >>> front([(1.0, 2.0), (2.0, 1.0), (2.0, 2.0), (1.0, 2.0)])
    [0, 1]
    """
    return [
        number
        for number, one in enumerate(all_figures)
        if one not in all_figures[:number] and not any(beats(other, one) for other in all_figures)
    ]


def wrong_more(one: Figures, base: Figures) -> bool:
    """Whether one has more wrong verdicts of either kind than the base."""
    return any(
        a is not None and b is not None and a > b
        for a, b, objective in zip(one, base, OBJECTIVES, strict=True)
        if objective.verdict
    )


def score(one: Figures, base: Figures) -> float:
    """Return the geometric mean of the ratios to the base: below 1 is better. All objectives count alike.

    A grain is added to both sides, so that nothing is divided by 0 and a hair's breadth counts as one.
    """
    logs = [
        math.log((a + objective.grain) / (b + objective.grain))
        for a, b, objective in zip(one, base, OBJECTIVES, strict=True)
        if a is not None and b is not None
    ]
    return math.exp(_mean(logs)) if logs else 1.0


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)
