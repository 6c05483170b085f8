"""What goes wrong, one class a kind. A new fault is a class and a member of the union `Fault`.

Five families, by what they act on: the service (`bend`), the scrapes of it (`loses`, `falls`, `ahead`), what the
guardian is told (`simulator/messages.py`), what it acts through (`simulator/trouble.py`), and causes, which only the
request grain has. Times are seconds after the traffic shift. A fault `on: canary` follows the new revision: after a
promotion all users have it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from guardian.config.fields import Name, Number
from guardian.config.findings import complaint
from simulator.conditions import Conditions
from simulator.messages import AlertStorm
from simulator.topology import Flags, Slots
from simulator.traffic import Floats
from simulator.trouble import RouterTrouble
from simulator.units import FOREVER, Duration, Factor, Metric, Moment, Part, Portion

SHORTEST_TURN: Final = 5.0
"""Seconds: a round of scrapes is drawn in pieces, one between any two jumps of conditions."""


class On(StrEnum):
    """Which pods a fault is about, by their revision; young: those that began with the rollout, whatever they run."""

    CANARY = "canary"
    STABLE = "stable"
    BOTH = "both"
    YOUNG = "young"


class _Timed(Part):
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


class _Placed(Part):
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


class _Trouble(_Timed, _Placed):
    """A fault of some pods that begins and may end."""


class _Bending(_Trouble):
    """A fault that changes conditions; above: only while the router gives the canary that share of traffic, or more."""

    above: Annotated[
        Portion, Field(description="only while the router gives the canary that share of traffic, or more")
    ] = 0.0

    def touches(self, conditions: Conditions) -> Flags:
        """Return which entries of the conditions it acts on, shape of `conditions.t`."""
        return self.runs(conditions.t) & self.hits(conditions.slots) & (conditions.share >= self.above)


class _Worsening(_Bending):
    """A fault by which more goes wrong: to `share` of what there is, or by `factor`."""

    share: Portion | None = None
    factor: Factor | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.share is None) == (self.factor is None):
            raise ValueError("say either `share` or `factor`")
        return self

    def worsened(self, chance: Floats, conditions: Conditions) -> Floats:
        """Return the chance that something goes wrong while this acts; both of the conditions' shape."""
        worse = chance * (self.factor or 0.0) + (self.share or 0.0)  # one of the two is None
        return np.where(self.touches(conditions), worse, chance)


class ErrorStep(_Worsening):
    """Failures jump, to `share` of requests or by `factor`."""

    kind: Literal["error_step"]

    def bend(self, conditions: Conditions) -> None:
        """Change the chance to fail where it runs."""
        conditions.errors = self.worsened(conditions.errors, conditions)


class AttemptStep(_Worsening):
    """What users attempt goes wrong under HTTP 200, in `share` of attempts or by `factor`; of: their metric."""

    kind: Literal["attempt_step"]
    of: Metric

    def bend(self, conditions: Conditions) -> None:
        """Change the chance that such an attempt goes wrong where it runs."""
        conditions.wrong[self.of] = self.worsened(conditions.wrong[self.of], conditions)


class GaugeShift(_Bending):
    """A gauge shows `factor` times as much, and grows by `per_minute` from then on; of: its metric."""

    kind: Literal["gauge_shift"]
    of: Metric
    factor: Factor = 1.0
    per_minute: Number = 0.0

    def bend(self, conditions: Conditions) -> None:
        """Change the level where it runs."""
        level = conditions.levels[self.of]
        grown = level * self.factor + self.per_minute * np.maximum(self.since(conditions.t), 0.0) / 60.0
        conditions.levels[self.of] = np.where(self.touches(conditions), grown, level)


class LatencyShift(_Bending):
    """Every request takes `factor` times as long; `ramp`: the time in which it gets there."""

    kind: Literal["latency_shift"]
    factor: Factor
    ramp: Duration = 0.0

    def bend(self, conditions: Conditions) -> None:
        """Change the latencies where it runs."""
        grown = np.clip(self.since(conditions.t) / self.ramp, 0, 1) if self.ramp else 1.0
        factor = self.factor**grown
        conditions.slow = np.where(self.touches(conditions), conditions.slow * factor, conditions.slow)


class TailShare(_Bending):
    """`share` of all requests fall into the slow tail; median and p95 may stay where they are."""

    kind: Literal["tail_share"]
    share: Portion

    def bend(self, conditions: Conditions) -> None:
        """Change the tail where it runs."""
        conditions.tail = np.where(self.touches(conditions), self.share, conditions.tail)


