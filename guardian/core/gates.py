"""What a step still waits for. Answers one question, `missing`; orders nothing.

Each condition of CONTRACTS section 5 ("A step passes when") is one function, so that waiting can always be explained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

from guardian.core import records as r
from guardian.core.facts import WeightRead
from guardian.core.looks import Allocation, Breach, Counted, GuardrailLook, Look, evidence
from guardian.core.model import Instant, Mode, Value
from guardian.core.policy import full
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration, share, silence, weighed
from guardian.core.strata import MOST_UNMATCHED

ENOUGH_TO_OBSERVE = 100
"""Canary-and-stable requests since a weight was set before the observed share can contradict the accepted one."""
WEIGHT_TOLERANCE = 0.005
"""Routers round weights (HAProxy to 1/256, meshes to whole percents)."""
MOST_REFUSED = 0.05
"""Share of a track's rows that may be impossible: where errors make a row impossible, the others look faultless."""


class Condition(StrEnum):
    """One reason why a step does not pass yet."""

    WEIGHT = "weight"
    BAKE = "bake"
    SAMPLE = "sample"
    EVIDENCE = "evidence"
    VERDICT = "verdict"
    HOLD = "hold"
    APPROVAL = "approval"
    PAUSED = "paused"


class Missing(Value, frozen=True, kw_only=True):
    """A condition that is not met, and the sentence that says so."""

    condition: Condition
    text: str


def missing(rollout: Rollout, look: Look | None, now: Instant) -> tuple[Missing, ...]:
    """Return what the present step waits for; empty when it passes. Waived steps need their weight and gates only."""
    found: list[Missing] = []
    if rollout.step_began is None:
        found.append(Missing(condition=Condition.WEIGHT, text=f"weight {share(rollout.desired)} is not reached"))
    if rollout.paused_at is not None:
        found.append(Missing(condition=Condition.PAUSED, text="a person paused the rollout; resume it"))
    if rollout.waived != rollout.step:
        found.extend(_unmet(rollout, look, now))
    elif (why := forbidden(rollout, look)) is not None:
        found.append(Missing(condition=Condition.EVIDENCE, text=why))
    if rollout.held is not None and rollout.held.hold is not r.Hold.UNDECIDED and rollout.waived != rollout.step:
        found.append(Missing(condition=Condition.HOLD, text=rollout.held.reason))
    if (gate := approval_missing(rollout)) is not None:
        found.append(Missing(condition=Condition.APPROVAL, text=gate[1]))
    elif rollout.awaiting is not None and rollout.awaiting.proposal is r.Proposal.ROLLBACK:
        found.append(Missing(condition=Condition.APPROVAL, text=rollout.awaiting.reason))
    return tuple(found)


def approval_missing(rollout: Rollout) -> tuple[r.Proposal, str] | None:
    """Return which approval the step lacks, with its sentence."""
    step = rollout.current
    if step is None:
        return None
    if step.approval is not None and (r.Proposal.GATE, rollout.step) not in rollout.approved:
        return r.Proposal.GATE, f"step {rollout.step + 1} waits for approval"
    if rollout.policy.mode is Mode.ADVISE and (r.Proposal.ADVANCE, rollout.step) not in rollout.approved:
        return r.Proposal.ADVANCE, "mode advise: the next weight waits for approval"
    return None


def _unmet(rollout: Rollout, look: Look | None, now: Instant) -> Iterator[Missing]:
    step = rollout.current
    if step is None or rollout.step_began is None:
        return
    left = rollout.step_began + step.bake - now
    if left > 0:
        yield Missing(condition=Condition.BAKE, text=f"bake time: {duration(left)} left")
    if not rollout.policy.participating or first_release(rollout, look):
        return
    if look is None:
        yield Missing(condition=Condition.SAMPLE, text="no metrics were seen yet")
        return
    yield from _samples(look)
    yield from _harm(rollout, look)
    if needs_verdict(rollout, look):
        yield from _verdict(rollout, look)


def _samples(look: Look) -> Iterator[Missing]:
    for at in look.guardrails:
        if at.participates and not at.step_requests >= at.needed:
            yield Missing(
                condition=Condition.SAMPLE,
                text=f"'{at.name}' has {at.step_requests:,.0f} of {at.needed:,.0f} {_amount(at)} in this step",
            )


def _amount(at: GuardrailLook) -> str:
    return "seconds of all traffic on the canary" if at.counted is Counted.WEIGHT else f"canary {at.counted}"


def _harm(rollout: Rollout, look: Look) -> Iterator[Missing]:
    limit = 1.0 / math.sqrt(rollout.policy.risk.false_rollback)
    value = evidence(look.log_harm)
    if value >= limit:
        text = f"rollback evidence {weighed(value)} of '{look.worst}' is not below {limit:.3g}"
        yield Missing(condition=Condition.EVIDENCE, text=text)
    elif look.rising:
        span = duration(rollout.policy.hold_back)
        text = f"rollback evidence {weighed(value)} of '{look.worst}' is higher than {span} ago"
        yield Missing(condition=Condition.EVIDENCE, text=text)


