"""Did the guardrails get worse? The same seeds before and after, scenario by scenario and over all of them.

Four questions of each: more wrong verdicts, fewer right ones in time, later ones, more users hurt. What is proved worse
is named, and at most one comparison in twenty of versions that are equally good names anything. Runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.paired import Change, proved, share_change, total_change
from simulator.baseline import Measured, Scored

LEVEL: Final = 0.025
"""Chance that something is named for nothing: once for all scenarios together, once for single ones."""
FEWEST: Final = 5
"""Seeds of a scenario below which nothing is compared: an interval of fewer says nothing."""
WRONG, IN_TIME, DELAY, HURT = "wrong", "in time", "delay", "hurt"
QUESTIONS: Final = 4
"""Asked of each scenario."""
Pairs = Sequence[tuple[Scored, Scored]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One scenario, or all (""): what changed by question, and which of these are proved worse."""

    scenario: str
    changes: Mapping[str, Change]
    worse: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it. left_out: why a scenario of either side was not compared, a sentence each."""

    whole: Compared
    scenarios: tuple[Compared, ...]
    left_out: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether anything is proved worse."""
        return bool(self.whole.worse) or any(one.worse for one in self.scenarios)

    def worse_in(self, scenario: str) -> tuple[str, ...]:
        """Return what is proved worse in one scenario."""
        return next((one.worse for one in self.scenarios if one.scenario == scenario), ())


def compared(before: Sequence[Measured], after: Sequence[Measured], *, tolerance: float) -> Comparison | None:
    """Compare two runs of the benchmark; None when they have no scenario and seeds in common.

    tolerance: delays and hurt requests up to 1 + tolerance times those before are no regression. For wrong and late
    verdicts there is none but chance.
    """
    old = {one.name: one for one in before}
    pairs: dict[str, Pairs] = {}
    left_out = [f"{one.scenario} is not in this run" for one in before if one.name not in {new.name for new in after}]
    for one in after:
        earlier = old.get(one.name)
        found = _pairs(earlier, one) if earlier is not None else ()
        if earlier is None:
            left_out.append(f"{one.scenario} is not in the baseline")
        elif earlier.world != one.world:
            left_out.append(f"{one.scenario} has changed since the baseline was made")
        elif len(found) < FEWEST:
            left_out.append(f"{one.scenario} has {len(found)} seeds in common with the baseline; {FEWEST} are needed")
        else:
            pairs[one.scenario] = found
    if not pairs:
        return None
    changes = {name: _changes(found, tolerance) for name, found in pairs.items()}
    together = _changes([pair for found in pairs.values() for pair in found], tolerance)
    flat = [(name, what, change) for name, each in changes.items() for what, change in each.items()]
    bad = proved([change.p for _, _, change in flat], level=LEVEL)
    named = [(name, what) for (name, what, _), is_bad in zip(flat, bad, strict=True) if is_bad]
    return Comparison(
        whole=Compared(scenario="", changes=together, worse=_worse(together)),
        scenarios=tuple(
            Compared(scenario=name, changes=each, worse=tuple(what for what in each if (name, what) in named))
            for name, each in changes.items()
        ),
        left_out=tuple(left_out),
    )


def seeds_for_proof(scenarios: int) -> int:
    """Return how many seeds prove one of so many scenarios worse, at the least: where each of them became wrong.

    >>> seeds_for_proof(1), seeds_for_proof(68)
    (8, 14)
    """
    return math.ceil(math.log2(QUESTIONS * scenarios / LEVEL))


def _worse(changes: Mapping[str, Change]) -> tuple[str, ...]:
    bad = proved([change.p for change in changes.values()], level=LEVEL)
    return tuple(what for what, is_bad in zip(changes, bad, strict=True) if is_bad)


def _pairs(before: Measured, after: Measured) -> Pairs:
    """Return both runs of each seed that both have."""
    old = {run.seed: run for run in before.runs}
    return [(old[run.seed], run) for run in after.runs if run.seed in old]


def _changes(pairs: Pairs, tolerance: float) -> dict[str, Change]:
    came = [(old, new) for old, new in pairs if old.came and new.came]
    return {
        WRONG: share_change(*_flags(pairs, lambda run: run.wrong)),
        IN_TIME: share_change(*_flags(pairs, lambda run: not run.right)),
        DELAY: total_change(*_values(came, lambda run: run.lateness or 0.0), tolerance=tolerance),
        HURT: total_change(*_values(pairs, lambda run: run.bad_requests), tolerance=tolerance),
    }


def _flags(pairs: Pairs, bad: Callable[[Scored], bool]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array([[bad(old), bad(new)] for old, new in pairs], dtype=np.bool_)
    return both[:, 0], both[:, 1]


def _values(pairs: Pairs, value: Callable[[Scored], float]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array([[value(old), value(new)] for old, new in pairs], dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
