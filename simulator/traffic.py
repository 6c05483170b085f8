"""How many users ask, and when: requests per second of a whole service at any moment of a run.

Arrivals themselves are Poisson given this rate; they are drawn in world.py. Does not know pods or tracks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from guardian.config.findings import complaint
from simulator.units import EVENTS, Duration, Factor, Part, Portion, Spread

Floats = npt.NDArray[np.float64]
MOST: Final = 1e7
"""Requests per second of one service: more than the busiest have."""


def _believable(rate: float) -> float:
    if rate > MOST:
        what = (
            f"{rate:g} requests/s are more than any service has: {EVENTS * rate:.0e} events a second in request grain"
        )
        raise complaint(what, f"write at most {MOST:.0e}; above some thousand, play it in flow grain")
    return rate


_PER_SECOND: Final = "requests per second"
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False, description=_PER_SECOND), AfterValidator(_believable)]


class Noise(Part):
    """A lasting wobble of a rate: log-normal with this standard deviation of its logarithm, mean 1.

    memory: correlation of one scrape with the next, 0..1; 0.9 makes bad minutes, 0 makes bad scrapes.
    """

    sd: Spread = 0.0
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def factors(self, chance: Generator, shape: tuple[int, int]) -> Floats:
        """Return factors of shape (rounds, columns), each column with mean 1; ones when sd is 0.

        Source: a stationary first-order autoregression of the logarithm.
        """
        if self.sd == 0:
            return np.ones(shape)
        steps = chance.standard_normal(shape)
        fresh = math.sqrt(1.0 - self.memory**2)
        for row in range(1, shape[0]):
            steps[row] = self.memory * steps[row - 1] + fresh * steps[row]
        return np.exp(self.sd * steps - self.sd**2 / 2)


class Steady(Part):
    """The same rate all the time."""

    kind: Literal["steady"]
    rate: Rate
    noise: Noise = Noise()

    def at(self, t: Floats) -> Floats:
        """t: seconds since the traffic shift, any shape. Returns requests/s, same shape."""
        return np.full_like(t, self.rate)


class Ramp(Part):
    """A straight climb or fall from `rate` to `to`, beginning at the traffic shift."""

    kind: Literal["ramp"]
    rate: Rate
    to: Rate
    over: Duration
    noise: Noise = Noise()

    def at(self, t: Floats) -> Floats:
        """t: seconds since the traffic shift, any shape. Returns requests/s, same shape."""
        return self.rate + (self.to - self.rate) * np.clip(t / self.over, 0.0, 1.0)


class OnOff(Part):
    """Bursts: `rate` while on, `quiet` of it while off, by turns; `phase`: how far the turn is at t = 0."""

    kind: Literal["on_off"]
    rate: Rate
    on: Duration
    off: Duration
    quiet: Portion = 0.0
    phase: Duration = 0.0
    noise: Noise = Noise()

    def at(self, t: Floats) -> Floats:
        """t: seconds since the traffic shift, any shape. Returns requests/s, same shape."""
        inside = np.mod(t + self.phase, self.on + self.off) < self.on
        return np.where(inside, self.rate, self.rate * self.quiet)


class Daily(Part):
    """A day and a night: `low` (at `low_at` after the traffic shift) and `high`, twelve hours apart."""

    kind: Literal["daily"]
    low: Rate
    high: Rate
    low_at: Duration = 0.0
    sharpness: Factor = 1.0
    noise: Noise = Noise()

    def at(self, t: Floats) -> Floats:
        """t: seconds since the traffic shift, any shape. Returns requests/s, same shape."""
        height = (1.0 - np.cos(2 * np.pi * (t - self.low_at) / 86_400.0)) / 2
        shaped: Floats = self.low + (self.high - self.low) * height**self.sharpness
        return shaped


MOST_ROWS: Final = 10_000
"""Rows of a recorded series: a week, minute by minute."""


def _recorded(series: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Refuse rows that are no rates in the order of time; rows are counted from 1, without the heading."""
    if not 2 <= len(series) <= MOST_ROWS:
        raise complaint(f"a series of {len(series)} rows", f"give 2 to {MOST_ROWS} rows; record it by the minute")
    for row, (time, rate) in enumerate(series, start=1):
        if not math.isfinite(time) or not 0.0 <= rate <= MOST:
            what = f"row {row}: {rate:g} requests/s at {time:g} s"
            raise complaint(what, f"write a time in seconds and a rate from 0 to {MOST:.0e}")
    for row, ((before, _), (time, _)) in enumerate(pairwise(series), start=2):
        if time <= before:
            what = f"row {row}: {time:g} s does not come after {before:g} s"
            raise complaint(what, "sort the rows by time, each time once")
    return series


_PAIR: Final = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
Series = Annotated[
    tuple[tuple[float, float], ...],
    AfterValidator(_recorded),
    WithJsonSchema(
        {
            "description": "a CSV file beside this one, with columns time_s and requests_per_s; or such pairs",
            "anyOf": [{"type": "string", "examples": ["monday.csv"]}, {"type": "array", "items": _PAIR}],
        }
    ),
]
"""Rows of (seconds, requests/s), rising in time; recorded.py reads them from a file."""


class Recorded(Part):
    """What was recorded, each rate until the next row; the last one as long as that before it, then all from the start.

    phase: how far into the series t = 0 is. factor: on every rate.
    """

    kind: Literal["recorded"]
    series: Series
    phase: Duration = 0.0
    factor: Factor = 1.0
    noise: Noise = Noise()

    @model_validator(mode="after")
    def _still_believable(self) -> Self:
        _believable(self.factor * float(self._columns[1].max()))
        return self

    @cached_property
    def _columns(self) -> tuple[Floats, Floats, float]:
        """Times from 0, rates, and how long all of it lasts."""
        times, rates = np.array(self.series).T
        return times - times[0], rates, float(2.0 * times[-1] - times[-2] - times[0])

    def at(self, t: Floats) -> Floats:
        """t: seconds since the traffic shift, any shape. Returns requests/s, same shape."""
        times, rates, length = self._columns
        row = np.searchsorted(times, np.mod(t + self.phase, length), side="right") - 1
        return np.asarray(self.factor * rates[row])


Traffic = Annotated[Steady | Ramp | OnOff | Daily | Recorded, Field(discriminator="kind")]
