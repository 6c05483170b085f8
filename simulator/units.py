"""Quantities of a scenario file as types: durations, moments, shares, factors."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from guardian.config.fields import Duration, Section, ShareField
from guardian.config.findings import quantity
from guardian.config.units import parse_duration

__all__ = ["EVENTS", "FOREVER", "Duration", "Factor", "Metric", "Moment", "Part", "Portion", "Spread"]


def _parse_moment(value: object) -> float:
    """Return seconds; a leading minus is a time before the traffic shift."""
    if isinstance(value, str) and value.strip().startswith("-"):
        return -parse_duration(value.strip()[1:])
    return parse_duration(value)


Portion = ShareField
"""A share 0..1, written `0.5%`."""
Moment = Annotated[
    float,
    BeforeValidator(quantity(_parse_moment)),
    WithJsonSchema({"type": "string", "examples": ["8m", "-2m"]}),
]
"""Seconds after the traffic shift, written `8m`."""
Metric = Annotated[str, Field(pattern=r"^[A-Za-z_:][A-Za-z0-9_:]*$", max_length=200)]
"""Name of a metric, as Prometheus allows it."""
Factor = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
"""Standard deviation of a natural logarithm."""

FOREVER: Final = float("inf")
EVENTS: Final = 4
"""SimPy events of a request that meets nothing: it arrives, begins, has been worked on, ends."""


class Part(Section):
    """Base of everything a scenario file is made of: frozen, unknown keys are errors."""
