"""What each record does to a rollout. TRANSITIONS is the specification of the phases; nothing here judges.

A pair of phase and record that TRANSITIONS does not name is illegal, except the records of ANYTIME, which leave the
phase alone. `Ended` leads to the phase it names, if ENDS allows that from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import SetWeight, StartCanary
from guardian.core.model import Phase, Seconds, Verdict, Weight
from guardian.core.policy import Policy, full
from guardian.core.rollout import Pending, PendingEffect, Rollout
from guardian.core.strategies import Step
from guardian.errors import IllegalTransition

TRANSITIONS: Final[dict[tuple[Phase, type[r.OfRollout]], Phase]] = {
    (Phase.QUEUED, r.Started): Phase.PREFLIGHT,
    (Phase.PREFLIGHT, r.PreflightPassed): Phase.PREFLIGHT,
    (Phase.PREFLIGHT, r.Advanced): Phase.PROGRESSING,
    (Phase.PREFLIGHT, r.Paused): Phase.PAUSED,
    (Phase.PREFLIGHT, r.RollbackOrdered): Phase.ROLLING_BACK,
    (Phase.PROGRESSING, r.StepBegan): Phase.PROGRESSING,
    (Phase.PROGRESSING, r.Advanced): Phase.PROGRESSING,
    (Phase.PROGRESSING, r.StepWaived): Phase.PROGRESSING,
    (Phase.PROGRESSING, r.Paused): Phase.PAUSED,
    (Phase.PROGRESSING, r.Promoted): Phase.BAKING,
    (Phase.PROGRESSING, r.RollbackOrdered): Phase.ROLLING_BACK,
    (Phase.PAUSED, r.PreflightPassed): Phase.PAUSED,
    (Phase.PAUSED, r.StepBegan): Phase.PAUSED,
    (Phase.PAUSED, r.Unpaused): Phase.PROGRESSING,  # or PREFLIGHT: back to the phase before the pause
    (Phase.PAUSED, r.RollbackOrdered): Phase.ROLLING_BACK,
    (Phase.BAKING, r.RollbackOrdered): Phase.ROLLING_BACK,
}
ENDS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.QUEUED: frozenset({Phase.REJECTED, Phase.SUPERSEDED, Phase.ABORTED}),
    Phase.PREFLIGHT: frozenset({Phase.FAILED, Phase.SUPERSEDED, Phase.ABORTED, Phase.ROLLED_BACK}),
    Phase.PROGRESSING: frozenset({Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED}),  # nothing of ours to move
    Phase.PAUSED: frozenset({Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED, Phase.FAILED}),
    Phase.ROLLING_BACK: frozenset({Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED, Phase.FAILED}),
    Phase.BAKING: frozenset({Phase.VERIFIED, Phase.ROLLED_BACK, Phase.SUPERSEDED}),
}
ANYTIME: Final[frozenset[type[r.OfRollout]]] = frozenset(
    {
        r.Held, r.Resumed, r.Awaiting, r.Approved, r.Dismissed, r.Withdrawn, r.Paged, r.AlertLinked, r.Judged,
        r.Amended, r.EffectOrdered, r.EffectDelayed, r.EffectEnded,
    }
)  # fmt: skip


def opened(record: r.Opened, policy: Policy) -> Rollout:
    """Return the rollout that this record begins."""
    request = record.request
    return Rollout(
        id=record.rollout,
        place=request.place,
        revision=request.revision,
        previous=request.previous,
        goal=record.verified or request.previous,
        change=request.change,
        driver=request.driver,
        irreversible=request.irreversible,
        event=request.event,
        event_time=request.time,
        author=request.author,
        url=request.url,
        depends_on=request.depends_on,
        policy=policy,
        steps=plan(policy),
        opened_at=record.at,
        sequence=record.sequence,
    )


def plan(policy: Policy) -> tuple[Step, ...]:
    """Return the steps in force: where somebody else moves the traffic, one watch and the bake."""
    steps = policy.strategy.steps()
    if policy.moves_traffic:
        return steps
    shared = [step for step in steps if not full(step.weight)]
    if not shared:
        return steps
    bake = Seconds(sum(step.bake for step in shared))
    return Step(weight=shared[-1].weight, bake=bake), steps[-1]


def evolve(rollout: Rollout, record: r.OfRollout, policy: Policy | None = None) -> Rollout:
    """Apply one record. `policy` is needed by `Amended` only.

    Raises IllegalTransition for a record that does not fit the phase; its text names both.
    """
    changes = _CHANGES[type(record)](rollout, record)
    changes["phase"] = _next_phase(rollout, record)
    if record.sequence:
        changes["sequence"] = record.sequence
    if policy is not None and isinstance(record, r.Amended):
        changes["policy"], changes["steps"] = policy, plan(policy)
    return replace(rollout, **changes)


def _next_phase(rollout: Rollout, record: r.OfRollout) -> Phase:
    kind = type(record)
    if kind in ANYTIME:
        return rollout.phase
    if isinstance(record, r.Ended):
        if record.phase in ENDS.get(rollout.phase, frozenset()):
            return record.phase
    elif isinstance(record, r.Unpaused) and rollout.phase is Phase.PAUSED:
        return rollout.before_pause or Phase.PROGRESSING
    elif (rollout.phase, kind) in TRANSITIONS:
        return TRANSITIONS[rollout.phase, kind]
    raise IllegalTransition(
        f"{kind.__name__} does not fit phase {rollout.phase} (step {rollout.step}, sequence {rollout.sequence})",
        where=rollout.id,
        remedy="run `guardian journal verify`; a journal written by a newer version needs that version",
    )


_Changes = dict[str, Any]


def _nothing(rollout: Rollout, record: r.OfRollout) -> _Changes:
    return {}


def _started(rollout: Rollout, record: r.Started) -> _Changes:
    return {"started_at": record.at}


def _preflight_passed(rollout: Rollout, record: r.PreflightPassed) -> _Changes:
    held = rollout.held if rollout.alerts else None
    return {"stable": record.stable, "goal": rollout.goal or record.stable, "held": held, "checked": True}


def _advanced(rollout: Rollout, record: r.Advanced) -> _Changes:
    return {
        "step": record.step,
        "desired": record.weight,
        "step_ordered": record.at,
        "step_began": None,
        "waited": Seconds(0.0),
        "awaiting": None,
        "held": None,
    }


def _step_began(rollout: Rollout, record: r.StepBegan) -> _Changes:
    since = rollout.canary_since
    if since is None and not rollout.previews:
        since = record.at
    return {"step_began": record.at, "accepted": record.accepted, "canary_since": since}


def _held(rollout: Rollout, record: r.Held) -> _Changes:
    if not record.cause or record.cause in rollout.blamed:
        return {"held": record}
    return {"held": record, "blamed": {**rollout.blamed, record.cause: record.at}}


def _resumed(rollout: Rollout, record: r.Resumed) -> _Changes:
    return {"held": None}


def _paused(rollout: Rollout, record: r.Paused) -> _Changes:
    return {"before_pause": rollout.phase, "paused_at": record.at}


def _unpaused(rollout: Rollout, record: r.Unpaused) -> _Changes:
    idle = record.at - (rollout.paused_at or record.at)
    return {"before_pause": None, "paused_at": None, "waited": Seconds(rollout.waited + idle)}


def _awaiting(rollout: Rollout, record: r.Awaiting) -> _Changes:
    return {
        "awaiting": Pending(
            proposal=record.proposal,
            step=record.step,
            since=record.at,
            expires=record.expires,
            reason=record.reason,
            why=record.why,
            outcome=record.outcome,
        )
    }


def _approved(rollout: Rollout, record: r.Approved) -> _Changes:
    return _answered(rollout, record) | {"approved": (*rollout.approved, (record.proposal, record.step))}


def _answered(rollout: Rollout, record: r.Approved | r.Withdrawn) -> _Changes:
    idle = record.at - rollout.awaiting.since if rollout.awaiting else 0.0
    return {"awaiting": None, "waited": Seconds(rollout.waited + idle)}


def _dismissed(rollout: Rollout, record: r.Dismissed) -> _Changes:
    return {"awaiting": None, "paged": (*rollout.paged, record.key) if record.key else rollout.paged}


def _waived(rollout: Rollout, record: r.StepWaived) -> _Changes:
    return {"waived": record.step, "awaiting": None}


def _paged(rollout: Rollout, record: r.Paged) -> _Changes:
    return {"paged": (*rollout.paged, record.key)}


def _alert(rollout: Rollout, record: r.AlertLinked) -> _Changes:
    others = dict(rollout.alerts)
    if record.firing:
        others[record.alert] = record.name
    else:
        others.pop(record.alert, None)
    return {"alerts": others}


def _judged(rollout: Rollout, record: r.Judged) -> _Changes:
    return {"verdict": record.verdict, "evidence": record.evidence}


def _rollback(rollout: Rollout, record: r.RollbackOrdered) -> _Changes:
    changes: _Changes = {"cause": record, "desired": Weight(0.0), "awaiting": None, "held": None}
    if record.outcome is Phase.ROLLED_BACK:
        changes["verdict"] = Verdict.ROLLBACK
    return changes


def _promoted(rollout: Rollout, record: r.Promoted) -> _Changes:
    return {"promoted_at": record.at, "verdict": Verdict.PROMOTE, "held": None}


def _ended(rollout: Rollout, record: r.Ended) -> _Changes:
    changes: _Changes = {"ended_at": record.at, "end_reason": record.reason, "ended_why": record.why}
    return changes | {"held": None, "awaiting": None}


def _effect_ordered(rollout: Rollout, record: r.EffectOrdered) -> _Changes:
    pending = PendingEffect(effect=record.effect, since=record.at, deadline=record.deadline, next_at=record.not_before)
    changes: _Changes = {"effects": (*rollout.effects, pending), "ordered": rollout.ordered + 1}
    if isinstance(record.effect, SetWeight):
        changes["desired"] = record.effect.weight
        if rollout.phase.terminal and rollout.phase is not Phase.VERIFIED:
            changes |= {"corrected": rollout.corrected + 1, "corrected_at": record.at}
    elif isinstance(record.effect, StartCanary):
        changes["canary_ordered"] = True
    return changes


def _effect_delayed(rollout: Rollout, record: r.EffectDelayed) -> _Changes:
    return {
        "effects": tuple(
            replace(pending, attempts=record.attempts, next_at=record.next_at)
            if pending.effect.id == record.effect
            else pending
            for pending in rollout.effects
        )
    }


def _effect_ended(rollout: Rollout, record: r.EffectEnded) -> _Changes:
    changes: _Changes = {"effects": tuple(p for p in rollout.effects if p.effect.id != record.effect)}
    ended = next((pending.effect for pending in rollout.effects if pending.effect.id == record.effect), None)
    if record.done and isinstance(ended, SetWeight):
        changes["accepted"] = ended.weight
    elif record.done and isinstance(ended, StartCanary):
        changes["canary_ready"] = True
    return changes


_CHANGES: Final[dict[type[r.OfRollout], Callable[[Rollout, Any], _Changes]]] = {
    r.Started: _started,
    r.PreflightPassed: _preflight_passed,
    r.Advanced: _advanced,
    r.StepBegan: _step_began,
    r.Held: _held,
    r.Resumed: _resumed,
    r.Paused: _paused,
    r.Unpaused: _unpaused,
    r.Awaiting: _awaiting,
    r.Approved: _approved,
    r.Dismissed: _dismissed,
    r.Withdrawn: _answered,
    r.StepWaived: _waived,
    r.Paged: _paged,
    r.AlertLinked: _alert,
    r.Judged: _judged,
    r.RollbackOrdered: _rollback,
    r.Promoted: _promoted,
    r.Ended: _ended,
    r.Amended: _nothing,
    r.EffectOrdered: _effect_ordered,
    r.EffectDelayed: _effect_delayed,
    r.EffectEnded: _effect_ended,
}
