"""What a person orders, and what somebody else's controller reports. Refused orders say what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from guardian.core import records as r
from guardian.core.amend import loosened
from guardian.core.decide import promote_if_full
from guardian.core.draft import Draft
from guardian.core.drain import DISMISSED_CORRECTION, correcting
from guardian.core.drift import DISMISSED_RESTORE
from guardian.core.facts import DeployEnd, DeployReported, Order, Ordered
from guardian.core.gates import Condition, approval_missing, forbidden, missing
from guardian.core.holds import ACCEPTED
from guardian.core.looks import Look
from guardian.core.model import Driver, Instant, Phase
from guardian.core.outcomes import begin, first_weight, kept_back
from guardian.core.policy import full
from guardian.core.rollback import ADVICE, against_harm, take_back, take_back_as_asked
from guardian.core.rollout import Pending, Rollout
from guardian.core.sentences import answers
from guardian.errors import CommandError

BEFORE_PROMOTION: Final = frozenset({Phase.PREFLIGHT, Phase.PROGRESSING, Phase.PAUSED})


def obey(rollout: Rollout, fact: Ordered, look: Look | None, now: Instant) -> Draft:
    """Return what follows from a person's order.

    Raises CommandError when it cannot be carried out in this phase.
    """
    draft = Draft(rollout, now)
    if rollout.phase.terminal:
        if fact.order is Order.ABORT and rollout.effects:
            _leave(draft, fact)
            return draft
        raise CommandError(f"{rollout.id} is over: {rollout.phase}", remedy="start a new rollout with a deploy event")
    _ORDERS[fact.order](draft, fact, look)
    return draft


def _cannot(draft: Draft, order: Order, remedy: str) -> CommandError:
    return CommandError(f"cannot {order} {draft.id} in phase {draft.rollout.phase}", remedy=remedy)


def _promote(draft: Draft, fact: Ordered, look: Look | None) -> None:
    rollout = draft.rollout
    if rollout.phase is Phase.PREFLIGHT and _only_an_alert(rollout):
        first_weight(draft, _by(fact, "passes over the alert that kept the first weight back"))
        return
    if rollout.phase is Phase.BAKING and rollout.held is not None and rollout.held.hold is r.Hold.OWN_PAST:
        _accept_past(draft, fact, look)
        return
    if rollout.phase is not Phase.PROGRESSING:
        raise _cannot(draft, fact.order, "promote passes a step of a progressing rollout; resume it first if paused")
    why = forbidden(rollout, look)
    if why is not None:
        raise CommandError(why, remedy="nobody may promote over it; roll back")
    if (gate := _only_approval(draft, look)) is not None:
        raise CommandError(gate, remedy=answers(draft.id))
    did = "passes this step" if approval_missing(rollout) is None else "passes all of this step but its approval"
    draft.add(r.StepWaived(rollout=rollout.id, at=draft.now, who=fact.who, step=rollout.step, reason=_by(fact, did)))


def _accept_past(draft: Draft, fact: Ordered, look: Look | None) -> None:
    """A person knows why the service is worse than it was before: the bake goes on."""
    if (why := forbidden(draft.rollout, look)) is not None:
        raise CommandError(why, remedy="nobody may promote over it; roll back")
    if draft.rollout.awaiting is not None:
        raise CommandError(draft.rollout.awaiting.reason, remedy=answers(draft.id))
    text = _by(fact, "lets the bake go on though the service is worse than it was before")
    draft.add(r.Dismissed(rollout=draft.id, at=draft.now, who=fact.who, key=ACCEPTED, reason=text))


def _only_approval(draft: Draft, look: Look | None) -> str | None:
    """Say which approval is missing when it is all that is: promote passes no gate, so it would have no effect."""
    rollout = draft.rollout
    lacking = missing(rollout, look, draft.now)
    gate = next((one.text for one in lacking if one.condition is Condition.APPROVAL), None)
    if rollout.waived == rollout.step or all(one.condition is Condition.APPROVAL for one in lacking):
        return gate
    return None


def _only_an_alert(rollout: Rollout) -> bool:
    """Whether all but a firing alert is ready for the first weight."""
    ready = rollout.checked and not rollout.effects and rollout.awaiting is None
    return ready and kept_back(rollout)


def _pause(draft: Draft, fact: Ordered, look: Look | None) -> None:
    if draft.rollout.phase not in (Phase.PREFLIGHT, Phase.PROGRESSING):
        raise _cannot(draft, fact.order, "only a rollout that is going out can be paused")
    draft.add(r.Paused(rollout=draft.id, at=draft.now, who=fact.who, reason=_by(fact, "paused the rollout")))


def _resume(draft: Draft, fact: Ordered, look: Look | None) -> None:
    if draft.rollout.phase is not Phase.PAUSED:
        raise _cannot(draft, fact.order, "it is not paused; a hold ends by itself when its cause is gone")
    draft.add(r.Unpaused(rollout=draft.id, at=draft.now, who=fact.who, reason=_by(fact, "let it go on")))
    resumed = draft.rollout
    if resumed.phase is Phase.PREFLIGHT:
        begin(draft)  # preflight may have passed while it was paused
    elif resumed.accepted is not None and full(resumed.accepted):
        promote_if_full(draft)  # its last weight was accepted while it was paused


def _approve(draft: Draft, fact: Ordered, look: Look | None) -> None:
    rollout, waiting = draft.rollout, draft.rollout.awaiting
    if waiting is None:
        step = rollout.current
        if step is None or step.approval is None:
            raise _cannot(draft, fact.order, "nothing waits for an approval (`guardian status` says what does)")
        proposal, number = r.Proposal.GATE, rollout.step
    else:
        proposal, number = waiting.proposal, waiting.step
    text = _by(fact, "approved")
    draft.add(r.Approved(rollout=draft.id, at=draft.now, who=fact.who, proposal=proposal, step=number, reason=text))
    if proposal is r.Proposal.START:
        begin(draft)
    elif waiting is not None and proposal is r.Proposal.ROLLBACK:
        take_back_as_asked(draft, waiting, who=fact.who, said=text)
    elif proposal is r.Proposal.RESTORE:
        draft.set_weight(rollout.desired)


def _reject(draft: Draft, fact: Ordered, look: Look | None) -> None:
    waiting = draft.rollout.awaiting
    if waiting is None:
        raise _cannot(draft, fact.order, "nothing waits for an approval; to stop it, abort")
    text = _by(fact, "rejected it")
    if waiting.proposal in (r.Proposal.ROLLBACK, r.Proposal.RESTORE):
        _dismiss(draft, waiting, fact.who, text)
        return
    outcome = Phase.ROLLED_BACK if draft.rollout.phase is Phase.BAKING else Phase.ABORTED
    take_back(draft, why=r.Why.PERSON, outcome=outcome, reason=text, who=fact.who)


def _dismiss(draft: Draft, waiting: Pending, who: str, text: str) -> None:
    """A person turned down what mode advise proposed: it stays as it is."""
    key = "dismissed" if waiting.proposal is r.Proposal.ROLLBACK and against_harm(waiting) else ""
    if waiting.proposal is r.Proposal.RESTORE:
        key = DISMISSED_RESTORE
    draft.add(r.Dismissed(rollout=draft.id, at=draft.now, who=who, key=key, reason=text))
    if waiting.why is r.Why.PREFLIGHT:
        draft.end(Phase.FAILED, f"{waiting.reason.removesuffix(ADVICE)} {text}; it is left as it is", why=waiting.why)
    begin(draft)


def _abort(draft: Draft, fact: Ordered, look: Look | None) -> None:
    rollout = draft.rollout
    if rollout.phase is Phase.QUEUED:
        draft.end(Phase.ABORTED, _by(fact, "aborted"), why=r.Why.PERSON)
    elif rollout.phase in BEFORE_PROMOTION:
        take_back(draft, why=r.Why.PERSON, outcome=Phase.ABORTED, reason=_by(fact, "aborted"), who=fact.who)
    elif rollout.phase is Phase.ROLLING_BACK:
        _give_up_rollback(draft, fact)
    else:
        raise _cannot(draft, fact.order, "after promotion use rollback")


def _leave(draft: Draft, fact: Ordered) -> None:
    """What is left to be done after the end is not wanted any more: the place is free."""
    text = _by(fact, "ended what was left to be done")
    if correcting(draft.rollout):
        said = f"{text}; the canary's weight is not set to 0 again"
        draft.add(r.Dismissed(rollout=draft.id, at=draft.now, who=fact.who, key=DISMISSED_CORRECTION, reason=said))
    for pending in draft.rollout.effects:
        draft.add(r.EffectEnded(rollout=draft.id, at=draft.now, effect=pending.effect.id, done=False, reason=text))
    draft.note(f"{text}; the canary is left as it is, and the place is free")


def _give_up_rollback(draft: Draft, fact: Ordered) -> None:
    """A rollback whose router cannot be told: a person may end it once it is overdue, not before."""
    rollout = draft.rollout
    if any(pending.deadline is None or draft.now < pending.deadline for pending in rollout.effects):
        raise _cannot(draft, fact.order, "it is going back already; only one that is overdue can be given up")
    draft.drop_effects()
    text = f"{_by(fact, 'gave the rollback up')}; the router may still send users to the canary, set its weight by hand"
    draft.end(Phase.FAILED, text, why=r.Why.PERSON)


def _rollback(draft: Draft, fact: Ordered, look: Look | None) -> None:
    if draft.rollout.phase not in BEFORE_PROMOTION | {Phase.BAKING}:
        raise _cannot(draft, fact.order, "abort a queued rollout; one that is rolling back needs nothing more")
    take_back(draft, why=r.Why.PERSON, outcome=Phase.ROLLED_BACK, reason=_by(fact, "rolled back"), who=fact.who)


def _amend(draft: Draft, fact: Ordered, look: Look | None) -> None:
    if fact.policy is None:
        raise CommandError("the order carries no policy", remedy="send the tightened policy with the amend")
    loose = loosened(draft.rollout.policy, fact.policy)
    if loose:
        raise CommandError(
            "an amendment may only tighten: " + "; ".join(loose), remedy="change the policy for the next rollout"
        )
    draft.records.append(r.PolicyAdopted(at=draft.now, digest=fact.policy.digest, policy=fact.policy))
    amended = r.Amended(
        rollout=draft.id,
        at=draft.now,
        who=fact.who,
        policy=fact.policy.digest,
        reason=_by(fact, "tightened the policy"),
    )
    draft.add(amended, fact.policy)


def _by(fact: Ordered, did: str) -> str:
    return f"{fact.who} {did}: {fact.reason}"


_ORDERS: Final[dict[Order, Callable[[Draft, Ordered, Look | None], None]]] = {
    Order.PROMOTE: _promote,
    Order.PAUSE: _pause,
    Order.RESUME: _resume,
    Order.APPROVE: _approve,
    Order.REJECT: _reject,
    Order.ABORT: _abort,
    Order.ROLLBACK: _rollback,
    Order.AMEND: _amend,
}


def reported(rollout: Rollout, fact: DeployReported, now: Instant) -> Draft:
    """Return what follows when a pipeline reports that a deploy was finished, cancelled or approved."""
    draft = Draft(rollout, now)
    if fact.end is DeployEnd.CANCELLED and rollout.phase is Phase.QUEUED:
        draft.end(Phase.ABORTED, "the deploy was cancelled", why=r.Why.CANCELLED)
    elif fact.end is DeployEnd.CANCELLED and rollout.phase in BEFORE_PROMOTION:
        take_back(draft, why=r.Why.CANCELLED, outcome=Phase.ABORTED, reason="the deploy was cancelled")
    elif fact.end is DeployEnd.APPROVED and _approvable(rollout):
        who = fact.author or fact.event.source
        order = Ordered(event=fact.event, rollout=rollout.id, order=Order.APPROVE, reason="deploy.approved", who=who)
        _approve(draft, order, None)
    elif fact.end is DeployEnd.FINISHED and _finishes(rollout):
        text = "its controller reports all traffic on the new revision; from here only its own past compares"
        draft.add(r.Promoted(rollout=rollout.id, at=now, reason=text))
    else:
        draft.note(f"deploy.{fact.end} of {fact.event.source} changes nothing in phase {rollout.phase}")
    return draft


def _approvable(rollout: Rollout) -> bool:
    """Whether a pipeline that approves its deploy approves what waits; a proposed rollback is another question."""
    if rollout.awaiting is not None:
        return rollout.awaiting.proposal not in (r.Proposal.ROLLBACK, r.Proposal.RESTORE)
    return rollout.current is not None and rollout.current.approval is not None


def _finishes(rollout: Rollout) -> bool:
    return rollout.driver is Driver.OTHER and not rollout.moves_traffic and rollout.phase is Phase.PROGRESSING
