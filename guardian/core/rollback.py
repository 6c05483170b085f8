"""Going back: all traffic to the verified revision, whatever ordered it. The safe direction; needs no metrics."""

from __future__ import annotations

from guardian.core import records as r
from guardian.core.draft import Draft
from guardian.core.effects import SetWeight, StopCanary
from guardian.core.gates import first_release
from guardian.core.looks import Look
from guardian.core.model import Instant, Mode, Phase, Verdict, Weight
from guardian.core.paging import ADVISED
from guardian.core.rollout import Pending

AUTOMATIC = frozenset({r.Why.GUARDRAIL, r.Why.OBJECTIVE, r.Why.ALERT, r.Why.UNDECIDED, r.Why.READINESS})
"""Causes that lie in the release: held back by irreversible changes, and in mode advise asked about before others."""
ADVICE = " Mode advise: approve the rollback."


def take_back(
    draft: Draft,
    *,
    why: r.Why,
    outcome: Phase,
    reason: str,
    guardrail: str = "",
    who: str = "",
    evidence: r.Evidence | None = None,
) -> None:
    """Order the rollback and what it needs; where the guardian moves nothing, the order itself is the outcome.

    who: the person who ordered it or agreed to it. Without one nothing is written in mode advise: it is proposed.
    """
    rollout = draft.rollout
    moved = rollout.moves_traffic and (
        rollout.had_traffic or any(isinstance(pending.effect, SetWeight) for pending in rollout.effects)
    )
    if rollout.policy.mode is Mode.ADVISE and not who and (moved or rollout.canary_ordered):
        _ask(draft, why=why, outcome=outcome, reason=reason, guardrail=guardrail)
        return
    if moved:
        draft.add(
            r.RollbackOrdered(
                rollout=rollout.id,
                at=draft.now,
                why=why,
                outcome=outcome,
                guardrail=guardrail,
                who=who,
                evidence=evidence,
                reason=reason,
            )
        )
        draft.set_weight(Weight(0.0))
        return
    draft.drop_effects()
    if evidence is not None:
        verdict = r.Judged(rollout=rollout.id, at=draft.now, verdict=_verdict_of(outcome), evidence=evidence)
        draft.add(verdict)
    stop_canary(draft)
    draft.end(outcome, reason, why=why, guardrail=guardrail)


def _verdict_of(outcome: Phase) -> Verdict:
    return Verdict.ROLLBACK if outcome is Phase.ROLLED_BACK else Verdict.HOLD


def propose(
    draft: Draft,
    look: Look | None,
    *,
    why: r.Why,
    reason: str,
    guardrail: str = "",
    evidence: r.Evidence | None = None,
) -> None:
    """Roll back automatically, or do what the policy says instead: hold and page, or ask first."""
    rollout = draft.rollout
    if rollout.irreversible:
        text = f"{reason} The change is irreversible, so it is not rolled back automatically: decide by hand."
        draft.hold(r.Hold.IRREVERSIBLE, text, guardrail=guardrail)
        draft.page("irreversible", text, guardrail=guardrail)
    elif first_release(rollout, look) and rollout.policy.first_release == "hold":  # nothing good to go back to
        text = f"{reason} There is no stable revision to go back to: decide by hand."
        draft.hold(r.Hold.FIRST_RELEASE_FAILS, text, guardrail=guardrail)
        draft.page("first-release", text, guardrail=guardrail)
    elif rollout.policy.mode is Mode.ADVISE:
        _ask(draft, why=why, outcome=Phase.ROLLED_BACK, reason=reason, guardrail=guardrail)
    else:
        take_back(draft, why=why, outcome=Phase.ROLLED_BACK, reason=reason, guardrail=guardrail, evidence=evidence)


def _ask(draft: Draft, *, why: r.Why, outcome: Phase, reason: str, guardrail: str) -> None:
    """Propose a rollback and page. One against harm takes the place of one for another reason, never the reverse."""
    waiting = draft.rollout.awaiting
    asked = waiting if waiting is not None and waiting.proposal is r.Proposal.ROLLBACK else None
    if why in AUTOMATIC:
        if "dismissed" in draft.rollout.paged or (asked is not None and against_harm(asked)):
            return
    elif asked is not None:
        return
    text = f"{reason if reason.endswith('.') else reason + '.'}{ADVICE}"
    draft.page(f"{'rollback' if why in AUTOMATIC else why}{ADVISED}", text, guardrail=guardrail)
    draft.add(
        r.Awaiting(
            rollout=draft.id,
            at=draft.now,
            proposal=r.Proposal.ROLLBACK,
            step=max(draft.rollout.step, 0),
            reason=text,
            why=why,
            outcome=outcome,
        )
    )


def against_harm(waiting: Pending) -> bool:
    """Whether the proposed rollback is one that evidence or an alert asks for (0.1.0 journaled no cause: they were)."""
    return waiting.why is None or waiting.why in AUTOMATIC


def take_back_as_asked(draft: Draft, waiting: Pending, *, who: str, said: str) -> None:
    """A person agreed to a proposed rollback."""
    if against_harm(waiting):
        note = draft.rollout.evidence
        take_back(draft, why=r.Why.PERSON, outcome=Phase.ROLLED_BACK, reason=said, who=who, evidence=note)
        return
    promoted = draft.rollout.phase is Phase.BAKING and waiting.outcome is Phase.ABORTED
    outcome = Phase.ROLLED_BACK if promoted else waiting.outcome
    reason = f"{waiting.reason.removesuffix(ADVICE)} {said}"
    take_back(draft, why=waiting.why or r.Why.PERSON, outcome=outcome, reason=reason, who=who)


def went_back(draft: Draft) -> None:
    """The weight is 0 and accepted: the rollback is done."""
    cause = draft.rollout.cause
    if cause is None or draft.rollout.phase is not Phase.ROLLING_BACK:
        return
    stop_canary(draft)
    draft.end(cause.outcome, cause.reason, why=cause.why, guardrail=cause.guardrail)


def stop_canary(draft: Draft) -> None:
    """Scale the canary down after it has drained, if the guardian brought it up.

    Ordered before the end is recorded: the place is free only when nothing is left to be done.
    """
    rollout = draft.rollout
    if not rollout.canary_ordered:
        return
    wait = rollout.policy.drain if rollout.had_traffic else 0.0
    effect = StopCanary(id=draft.effect_id("stop-canary"), place=rollout.place)
    draft.order(effect, not_before=Instant(draft.now + wait))
