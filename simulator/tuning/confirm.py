"""Is the recommended policy really better? Both again, on seeds that the search never saw, with intervals.

The best of many on the seeds that chose it looks better than it is; on fresh seeds it does not. Plays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from analysis.paired import Change, proved, share_change, total_change
from guardian.core.model import Verdict
from simulator.tuning.objectives import OBJECTIVES, Figures, Objective, Runs, figures, values

LEVEL: Final = 0.025
"""Chance that anything is called better, and again that anything is called worse, when nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One objective, from the policy that came in to the recommended one.

    change: of shares where the objective counts wrong verdicts, else a ratio of totals.
    """

    objective: Objective
    before: float
    after: float
    change: Change
    better: bool
    worse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What fresh seeds say. seeds: of each scenario."""

    seeds: tuple[int, ...]
    before: Figures
    after: Figures
    differences: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Whether something is proved better, no verdict is proved worse, and no more of them are wrong."""
        wrong = any(one.worse or one.after > one.before for one in self.differences if one.objective.verdict)
        return not wrong and any(one.better for one in self.differences)


def confirmed(before: Runs, after: Runs, truths: Mapping[str, Verdict], seeds: tuple[int, ...]) -> Confirmation:
    """Compare runs of the same fresh seeds under the policy that came in and the recommended one."""
    asked = [
        (objective, was, now, _pair(objective, before, after, truths))
        for objective, was, now in zip(
            OBJECTIVES, figures(before, before, truths), figures(after, before, truths), strict=True
        )
        if was is not None and now is not None
    ]
    worse = proved([change.p for *_, change in asked], level=LEVEL)
    better = proved([change.gain for *_, change in asked], level=LEVEL)
    return Confirmation(
        seeds=seeds,
        before=figures(before, before, truths),
        after=figures(after, before, truths),
        differences=tuple(
            Difference(objective=objective, before=was, after=now, change=change, better=is_better, worse=is_worse)
            for (objective, was, now, change), is_better, is_worse in zip(asked, better, worse, strict=True)
        ),
    )


def _pair(objective: Objective, before: Runs, after: Runs, truths: Mapping[str, Verdict]) -> Change:
    old, new = (np.array([*chain(*values(objective, each, before, truths))]) for each in (before, after))
    return share_change(old > 0, new > 0) if objective.verdict else total_change(old, new, tolerance=0.0)