def _verdict(rollout: Rollout, look: Look) -> Iterator[Missing]:
    risk = rollout.policy.risk
    if promotable(rollout, look):
        return
    if look.began is None:
        yield Missing(condition=Condition.VERDICT, text="the canary had no traffic yet")
    elif look.at - look.began < risk.earliest_promotion:
        left = duration(risk.earliest_promotion - (look.at - look.began))
        yield Missing(condition=Condition.VERDICT, text=f"earliest promotion in {left}")
    elif (lossy := next((at for at in look.guardrails if _lossy(at)), None)) is not None:
        text = (
            f"{lossy.refused:.0%} of the rows of '{lossy.name}' on a track are impossible (more bad than all, or "
            "buckets that fall): those left are no fair sample; mend the exporter or the selector"
        )
        yield Missing(condition=Condition.VERDICT, text=text)
    elif (unlike := next((at for at in look.guardrails if _unlike(at)), None)) is not None:
        text = (
            f"{unlike.unmatched:.0%} of the canary's requests of '{unlike.name}' are of kinds (`compare.strata`) that "
            f"{rollout.policy.baseline} hardly serves: they are held against nothing; have both serve them, or "
            "name other labels"
        )
        yield Missing(condition=Condition.VERDICT, text=text)
    elif (flattered := next((at for at in look.guardrails if at.flatterer), None)) is not None:
        text = (
            f"promotion evidence of '{flattered.name}' hangs on one pod of {rollout.policy.baseline}, "
            f"{flattered.flatterer}, that is worse than the others: without it the canary is not shown to be good; "
            "replace that pod"
        )
        yield Missing(condition=Condition.VERDICT, text=text)
    else:
        text = (
            f"promotion evidence {weighed(evidence(look.log_safe))} of '{look.weakest}' "
            f"is below {1.0 / risk.false_promotion:.3g}{_halved(look)}"
        )
        yield Missing(condition=Condition.VERDICT, text=text)


def _halved(look: Look) -> str:
    """Say why more evidence is asked for than the policy says; see Look."""
    if look.overlapping:
        return f"; it counts half while {', '.join(look.overlapping)} may yet be left out of it"
    return f"; it counts half since {', '.join(look.left_out)} was left out of it" if look.left_out else ""


def _lossy(at: GuardrailLook) -> bool:
    return at.participates and at.refused > MOST_REFUSED


def _unlike(at: GuardrailLook) -> bool:
    return at.participates and at.unmatched > MOST_UNMATCHED


def promotable(rollout: Rollout, look: Look) -> bool:
    """Whether every participating guardrail shows the canary within its promote margin, late enough."""
    risk = rollout.policy.risk
    return (
        bool(rollout.policy.participating)
        and look.began is not None
        and look.at - look.began >= risk.earliest_promotion
        and look.log_safe >= -math.log(risk.false_promotion)
        and look.allocation is not Allocation.SKEWED
        and not look.rising
        and not any(at.flatterer or _lossy(at) or _unlike(at) for at in look.guardrails)
    )


def harmful(rollout: Rollout, look: Look) -> bool:
    """Whether the rollback evidence reached 1/false_rollback. A skewed allocation makes it unknown."""
    threshold = -math.log(rollout.policy.risk.false_rollback)
    compared = bool(rollout.policy.participating) and look.allocation is not Allocation.SKEWED
    return compared and look.log_harm >= threshold


def forbidden(rollout: Rollout, look: Look | None) -> str | None:
    """Say what nobody may promote over, None when there is no such thing."""
    name = critical(look)
    if name is not None:
        return f"the critical objective of '{name}' is broken"
    if look is not None and harmful(rollout, look):
        return "the evidence says roll back"
    return None


def needs_verdict(rollout: Rollout, look: Look | None) -> bool:
    """Whether the next step leaves no stable traffic, so that this one must show the canary to be good."""
    following = rollout.following
    if following is None or not full(following.weight) or not rollout.policy.participating:
        return False
    return not first_release(rollout, look)


def first_release(rollout: Rollout, look: Look | None) -> bool:
    """Whether there is no stable to compare with: none named, verified or running here, and none measured.

    Metrics of the canary must have been seen: where nothing is measured at all, data is missing, and that holds.
    """
    if look is None or (rollout.previous or rollout.goal or rollout.stable) is not None:
        return False
    return look.canary_last is not None and look.stable_last is None


def critical(look: Look | None, *, shared: bool | None = None) -> str | None:
    """Return the first guardrail whose objective is critical on the canary.

    shared: True asks for one that stable breaks too, or broke before; False for one that only the canary breaks.
    """
    if look is None:
        return None
    broken = (at for at in look.guardrails if at.breach is Breach.CRITICAL)
    return next((at.name for at in broken if shared is None or at.stable_breach is shared), None)


def weight_reached(rollout: Rollout, look: Look | None, reading: WeightRead | None) -> bool:
    """Whether the step's weight is accepted, and what was observed does not contradict it.

    Where somebody else moves the traffic there is no weight of ours to wait for.
    """
    if not rollout.moves_traffic:
        return True
    if rollout.accepted is None or abs(rollout.accepted - rollout.desired) > WEIGHT_TOLERANCE:
        return False
    if reading is not None and abs(reading.accepted - rollout.desired) > WEIGHT_TOLERANCE:
        return False
    seen = look.observed if look is not None else None
    if seen is None or seen.requests < ENOUGH_TO_OBSERVE or look is None:
        return True
    return look.allocation is not Allocation.SKEWED


def unobserved(look: Look, now: Instant) -> str:
    """Say since when the canary gave no data."""
    return f"no metrics of the canary {silence(look.canary_last, now)}"
