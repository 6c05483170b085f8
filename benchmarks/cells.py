"""What a campaign is made of, and when a cell of it passes.

A campaign answers "how often does this happen" for many situations (cells) by simulation. This file says
what a cell is and judges its counts; benchmarks/campaign.py runs cells, benchmarks/campaigns/ holds them.

The rule (one-sided Clopper-Pearson limits at 95 %, per claim):

    upper limit <= what is allowed   accepted
    lower limit >  what is allowed   rejected
    else                             twice the runs, from 2,000 to 32,000; then it stays undecided

A cell is accepted when each of its claims is, and rejected as soon as one is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from scipy.stats import beta

FIRST_RUNS: Final = 2_000
LAST_RUNS: Final = 32_000
CONFIDENCE: Final = 0.95


class Standing(StrEnum):
    """What the counts say so far about one claim, or about a whole cell."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came out of some runs of one cell; counts of different chunks add up.

    runs: how many runs these are.
    events: name -> in how many of the runs it happened. A name that a claim asks for must be there.
    figures: name -> one number per run where it has one (a delay in seconds, `inf` for a miss), in any order.
    """

    runs: int
    events: Mapping[str, int]
    figures: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject counts that cannot be."""
        for name, count in self.events.items():
            if not 0 <= count <= self.runs:
                raise ValueError(f"event {name!r}: {count} of {self.runs} runs; allowed is 0..{self.runs}")

    def __add__(self, other: Self) -> "Counts":
        """Counts of both together."""
        names = self.events.keys() | other.events.keys()
        shown = self.figures.keys() | other.figures.keys()
        return Counts(
            runs=self.runs + other.runs,
            events={name: self.events.get(name, 0) + other.events.get(name, 0) for name in sorted(names)},
            figures={name: self.figures.get(name, ()) + other.figures.get(name, ()) for name in sorted(shown)},
        )


Run = Callable[[int, int], Counts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One situation, run many times.

    name: unique within the campaign; together with the seed it decides the random numbers of the cell.
    run: `run(seed, runs)`, a function of a module or functools.partial of one (it goes to other processes);
        the same arguments give the same counts, whatever ran before and wherever.
    at_most: claims: event -> share of runs it may happen in, in (0, 1). "Power of 99 %" is written as misses
        at most 0.01, "median delay within 230 s" as later than 230 s at most 0.5.
    chunk: runs asked for in one call: large enough for arrays to pay, small enough for memory and progress.
    slice_runs: runs of the fixed slice that `make test` holds; keep a slice under some seconds.
    """

    name: str
    run: Run
    at_most: Mapping[str, float]
    chunk: int = 500
    slice_runs: int = 200

    def __post_init__(self) -> None:
        """Reject a cell that could never be judged."""
        if not self.at_most or not all(0 < share < 1 for share in self.at_most.values()):
            raise ValueError(f"cell {self.name!r}: needs shares in (0, 1), got {dict(self.at_most)}")
        if self.chunk < 1 or self.slice_runs < 1:
            raise ValueError(f"cell {self.name!r}: chunk and slice_runs must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A question to simulation, with all the cells that answer it.

    claim: one sentence: what is shown when every cell is accepted.
    sources: folders and files whose content the counts depend on; a change there starts the campaign afresh.
    """

    name: str
    claim: str
    cells: tuple[Cell, ...]
    sources: tuple[str, ...] = ("analysis", "guardian/core", "simulator", "benchmarks/campaigns")

    def __post_init__(self) -> None:
        """Reject two cells of one name: they would share their random numbers and their state."""
        names = [cell.name for cell in self.cells]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"campaign {self.name!r}: needs cells with names of their own, got {names}")

    def cell(self, name: str) -> Cell:
        """The cell of that name. Raises LookupError that lists the names there are."""
        by_name = {cell.name: cell for cell in self.cells}
        if name not in by_name:
            raise LookupError(f"campaign {self.name!r} has no cell {name!r}; there are: {', '.join(by_name)}")
        return by_name[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedClaim:
    """One claim of a cell, judged: share in [lower, upper], each limit right with 95 % confidence."""

    event: str
    count: int
    runs: int
    allowed: float
    lower: float
    upper: float
    standing: Standing


def limits(count: int, runs: int) -> tuple[float, float]:
    """Lower and upper limit of a share, each one-sided at 95 %.

    count: how often it happened, 0..runs. runs: at least 1.
    Raises ValueError outside that.  Source: Clopper and Pearson 1934, as quantiles of beta distributions.
    """
    if runs < 1 or not 0 <= count <= runs:
        raise ValueError(f"{count} of {runs} is not a share")
    lower = 0.0 if count == 0 else float(beta.ppf(1 - CONFIDENCE, count, runs - count + 1))
    upper = 1.0 if count == runs else float(beta.ppf(CONFIDENCE, count + 1, runs - count))
    return lower, upper


def judge_claim(event: str, *, count: int, runs: int, allowed: float) -> JudgedClaim:
    """Judge one claim by the rule at the head of this file."""
    lower, upper = limits(count, runs)
    standing = Standing.UNDECIDED
    if upper <= allowed:
        standing = Standing.ACCEPTED
    elif lower > allowed:
        standing = Standing.REJECTED
    return JudgedClaim(
        event=event, count=count, runs=runs, allowed=allowed, lower=lower, upper=upper, standing=standing
    )


def judge(cell: Cell, counts: Counts) -> tuple[JudgedClaim, ...]:
    """Judge every claim of a cell. Raises KeyError where a claim's event was not counted."""
    return tuple(
        judge_claim(event, count=counts.events[event], runs=counts.runs, allowed=allowed)
        for event, allowed in cell.at_most.items()
    )


def overall(claims: tuple[JudgedClaim, ...]) -> Standing:
    """The cell's standing: rejected when one claim is, accepted when all are."""
    standings = {claim.standing for claim in claims}
    if Standing.REJECTED in standings:
        return Standing.REJECTED
    return Standing.ACCEPTED if standings == {Standing.ACCEPTED} else Standing.UNDECIDED


def runs_after(runs: int, standing: Standing) -> int | None:
    """How many runs in all a cell needs next; None when it has had enough. Nothing yet: the first 2,000."""
    if runs == 0:
        return FIRST_RUNS
    if standing is not Standing.UNDECIDED or runs >= LAST_RUNS:
        return None
    return min(2 * runs, LAST_RUNS)
