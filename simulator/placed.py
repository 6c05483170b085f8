"""When faults act, and on which pods: what kinds of them have in common. Times are seconds after the traffic shift."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self

import numpy as np
from pydantic import Field, model_validator

from guardian.config.fields import Name
from guardian.config.findings import complaint
from simulator.topology import Flags, Slots
from simulator.traffic import Floats
from simulator.units import FOREVER, Duration, Moment, Part

SHORTEST_TURN: Final = 5.0
"""Seconds: a round of scrapes is drawn in pieces, one between any two jumps of conditions."""


class On(StrEnum):
    """Which pods a fault is about, by their revision; young: those that began with the rollout, whatever they run."""

    CANARY = "canary"
    STABLE = "stable"
    BOTH = "both"
    YOUNG = "young"


class Timed(Part):
    """A fault that begins and may end; every: it begins anew so often, counted from `at`."""

    at: Annotated[Moment, Field(description="when it begins, after the traffic shift")] = 0.0
    lasts: Annotated[Duration, Field(description="left out: to the end of the run")] = FOREVER
    every: Annotated[
        Annotated[Duration, Field(ge=SHORTEST_TURN)] | None,
        Field(description="it begins anew so often, counted from `at`; left out: once"),
    ] = None

    @model_validator(mode="after")
    def _ends_before_it_begins_anew(self) -> Self:
        if self.every is not None and self.lasts >= self.every:
            what = "a fault that comes again must have ended before"
            raise complaint(what, "write a `lasts` shorter than `every`", at=("every",))
        return self

    def edges(self, until: float) -> list[float]:
        """Return the times at which conditions jump, those of turns up to `until`."""
        turns = 1 if self.every is None else 1 + max(0, int((until - self.at) // self.every))
        begins = [self.at + turn * (self.every or 0.0) for turn in range(turns)]
        return begins if self.lasts == FOREVER else [at + after for at in begins for after in (0.0, self.lasts)]

    def since(self, t: Floats) -> Floats:
        """Return seconds since it began last; negative before it first does. t: seconds after the shift, any shape."""
        gone = t - self.at
        return gone if self.every is None else np.where(gone < 0, gone, gone % self.every)

    def runs(self, t: Floats) -> Flags:
        """t: seconds after the shift, any shape. Returns when it acts, same shape."""
        gone = self.since(t)
        return (gone >= 0) & (gone < self.lasts)


class Placed(Part):
    """A fault of some pods; zone: of those there only. pods: of so many only: the machines' fault."""

    on: On = On.CANARY
    zone: Annotated[Name | None, Field(description="on pods of this zone only")] = None
    pods: Annotated[Annotated[int, Field(ge=1)] | None, Field(description="on so many pods only")] = None

    def hits(self, slots: Slots) -> Flags:
        """Return which slots the fault is about: the first `pods` of those it is on, or all."""
        fresh = slots.fresh
        hit = {On.CANARY: fresh, On.STABLE: ~fresh, On.BOTH: np.ones_like(fresh), On.YOUNG: slots.young}[self.on]
        if self.zone is not None:
            hit = hit & (slots.zones == self.zone)
        return hit if self.pods is None else hit & (np.cumsum(hit) <= self.pods)


class Trouble(Timed, Placed):
    """A fault of some pods that begins and may end."""
