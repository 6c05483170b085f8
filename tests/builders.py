"""Values for tests, made with the least that a test must say. Clocks are numbers: T0 is when the story begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from guardian.core.facts import AlertSeen, DeployRequested, Order, Ordered
from guardian.core.looks import Allocation, Breach, GuardrailLook, Look, Side
from guardian.core.model import Driver, EventRef, Instant, Place, Ratio, Revision, RolloutId, Seconds, Share, Weight
from guardian.core.policy import (
    Adapter,
    Compare,
    Guardrail,
    HistogramSli,
    Level,
    Margin,
    Match,
    Policy,
    RatioSli,
    Risk,
    Slo,
)
from guardian.core.strategies import Canary, Step

T0 = Instant(1_750_000_000.0)
PLACE = Place(service="checkout", environment="production")
ERRORS = Guardrail(
    name="errors",
    sli=RatioSli(bad='http_requests_total{status=~"5.."}', total="http_requests_total"),
    compare=Compare(rollback=Margin(relative=1.05, absolute=0.00005), promote=Margin(relative=1.5, absolute=0.0005)),
)
LATENCY = Guardrail(
    name="latency",
    sli=HistogramSli(buckets="http_request_duration_seconds_bucket"),
    compare=Compare(rollback=Margin(relative=1.02), promote=Margin(relative=1.15)),
)
OBJECTIVE = Slo(
    target=0.999,
    breached="below",
    warning=Level(bound=0.999, lasts=Seconds(120.0)),
    critical=Level(bound=0.998, lasts=Seconds(60.0)),
)


def steps(*plan: tuple[float, float]) -> tuple[Step, ...]:
    """Return steps from (weight, bake in seconds) pairs."""
    return tuple(Step(weight=Weight(weight), bake=Seconds(bake)) for weight, bake in plan)


def policy(*plan: Step, **changes: Any) -> Policy:
    """Return the policy of `checkout`: 10 % for 300 s, 50 % for 300 s, then a bake of 600 s, unless told otherwise."""
    base = Policy(
        name="checkout",
        match=Match(service="checkout", environment="production"),
        strategy=Canary(plan=plan or steps((0.1, 300.0), (0.5, 300.0), (1.0, 600.0))),
        guardrails=(ERRORS,),
        risk=Risk(),
        router=Adapter(kind="memory"),
    )
    return replace(base, **changes)


def requested(revision: str = "2.1.0", *, at: Instant = T0, identity: str = "", **changes: Any) -> DeployRequested:
    """Return a deploy event for `checkout`; its identity follows from the revision unless given."""
    base = DeployRequested(
        event=EventRef(source="ci/shop", id=identity or revision),
        time=at,
        place=PLACE,
        revision=Revision(revision),
        previous=Revision("2.0.3"),
        driver=Driver.GUARDIAN,
    )
    return replace(base, **changes)


def ordered(rollout: RolloutId, order: Order, *, reason: str = "because", who: str = "ann", **changes: Any) -> Ordered:
    """Return a person's order."""
    base = Ordered(
        event=EventRef(source="api", id=f"{order}-{reason}"), rollout=rollout, order=order, reason=reason, who=who
    )
    return replace(base, **changes)


def alert(*, firing: bool = True, starts_at: Instant = T0, **labels: str) -> AlertSeen:
    """Return an alert about `checkout`."""
    named = {"alertname": "CheckoutErrors", "service": "checkout"} | labels
    status = "firing" if firing else "resolved"
    return AlertSeen(
        event=EventRef(source="alertmanager", id=f"f00d/{starts_at:.0f}/{status}"),
        firing=firing,
        starts_at=starts_at,
        labels=named,
    )


BUSY_CANARY = Side(requests=4120.0, bad=78.0, level=0.019, pods=2)
BUSY_STABLE = Side(requests=37_000.0, bad=185.0, level=0.005, pods=6)
TENTH = Share(share=Ratio(0.1), requests=5000.0)


def seen(
    rollout: RolloutId,
    *,
    at: Instant,
    began: Instant | None = T0,
    harm: float = 1.0,
    safe: float = 1.0,
    guardrails: Sequence[str] = ("errors",),
    breach: Breach = Breach.NONE,
    stable_breach: bool = False,
    allocation: Allocation = Allocation.FITS,
    canary_last: Instant | None = None,
    stable: bool = True,
    step_requests: float = 1e6,
    rising: bool = False,
) -> Look:
    """Return a look with evidence given as e-values; data of both tracks is fresh unless told otherwise."""
    last = canary_last if canary_last is not None else at
    steady = replace(BUSY_STABLE, last=at, seen=at) if stable else Side()
    sides, breaches = (replace(BUSY_CANARY, last=last, seen=last), steady), (breach, stable_breach)
    one = _guardrail(harm=harm, safe=safe, sides=sides, step_requests=step_requests, breaches=breaches)
    return Look(
        rollout=rollout,
        at=at,
        began=began,
        log_harm=one.log_harm,
        log_safe=one.log_safe,
        rising=rising,
        worst=guardrails[0],
        weakest=guardrails[-1],
        guardrails=tuple(replace(one, name=name) for name in guardrails),
        allocation=allocation,
        observed=TENTH,
        canary_last=last,
        stable_last=at if stable else None,
    )


def _guardrail(
    *, harm: float, safe: float, sides: tuple[Side, Side], step_requests: float, breaches: tuple[Breach, bool]
) -> GuardrailLook:
    canary, stable = sides
    return GuardrailLook(
        name="",
        participates=stable.last is not None,
        log_harm=math.log(harm),
        log_safe=math.log(safe),
        comparable=stable.last is not None,
        canary=canary,
        stable=stable,
        step_requests=step_requests,
        needed=1000.0,
        breach=breaches[0],
        stable_breach=breaches[1],
        calibrated=True,
    )
