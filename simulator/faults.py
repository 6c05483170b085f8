"""What goes wrong, one class a kind. A new fault is a class and a member of the union `Fault`.

Six families, by what they act on: the service (`bend`), the scrapes of it (`loses`, `falls`, `ahead`), how samples
reach the guardian (`simulator/delivery.py`), what it is told (`simulator/messages.py`), what it acts through
(`simulator/trouble.py`), and causes, which only the request grain has. Times are seconds after the traffic shift. A
fault `on: canary` follows the new revision: after a promotion all users have it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from guardian.config.fields import Name, Number
from simulator.conditions import Conditions
from simulator.delivery import Delivery, PrometheusDown
from simulator.messages import AlertStorm
from simulator.placed import On, Placed, Timed, Trouble
from simulator.topology import Flags, Slots
from simulator.traffic import Floats
from simulator.trouble import RouterTrouble
from simulator.units import FOREVER, Duration, Factor, Metric, Moment, Portion


class _Bending(Trouble):
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


class NoTraffic(Timed):
    """The weight is set, the router says so, and not one request reaches the canary."""

    kind: Literal["no_traffic"]
    on: Literal[On.CANARY] = On.CANARY

    def bend(self, conditions: Conditions) -> None:
        """Leave all traffic with stable."""
        conditions.share = np.where(self.runs(conditions.t), 0.0, conditions.share)


class MetricsGap(Trouble):
    """Scrapes fail: the service lives, its counters go on, nobody reads them."""

    kind: Literal["metrics_gap"]
    on: On = On.BOTH

    def loses(self, t: Floats, slots: Slots) -> Flags:
        """t: sample times, shape (..., pods), seconds after the shift. Returns which samples are missed."""
        return self.runs(t) & self.hits(slots)


class ClockSet(Timed):
    """The clock that scrapes are dated by is set: `by` so much, a minus is back, until it is put right again."""

    kind: Literal["clock_set"]
    by: Moment

    def ahead(self, t: Floats) -> Floats:
        """t: sample times, seconds after the shift. Returns by how much each is dated too late, same shape."""
        return np.where(self.runs(t), self.by, 0.0)


class CounterReset(Placed):
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


class Outage(Trouble):
    """A dependency fails `share` of the calls to it and takes `slow` times as long; on: for calls of these pods."""

    kind: Literal["outage"]
    on: On = On.BOTH
    of: Name
    share: Portion = 0.0
    slow: Factor = 1.0


class MemoryLeak(Trouble):
    """Every request leaves `share` of the pod's memory limit behind for good."""

    kind: Literal["memory_leak"]
    share: Portion


ServiceFault = (
    ErrorStep | AttemptStep | GaugeShift | LatencyShift | TailShare | WarmUp | SharedIncident | NoTraffic | CrashLoop
)
Cause = Outage | MemoryLeak
"""What only the request grain can do: harm follows from it."""
Fault = Annotated[
    ServiceFault
    | MetricsGap
    | PrometheusDown
    | Delivery
    | ClockSet
    | CounterReset
    | AlertStorm
    | RouterTrouble
    | Cause,
    Field(discriminator="kind"),
]
