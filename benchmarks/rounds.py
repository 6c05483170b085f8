"""How a speed is measured: ours and a reference in turn, in the same run, and what is told of it.

A figure alone says as much about the machine as about the code; its ratio to a bare reference, measured in the
same seconds, says something about the code. It does not say why a figure is what it is.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any

from benchmarks import environment


class Better(StrEnum):
    """Which way a figure is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Two ways to do the same work; each call measures once and returns the figure in the bench's unit.

    detail: asked after the last round for what else a reader wants to know; names say the unit.
    """

    ours: Callable[[], float]
    reference: Callable[[], float]
    detail: Callable[[], Mapping[str, float]] = dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One speed, beside a reference.

    reference: what the other side is: "bare aiokafka consumer", "numpy alone".
    prepare: opens what both need (a broker, arrays, a file) and closes it after the last round.
    rounds: each measures both once, in changing order; the first round is not counted, it warms up.
    """

    name: str
    unit: str
    better: Better
    reference: str
    prepare: Callable[[], AbstractContextManager[Measures]]
    rounds: int = 7

    def __post_init__(self) -> None:
        """Reject a bench whose median would be one run."""
        if self.rounds < 3:
            raise ValueError(f"bench {self.name!r}: {self.rounds} rounds; at least 3 are needed for a median")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What a bench found: medians over the rounds.

    value, reference_value: in `unit`. ratio: value / reference_value.
    lowest, highest: ratio within the extreme rounds, to see how much one may believe it.
    """

    name: str
    value: float
    unit: str
    better: Better
    reference: str
    reference_value: float
    ratio: float
    lowest: float
    highest: float
    rounds: int
    machine: environment.Machine
    detail: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return asdict(self)


def measure(bench: Bench, *, round_done: Callable[[], None] = lambda: None) -> Figure:
    """Run all rounds of a bench. Raises ValueError when a measure gives a figure that is not above 0."""
    pairs: list[tuple[float, float]] = []
    with bench.prepare() as measures:
        for number in range(bench.rounds + 1):
            pairs.append(_round(measures, reference_first=number % 2 == 1))
            round_done()
        detail = dict(measures.detail())
    counted = pairs[1:]
    if min(min(pair) for pair in counted) <= 0:
        raise ValueError(f"bench {bench.name!r}: a figure is not above 0 in {counted}")
    ratios = [ours / reference for ours, reference in counted]
    value, reference_value = median(ours for ours, _ in counted), median(other for _, other in counted)
    return Figure(
        name=bench.name,
        value=value,
        unit=bench.unit,
        better=bench.better,
        reference=bench.reference,
        reference_value=reference_value,
        ratio=value / reference_value,
        lowest=min(ratios),
        highest=max(ratios),
        rounds=bench.rounds,
        machine=environment.machine(),
        detail=detail,
    )


def _round(measures: Measures, *, reference_first: bool) -> tuple[float, float]:
    """Measure both once; returns ours, reference."""
    if reference_first:
        reference = measures.reference()
        return measures.ours(), reference
    ours = measures.ours()
    return ours, measures.reference()


def regressions(figures: Sequence[Figure], earlier: Mapping[str, float], *, tolerance: float) -> list[str]:
    """One sentence for each bench whose ratio is worse than before by more than `tolerance`, a share.

    earlier: bench -> ratio then. Ratios are compared, not values: the machine may be another one.
    A bench that is not in `earlier` has nothing to be compared with and does not count.
    """
    found = []
    for figure in figures:
        before = earlier.get(figure.name)
        if before is None:
            continue
        worse = figure.ratio / before if figure.better is Better.LOWER else before / figure.ratio
        if worse > 1 + tolerance:
            found.append(
                f"{figure.name}: {figure.ratio:.3g} x {figure.reference}, was {before:.3g} x;"
                f" {worse - 1:.0%} worse, {tolerance:.0%} is tolerated"
            )
    return found
