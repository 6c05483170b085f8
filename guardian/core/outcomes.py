"""An effect ended, well or badly: what follows. Retries and deadlines are states here, not loops in adapters."""

from __future__ import annotations

from guardian.core import records as r
from guardian.core.decide import promote_if_full
from guardian.core.draft import Draft
from guardian.core.effects import Effect, MakeStable, Preflight, SetWeight, StartCanary, StopCanary
from guardian.core.facts import EffectDone, EffectFailed
from guardian.core.gates import WEIGHT_TOLERANCE
from guardian.core.model import Driver, Instant, Mode, Phase, Weight
from guardian.core.paging import OVERDUE
from guardian.core.rollback import stop_canary, take_back, went_back
from guardian.core.rollout import PendingEffect, Rollout
from guardian.core.sentences import duration, share

BACKOFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds until the next attempt; the last one repeats."""
ROLLBACK_BACKOFF = 2.0
"""Longest wait between attempts to bring users back to the good version."""


def _pending(rollout: Rollout, effect: str) -> PendingEffect | None:
    return next((pending for pending in rollout.effects if pending.effect.id == effect), None)


def done(rollout: Rollout, fact: EffectDone, now: Instant) -> Draft:
    """Return what follows from an effect that is in place; nothing when it was not awaited any more."""
    draft = Draft(rollout, now)
    pending = _pending(rollout, fact.effect)
    if pending is None:
        return draft
    effect = pending.effect
    if isinstance(effect, SetWeight) and not _reads_back(effect, fact):
        reason = f"the router was told {share(effect.weight)} and reads back {share(fact.accepted or 0.0)}"
        _again(draft, pending, reason)
        return draft
    draft.add(r.EffectEnded(rollout=rollout.id, at=now, effect=effect.id, done=True))
    if rollout.held is not None and rollout.held.hold is r.Hold.WEIGHT:
        draft.resume(f"{_name(effect)} is done")
    _follow(draft, effect, fact)
    return draft


def _reads_back(effect: SetWeight, fact: EffectDone) -> bool:
    return fact.accepted is None or abs(fact.accepted - effect.weight) <= WEIGHT_TOLERANCE


def _follow(draft: Draft, effect: Effect, fact: EffectDone) -> None:
    if isinstance(effect, Preflight):
        _preflight_done(draft, fact)
    elif isinstance(effect, StartCanary):
        begin(draft)
    elif isinstance(effect, SetWeight):
        _weight_done(draft)
    elif isinstance(effect, MakeStable):
        _hand_over(draft)


def _preflight_done(draft: Draft, fact: EffectDone) -> None:
    rollout = draft.rollout
    already = fact.accepted if fact.accepted is not None else Weight(0.0)
    if rollout.moves_traffic and rollout.driver is Driver.GUARDIAN and already > WEIGHT_TOLERANCE:
        text = (
            f"the router already sends {share(already)} to the canary before the rollout began; make stable run the "
            "verified revision, set the canary's weight to 0 and send the event again with retry: true"
        )
        draft.end(Phase.FAILED, text, why=r.Why.PREFLIGHT)
        return
    draft.add(r.PreflightPassed(rollout=rollout.id, at=draft.now, stable=fact.stable))
    begin(draft)


def begin(draft: Draft) -> None:
    """Go on from a passed preflight: approval where every write needs one, the canary up, the first weight.

    Does the next of these that is missing, and nothing while the rollout is paused or waits for a person; so it is
    called whenever something that kept the first weight back has gone.
    """
    rollout = draft.rollout
    if rollout.phase is not Phase.PREFLIGHT or not rollout.checked or rollout.effects or rollout.awaiting is not None:
        return
    needs_approval = rollout.policy.mode is Mode.ADVISE and (r.Proposal.START, -1) not in rollout.approved
    if needs_approval:
        text = "mode advise: the start waits for approval"
        draft.add(
            r.Awaiting(
                rollout=rollout.id,
                at=draft.now,
                proposal=r.Proposal.START,
                step=-1,
                expires=Instant(draft.now + 86400.0),
                reason=text,
            )
        )
    elif rollout.policy.workload is not None and rollout.moves_traffic and not rollout.canary_ready:
        effect = StartCanary(id=draft.effect_id("start-canary"), place=rollout.place, revision=rollout.revision)
        draft.order(effect)
    elif kept_back(rollout):
        names = ", ".join(sorted(set(rollout.alerts.values())))
        text = f"alert {names} is firing; the first weight waits until it is resolved"
        draft.hold(r.Hold.ALERT, text)
    else:
        first_weight(draft, f"{rollout.revision} is ready")


def kept_back(rollout: Rollout) -> bool:
    """Whether a firing alert keeps the first users from the canary.

    Where somebody else began the rollout it has users already, and to watch them is what helps.
    """
    return bool(rollout.alerts) and rollout.moves_traffic and rollout.driver is Driver.GUARDIAN


def first_weight(draft: Draft, reason: str) -> None:
    """The canary is ready: the plan begins."""
    rollout = draft.rollout
    if rollout.phase is not Phase.PREFLIGHT or not rollout.steps:
        return
    weight = rollout.steps[0].weight
    text = f"{reason}; " + (f"first weight {share(weight)}" if weight > 0 else "a preview without users")
    draft.add(r.Advanced(rollout=rollout.id, at=draft.now, step=0, weight=weight, reason=text))
    if rollout.moves_traffic:
        draft.set_weight(weight)


def _weight_done(draft: Draft) -> None:
    rollout = draft.rollout
    if rollout.phase is Phase.ROLLING_BACK:
        went_back(draft)
    elif rollout.phase is Phase.VERIFIED:
        draft.order(StopCanary(id=draft.effect_id("stop-canary"), place=rollout.place))
    elif rollout.phase.terminal:
        stop_canary(draft)  # its weight had come back after the rollback; it drains once more
    else:
        promote_if_full(draft)


def _hand_over(draft: Draft) -> None:
    """Stable runs the new revision now: traffic goes to it, and the canary can stop."""
    rollout = draft.rollout
    if rollout.policy.router is not None:
        draft.set_weight(Weight(0.0))
    else:
        draft.order(StopCanary(id=draft.effect_id("stop-canary"), place=rollout.place))


def failed(rollout: Rollout, fact: EffectFailed, now: Instant) -> Draft:
    """Return what follows from an attempt that failed: another one later, or the end."""
    draft = Draft(rollout, now)
    pending = _pending(rollout, fact.effect)
    if pending is None:
        return draft
    overdue = pending.deadline is not None and now >= pending.deadline
    final = not fact.again or overdue
    if final and isinstance(pending.effect, Preflight):
        draft.add(r.EffectEnded(rollout=rollout.id, at=now, effect=fact.effect, done=False))
        draft.end(Phase.FAILED, f"preflight failed: {fact.reason}", why=r.Why.PREFLIGHT)
    elif final and isinstance(pending.effect, StartCanary):
        reason = f"the canary could not be brought up: {fact.reason}"
        draft.drop_effects()
        take_back(draft, why=r.Why.PREFLIGHT, outcome=Phase.FAILED, reason=reason)
    elif overdue and not fact.again and _may_be_left(rollout, pending.effect):
        _give_up(draft, pending, fact.reason)
    else:
        _again(draft, pending, fact.reason)
    return draft


def _may_be_left(rollout: Rollout, effect: Effect) -> bool:
    """Whether nobody is hurt when this is never done. A canary that went back never keeps a weight for that reason."""
    return rollout.phase.terminal and (rollout.phase is Phase.VERIFIED or not isinstance(effect, SetWeight))


def _give_up(draft: Draft, pending: PendingEffect, reason: str) -> None:
    """What is left after the end is refused for good: say how things stand, and free the place."""
    rollout, effect = draft.rollout, pending.effect
    stands = {
        StopCanary: "the canary may still have pods, without traffic; stop them by hand",
        MakeStable: (
            f"all traffic stays on the canary, which runs {rollout.revision}; have stable run it, then set the "
            "canary's weight to 0, before the next rollout"
        ),
        SetWeight: f"stable runs {rollout.revision} and the canary keeps the traffic; set its weight to 0 by hand",
    }[type(effect)]
    since = duration(draft.now - pending.since)
    text = f"{_name(effect)} was refused for {since} and is given up: {reason}; {stands}. The place is free"
    draft.page(f"given-up-{effect.id}", text)
    draft.add(r.EffectEnded(rollout=rollout.id, at=draft.now, effect=effect.id, done=False, reason=text))


def _again(draft: Draft, pending: PendingEffect, reason: str) -> None:
    rollout = draft.rollout
    attempts = pending.attempts + 1
    wait = BACKOFF[min(attempts, len(BACKOFF)) - 1]
    if rollout.phase is Phase.ROLLING_BACK:
        wait = min(wait, ROLLBACK_BACKOFF)
    draft.add(
        r.EffectDelayed(
            rollout=rollout.id,
            at=draft.now,
            effect=pending.effect.id,
            attempts=attempts,
            next_at=Instant(draft.now + wait),
            reason=reason,
        )
    )
    text = f"{_name(pending.effect)} is not done after {attempts} attempts: {reason}"
    if rollout.phase in (Phase.PROGRESSING, Phase.PAUSED, Phase.BAKING) and attempts > 1:
        draft.hold(r.Hold.WEIGHT, text)
    if pending.deadline is not None and draft.now >= pending.deadline:
        since = duration(draft.now - pending.since)
        left = rollout.phase.terminal or rollout.phase is Phase.ROLLING_BACK
        end = f"; guardian abort {rollout.id} --reason TEXT ends that" if left else ""
        tried = f"{text}; it has been tried for {since} and goes on being tried{end}"
        draft.page(f"{OVERDUE}{pending.effect.id}", tried)


def _name(effect: Effect) -> str:
    if isinstance(effect, SetWeight):
        return f"setting the weight to {share(effect.weight)}"
    return {
        Preflight: "preflight",
        StartCanary: "bringing the canary up",
        MakeStable: "handing over to stable",
        StopCanary: "stopping the canary",
    }[type(effect)]
