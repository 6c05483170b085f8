"""What goes wrong, one class a kind, and the table of them. A new fault is a class and a line in FAULTS.

Five families, by what they act on: the service (`bend`), the scrapes of it (`loses`, `resets`, `ahead`), what the
guardian is told (`simulator/messages.py`), what it acts through (`simulator/trouble.py`), and causes, which only the
request grain has. Times are seconds after the traffic shift. A fault `on: canary` follows the new revision: after a
promotion all users have it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from guardian.config.fields import Name
from guardian.config.findings import complaint, hint
from simulator.conditions import Conditions
from simulator.messages import AlertStorm
from simulator.topology import Flags, Slots
from simulator.traffic import Floats
from simulator.trouble import RouterDown, RouterSlow, RouterTrouble, WeightReset
from simulator.units import FOREVER, Duration, Factor, Moment, Part, Portion


class On(StrEnum):
    """Which pods a fault is about, by their revision; young: those that began with the rollout, whatever they run."""

    CANARY = "canary"
    STABLE = "stable"
    BOTH = "both"
    YOUNG = "young"


class _Timed(Part):
    """A fault that begins and may end."""

    at: Moment = 0.0
    lasts: Duration = FOREVER

    def edges(self) -> tuple[float, ...]:
        """Return the times at which conditions jump."""
        return (self.at,) if self.lasts == FOREVER else (self.at, self.at + self.lasts)

    def runs(self, t: Floats) -> Flags:
        """t: seconds after the shift, any shape. Returns when it acts, same shape."""
        return (t >= self.at) & (t < self.at + self.lasts)


class _Placed(Part):
    """A fault of some pods; zone: of those there only."""

    on: On = On.CANARY
    zone: Name | None = None

    def hits(self, slots: Slots) -> Flags:
        """Return which slots the fault is about."""
        fresh = slots.fresh
        hit = {On.CANARY: fresh, On.STABLE: ~fresh, On.BOTH: np.ones_like(fresh), On.YOUNG: slots.young}[self.on]
        return hit if self.zone is None else hit & (slots.zones == self.zone)


class _Trouble(_Timed, _Placed):
    """A fault of some pods that begins and may end."""

    def touches(self, conditions: Conditions) -> Flags:
        """Return which entries of the conditions it acts on, shape of `conditions.t`."""
        return self.runs(conditions.t) & self.hits(conditions.slots)


class ErrorStep(_Trouble):
    """Failures jump, to `share` of requests or by `factor`; `pods`: on that many pods only, the machine's fault."""

    kind: Literal["error_step"]
    share: Portion | None = None
    factor: Factor | None = None
    pods: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.share is None) == (self.factor is None):
            raise ValueError("say either `share` or `factor`")
        return self

    def bend(self, conditions: Conditions) -> None:
        """Change the chance to fail where it runs."""
        worse = conditions.errors * (self.factor or 0.0) + (self.share or 0.0)  # one of the two is None
        conditions.errors = np.where(self._hit(conditions), worse, conditions.errors)

    def _hit(self, conditions: Conditions) -> Flags:
        touched = self.touches(conditions)
        if self.pods is None:
            return touched
        return touched & (np.cumsum(self.hits(conditions.slots)) <= self.pods)


class LatencyShift(_Trouble):
    """Every request takes `factor` times as long; `ramp`: the time in which it gets there."""

    kind: Literal["latency_shift"]
    factor: Factor
    ramp: Duration = 0.0

    def bend(self, conditions: Conditions) -> None:
        """Change the latencies where it runs."""
        grown = np.clip((conditions.t - self.at) / self.ramp, 0, 1) if self.ramp else 1.0
        factor = self.factor**grown
        conditions.slow = np.where(self.touches(conditions), conditions.slow * factor, conditions.slow)


class TailShare(_Trouble):
    """`share` of all requests fall into the slow tail; median and p95 may stay where they are."""

    kind: Literal["tail_share"]
    share: Portion

    def bend(self, conditions: Conditions) -> None:
        """Change the tail where it runs."""
        conditions.tail = np.where(self.touches(conditions), self.share, conditions.tail)