class WarmUp(_Bending):
    """Cold caches, compilers: latencies begin `factor` times as long and decay with `tau`."""

    kind: Literal["warm_up"]
    factor: Factor
    tau: Duration
    errors: Factor = 1.0

    def bend(self, conditions: Conditions) -> None:
        """Slow the pods down, less and less."""
        touched = self.touches(conditions)
        left = np.exp(-np.maximum(self.since(conditions.t), 0.0) / self.tau)
        conditions.slow = np.where(touched, conditions.slow * (1 + (self.factor - 1) * left), conditions.slow)
        conditions.errors = np.where(touched, conditions.errors * (1 + (self.errors - 1) * left), conditions.errors)


class SharedIncident(_Bending):
    """Something both tracks depend on breaks: the same harm on both, so it is not the canary's fault."""

    kind: Literal["shared_incident"]
    on: Literal[On.BOTH] = On.BOTH
    share: Portion
    slow: Factor = 1.0

    def bend(self, conditions: Conditions) -> None:
        """Raise failures and latencies of all pods; what a pod had on its own stays on top."""
        touched = self.touches(conditions)
        both = 1 - (1 - conditions.errors) * (1 - self.share)
        conditions.errors = np.where(touched, both, conditions.errors)
        conditions.slow = np.where(touched, conditions.slow * self.slow, conditions.slow)


class NoTraffic(_Timed):
    """The weight is set, the router says so, and not one request reaches the canary."""

    kind: Literal["no_traffic"]
    on: Literal[On.CANARY] = On.CANARY

    def bend(self, conditions: Conditions) -> None:
        """Leave all traffic with stable."""
        conditions.share = np.where(self.runs(conditions.t), 0.0, conditions.share)


class MetricsGap(_Trouble):
    """Scrapes fail: the service lives, its counters go on, nobody reads them."""

    kind: Literal["metrics_gap"]
    on: On = On.BOTH

    def loses(self, t: Floats, slots: Slots) -> Flags:
        """t: sample times, shape (..., pods), seconds after the shift. Returns which samples are missed."""
        return self.runs(t) & self.hits(slots)


class ClockSet(_Timed):
    """The clock that scrapes are dated by is set: `by` so much, a minus is back, until it is put right again."""

    kind: Literal["clock_set"]
    by: Moment

    def ahead(self, t: Floats) -> Floats:
        """t: sample times, seconds after the shift. Returns by how much each is dated too late, same shape."""
        return np.where(self.runs(t), self.by, 0.0)


class CounterReset(_Placed):
    """Processes restart in place: their counters begin at 0 again, what was not scraped yet is lost."""

    kind: Literal["counter_reset"]
    at: Moment
    on: On = On.BOTH

    def falls(self, horizon: float) -> tuple[float, ...]:
        """Return when counters fall, up to a time."""
        return (self.at,) if self.at <= horizon else ()


class CrashLoop(_Bending):
    """Processes die again and again and are never ready: each is gone for `down` once a `period`, its counters with it.

    Nobody serves what a router sends to a track of which no pod is ready, and nobody counts it.
    """

    kind: Literal["crash_loop"]
    period: Annotated[Duration, Field(gt=0)] = 100.0
    down: Duration = 10.0

    def bend(self, conditions: Conditions) -> None:
        """Have no pod ready where it runs."""
        conditions.ready = conditions.ready & ~self.touches(conditions)

    def loses(self, t: Floats, slots: Slots) -> Flags:
        """t: sample times, shape (..., pods), seconds after the shift. Returns which samples are missed."""
        return self.runs(t) & self.hits(slots) & (self.since(t) % self.period < self.down)

    def falls(self, horizon: float) -> tuple[float, ...]:
        """Return when processes die, up to a time."""
        begins = self.edges(horizon)[:: 1 if self.lasts == FOREVER else 2]
        ends = (min(begin + self.lasts, np.nextafter(horizon, FOREVER)) for begin in begins)
        return tuple(at for begin, end in zip(begins, ends, strict=True) for at in np.arange(begin, end, self.period))


class Outage(_Trouble):
    """A dependency fails `share` of the calls to it and takes `slow` times as long; on: for calls of these pods."""

    kind: Literal["outage"]
    on: On = On.BOTH
    of: Name
    share: Portion = 0.0
    slow: Factor = 1.0


class MemoryLeak(_Trouble):
    """Every request leaves `share` of the pod's memory limit behind for good."""

    kind: Literal["memory_leak"]
    share: Portion


ServiceFault = (
    ErrorStep | AttemptStep | GaugeShift | LatencyShift | TailShare | WarmUp | SharedIncident | NoTraffic | CrashLoop
)
Cause = Outage | MemoryLeak
"""What only the request grain can do: harm follows from it."""
Fault = Annotated[
    ServiceFault | MetricsGap | ClockSet | CounterReset | AlertStorm | RouterTrouble | Cause,
    Field(discriminator="kind"),
]
