"""Evidence over time as lines of text: a logarithmic axis, both thresholds, and what happened when.

Letters tell the series apart, so it reads without colors. It prints nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from guardian.core.course import TOGETHER, Against, Course, EvidenceSeries
from guardian.core.sentences import duration

LEAST: Final = 1e-3
MOST: Final = 1e6
"""Evidence beyond these is drawn at the edge: it decides nothing more there."""
_GUTTER: Final = 8
_HEIGHT: Final = 17
_NARROWEST: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From seconds and evidence to columns and rows; row 0 is the top."""

    last: float
    low: float
    high: float
    columns: int
    rows: int

    def column(self, at: float) -> int:
        """Return the column of a time."""
        part = at / self.last if self.last > 0 else 0.0
        return min(max(round(part * (self.columns - 1)), 0), self.columns - 1)

    def row(self, evidence: float) -> int:
        """Return the row of an evidence value; what is off the axis is drawn at its edge."""
        span = math.log10(self.high / self.low)
        part = math.log10(min(max(evidence, self.low), self.high) / self.low) / span
        return self.rows - 1 - round(part * (self.rows - 1))


def limits(course: Course) -> tuple[float, float, float]:
    """Return the end of the time axis in seconds, and the ends of the evidence axis: whole powers of ten."""
    times = [one.at for series in course.series for one in series.readings] + [mark.at for mark in course.marks]
    values = [one.evidence for series in course.series for one in series.readings]
    low = max(LEAST, min([0.1, *values]))
    high = min(MOST, max([course.rollback, course.promotion, *values]))
    high = max(high, course.rollback, course.promotion)  # a threshold is always on the picture
    return (
        max([1.0, *times]),
        10.0 ** math.floor(math.log10(low) + 1e-9),
        10.0 ** math.ceil(math.log10(high * 1.5) - 1e-9),
    )


def drawn(course: Course) -> tuple[EvidenceSeries, ...]:
    """Return the series worth drawing: a single guardrail's rollback evidence is that of all together."""
    names = {series.guardrail for series in course.series if series.guardrail != TOGETHER}
    alone = len(names) <= 1
    return tuple(
        series for series in course.series
        if not (alone and series.against is Against.CANARY and series.guardrail != TOGETHER)
    )  # fmt: skip


def label(series: EvidenceSeries) -> str:
    """Say what a series is."""
    if series.against is Against.HARM:
        return f"for promotion, '{series.guardrail}'"
    return "for rollback, " + (f"'{series.guardrail}'" if series.guardrail else "all guardrails together")


def letters(course: Course) -> dict[tuple[str, Against], str]:
    """Return the letter of each series: # for all together, A for promotion and a for rollback by a guardrail."""
    names = sorted({series.guardrail for series in course.series} - {TOGETHER})
    found = {(TOGETHER, Against.CANARY): "#"}
    for number, name in enumerate(names):
        letter = chr(ord("A") + number % 26)
        found[name, Against.HARM], found[name, Against.CANARY] = letter, letter.lower()
    return found


def chart(course: Course, *, width: int) -> list[str]:
    """Return the lines of a chart that is at most `width` characters wide, and at least 40."""
    last, low, high = limits(course)
    scale = Scale(last=last, low=low, high=high, columns=max(width, _NARROWEST) - _GUTTER - 2, rows=_HEIGHT)
    field = [[" "] * scale.columns for _ in range(scale.rows)]
    _thresholds(field, course, scale)
    _weights(field, course, scale)
    for series in reversed(drawn(course)):  # the first ones are on top
        letter = letters(course)[series.guardrail, series.against]
        for one in series.readings:
            field[scale.row(one.evidence)][scale.column(one.at)] = letter
    return [*_framed(field, course, scale), *_legend(course)]


def _thresholds(field: list[list[str]], course: Course, scale: Scale) -> None:
    for value, dash in ((course.rollback, "="), (course.promotion, "-")):
        field[scale.row(value)][:] = dash * scale.columns


def _weights(field: list[list[str]], course: Course, scale: Scale) -> None:
    for mark in course.marks:
        column = scale.column(mark.at)
        for row in field:
            if row[column] == " ":
                row[column] = ":"


def _framed(field: Sequence[Sequence[str]], course: Course, scale: Scale) -> Iterator[str]:
    named = {scale.row(10.0**power): f"{10.0**power:g}" for power in _powers(scale)}
    named |= {scale.row(value): f"{value:.4g}" for value in (course.promotion, course.rollback)}
    for number, row in enumerate(field):
        yield f"{named.get(number, ''):>{_GUTTER}} |{''.join(row).rstrip()}".rstrip()
    yield f"{'':>{_GUTTER}} +{'-' * scale.columns}"
    end = duration(scale.last)
    yield f"{'':>{_GUTTER}}  0s{end:>{scale.columns - 2}}"


def _powers(scale: Scale) -> range:
    return range(round(math.log10(scale.low)), round(math.log10(scale.high)) + 1)


def _legend(course: Course) -> Iterator[str]:
    yield f"evidence (logarithmic) of {course.rollout}, by time since {course.zero}"
    for series in drawn(course):
        yield f"  {letters(course)[series.guardrail, series.against]}  {label(series)}"
    yield f"  =  rollback at {course.rollback:.4g}"
    yield f"  -  promotion at {course.promotion:.4g}"
    for mark in course.marks:
        yield f"  :  {duration(mark.at)} {mark.text}"
    yield f"resolution: {course.resolution}"
    if not course.series:
        yield "no evidence was kept"