class WarmUp(_Trouble):
    """Cold caches, compilers: latencies begin `factor` times as long and decay with `tau`."""

    kind: Literal["warm_up"]
    factor: Factor
    tau: Duration
    errors: Factor = 1.0

    def bend(self, conditions: Conditions) -> None:
        """Slow the pods down, less and less."""
        touched = self.touches(conditions)
        left = np.exp(-np.maximum(conditions.t - self.at, 0.0) / self.tau)
        conditions.slow = np.where(touched, conditions.slow * (1 + (self.factor - 1) * left), conditions.slow)
        conditions.errors = np.where(touched, conditions.errors * (1 + (self.errors - 1) * left), conditions.errors)


class SharedIncident(_Trouble):
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
    pods: Annotated[int, Field(ge=1)] | None = None

    def falls(self, horizon: float) -> tuple[float, ...]:
        """Return when counters fall, up to a time."""
        return (self.at,) if self.at <= horizon else ()

    def resets(self, slots: Slots) -> Flags:
        """Return which slots restart: the first `pods` of those it is on, or all."""
        hit = self.hits(slots)
        return hit if self.pods is None else hit & (np.cumsum(hit) <= self.pods)


class CrashLoop(_Trouble):
    """Processes die again and again and are never ready: each is gone for `down` once in `every`, its counters with it.

    Nobody serves what a router sends to a track of which no pod is ready, and nobody counts it.
    """

    kind: Literal["crash_loop"]
    every: Annotated[Duration, Field(gt=0)] = 100.0
    down: Duration = 10.0

    def bend(self, conditions: Conditions) -> None:
        """Have no pod ready where it runs."""
        conditions.ready = conditions.ready & ~self.touches(conditions)

    def loses(self, t: Floats, slots: Slots) -> Flags:
        """t: sample times, shape (..., pods), seconds after the shift. Returns which samples are missed."""
        return self.runs(t) & self.hits(slots) & ((t - self.at) % self.every < self.down)

    def falls(self, horizon: float) -> tuple[float, ...]:
        """Return when processes die, up to a time."""
        end = min(self.at + self.lasts, np.nextafter(horizon, FOREVER))
        return tuple(np.arange(self.at, end, self.every).tolist())

    def resets(self, slots: Slots) -> Flags:
        """Return which slots restart."""
        return self.hits(slots)


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


ServiceFault = ErrorStep | LatencyShift | TailShare | WarmUp | SharedIncident | NoTraffic | CrashLoop
Cause = Outage | MemoryLeak
"""What only the request grain can do: harm follows from it."""
Fault = Annotated[
    ServiceFault | MetricsGap | ClockSet | CounterReset | AlertStorm | RouterTrouble | Cause,
    Field(discriminator="kind"),
]

FAULTS: Final[dict[str, type[Part]]] = {
    "error_step": ErrorStep,
    "latency_shift": LatencyShift,
    "tail_share": TailShare,
    "warm_up": WarmUp,
    "shared_incident": SharedIncident,
    "no_traffic": NoTraffic,
    "crash_loop": CrashLoop,
    "metrics_gap": MetricsGap,
    "clock_set": ClockSet,
    "counter_reset": CounterReset,
    "alert_storm": AlertStorm,
    "router_slow": RouterSlow,
    "router_down": RouterDown,
    "weight_reset": WeightReset,
    "outage": Outage,
    "memory_leak": MemoryLeak,
}
"""Kind in a scenario file -> what it does. The union `Fault` above must list the same (a test compares)."""


def known_fault(value: Any) -> Any:
    """Name the nearest fault: a union's own complaint would list its members."""
    if isinstance(value, dict):
        kind = value.get("kind")
        if kind is None:
            raise complaint("a fault without 'kind'", f"add one of: {', '.join(sorted(FAULTS))}")
        if kind not in FAULTS:
            raise complaint(f"there is no fault '{kind}'", hint(str(kind), FAULTS), at=("kind",))
    return value
