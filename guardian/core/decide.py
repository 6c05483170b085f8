"""The one entry into deciding: what follows for a rollout from a look at its evidence and from the time.

Order of precedence: harm is acted on first, then what must wait is said, then the plan goes on. Nothing here asks
the time or the world; gates.py says what a step lacks, rollback.py how to go back.
"""

from __future__ import annotations

from guardian.core import records as r
from guardian.core.attribution import ALONE, Around, was_put_off
from guardian.core.draft import Draft
from guardian.core.drift import drifted
from guardian.core.effects import MakeStable
from guardian.core.facts import WeightRead
from guardian.core.gates import (
    Condition,
    approval_missing,
    critical,
    first_release,
    harmful,
    missing,
    promotable,
    weight_reached,
)
from guardian.core.holds import Waiting, innocent, pressing
from guardian.core.looks import Look
from guardian.core.model import Instant, Mode, Phase, Verdict
from guardian.core.policy import full
from guardian.core.readiness import unready, without_pods
from guardian.core.rollback import propose, take_back
from guardian.core.rollout import Rollout
from guardian.core.sentences import broken, duration, evidence_note, rollback_sentence, share

WATCHED = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.BAKING})
"""Phases in which evidence may order a rollback."""


def decide(
    rollout: Rollout, look: Look | None, reading: WeightRead | None, now: Instant, around: Around = ALONE
) -> Draft:
    """Return the records that follow from this look; none when nothing changes.

    look: newest look at the rollout's evidence, None before the first. reading: newest weight read back. around: what
    goes on beneath its service.
    """
    draft = Draft(rollout, now)
    _expire(draft)
    drift, instead, bare = None, None, without_pods(rollout, reading)
    if draft.rollout.phase in WATCHED:
        drift = drifted(draft, reading)
        instead = innocent(draft.rollout, look, around, now)
        if instead is None:
            _harm(draft, look)
        if draft.rollout.phase in WATCHED:
            _crashed(draft, look, reading)
    if draft.rollout.phase in WATCHED:
        _begin_step(draft, look, reading)
        _judge(draft, look, put_off=instead is not None)
        _holds(draft, look, pressing(draft.rollout, look, now, others=(drift, instead, bare), cause=around.cause))
    if draft.rollout.phase is Phase.PROGRESSING:
        _advance(draft, look)
    elif draft.rollout.phase is Phase.BAKING:
        _bake(draft)
    return draft


def _expire(draft: Draft) -> None:
    waiting = draft.rollout.awaiting
    if waiting is None or waiting.expires is None or draft.now < waiting.expires:
        return
    if waiting.proposal is r.Proposal.ROLLBACK:
        return
    waited = duration(draft.now - waiting.since)
    take_back(draft, why=r.Why.EXPIRED, outcome=Phase.ABORTED, reason=f"nobody approved within {waited}: aborted")


def _harm(draft: Draft, look: Look | None) -> None:
    rollout = draft.rollout
    if look is None:
        return
    if harmful(rollout, look):
        guardrail = rollout.policy.guardrail(look.worst)
        users = rollout.policy.users_of(guardrail)
        reason = rollback_sentence(rollout.place.service, rollout.revision, guardrail, look, users=users)
        reason += was_put_off(rollout, draft.now)
        propose(
            draft,
            look,
            why=r.Why.GUARDRAIL,
            reason=reason,
            guardrail=look.worst,
            evidence=evidence_note(look, look.worst),
        )
        return
    name = critical(look, shared=False)  # where stable suffers too, holds.py says so
    if name is None:
        return
    how = broken(rollout.policy.guardrail(name), look.of(name))
    if not how:
        return
    reason = (
        f"{rollout.place.service} {rollout.revision} breaks its critical objective '{name}' ({how}), and stable does "
        "not. This rule is about the user's pain; the risk of false rollbacks does not cover it."
    ) + was_put_off(rollout, draft.now)
    note = evidence_note(look, name)
    propose(draft, look, why=r.Why.OBJECTIVE, reason=reason, guardrail=name, evidence=note)


def _crashed(draft: Draft, look: Look | None, reading: WeightRead | None) -> None:
    """No pod of the canary is ready: that needs no metrics, and nobody else's rollout explains it."""
    reason = unready(draft.rollout, reading)
    if reason is not None:
        propose(draft, look, why=r.Why.READINESS, reason=reason)


def _begin_step(draft: Draft, look: Look | None, reading: WeightRead | None) -> None:
    rollout = draft.rollout
    if rollout.step_began is not None or rollout.phase is Phase.BAKING or rollout.step < 0:
        return
    if not weight_reached(rollout, look, reading):
        return
    seen = look.observed if look is not None else None
    draft.add(
        r.StepBegan(
            rollout=rollout.id,
            at=draft.now,
            step=rollout.step,
            accepted=rollout.accepted if rollout.accepted is not None else rollout.desired,
            observed=seen.share if seen is not None else None,
        )
    )


def _judge(draft: Draft, look: Look | None, *, put_off: bool) -> None:
    """Record the verdict of the evidence when it changes; before the first row there is none to speak of."""
    rollout = draft.rollout
    if look is None or rollout.phase is Phase.BAKING or not rollout.policy.participating:
        return
    verdict = Verdict.HOLD
    if harmful(rollout, look):
        verdict = Verdict.HOLD if put_off else Verdict.ROLLBACK
    elif promotable(rollout, look):
        verdict = Verdict.PROMOTE
    elif not any(at.comparable for at in look.guardrails):
        verdict = Verdict.INCONCLUSIVE
    if verdict is rollout.verdict or (verdict is Verdict.INCONCLUSIVE and _unheard(rollout, look)):
        return
    name = look.weakest if verdict is Verdict.PROMOTE else look.worst
    known = name in {at.name for at in look.guardrails}
    note = evidence_note(look, name) if known else None
    draft.add(r.Judged(rollout=rollout.id, at=draft.now, verdict=verdict, evidence=note))


def _unheard(rollout: Rollout, look: Look) -> bool:
    """Whether no row of metrics came yet: `inconclusive` is said with the hold for missing data, and not before."""
    return rollout.verdict is None and look.canary_last is None and look.stable_last is None


def _holds(draft: Draft, look: Look | None, found: Waiting | None) -> None:
    if found is None:
        if draft.rollout.held is not None and draft.rollout.held.hold is not r.Hold.WEIGHT:
            draft.resume(f"no longer held: {draft.rollout.held.hold}")
        return
    if found.hold is r.Hold.NO_DATA and look is not None:
        _say_inconclusive(draft, look)
    draft.hold(found.hold, found.text, guardrail=found.guardrail, cause=found.cause)
    if found.page is not None:
        draft.page(found.page, found.text, guardrail=found.guardrail, cause=found.cause)


def _say_inconclusive(draft: Draft, look: Look) -> None:
    rollout = draft.rollout
    if rollout.phase is not Phase.BAKING and rollout.policy.participating and _unheard(rollout, look):
        draft.add(r.Judged(rollout=rollout.id, at=draft.now, verdict=Verdict.INCONCLUSIVE))


def _advance(draft: Draft, look: Look | None) -> None:
    """Go to the next step when nothing is missing; otherwise ask for what only a person can give, or hold."""
    rollout = draft.rollout
    lacking = missing(rollout, look, draft.now)
    if not lacking:
        _next_step(draft, look)
        return
    if {item.condition for item in lacking} == {Condition.APPROVAL}:
        _ask(draft)
        return
    _undecided(draft, look, "; ".join(item.text for item in lacking))


def _ask(draft: Draft) -> None:
    rollout = draft.rollout
    lacking = approval_missing(rollout)
    step = rollout.current
    if rollout.awaiting is not None or lacking is None or step is None:
        return
    proposal, text = lacking
    lasts = step.approval.expires if step.approval is not None else 86400.0
    draft.add(
        r.Awaiting(
            rollout=rollout.id,
            at=draft.now,
            proposal=proposal,
            step=rollout.step,
            expires=Instant(draft.now + lasts),
            reason=text,
        )
    )


def _undecided(draft: Draft, look: Look | None, lacking: str) -> None:
    rollout, step = draft.rollout, draft.rollout.current
    since = rollout.step_began
    if step is None or since is None or rollout.waived == rollout.step:
        return
    if draft.now - since - rollout.waited - _asked_for(rollout, draft.now) <= step.time_limit:
        return
    text = f"step {rollout.step + 1} is undecided after {duration(draft.now - since)}: {lacking}"
    if rollout.policy.on_undecided == "rollback":
        propose(draft, look, why=r.Why.UNDECIDED, reason=text)
        return
    if rollout.held is None:
        draft.hold(r.Hold.UNDECIDED, text)
    draft.page(f"undecided-{rollout.step}", text)


def _asked_for(rollout: Rollout, now: Instant) -> float:
    """Return for how many seconds the present step has been waiting for a person; they do not count."""
    waiting = rollout.awaiting
    return now - waiting.since if waiting is not None and waiting.step == rollout.step else 0.0


def _next_step(draft: Draft, look: Look | None) -> None:
    rollout, following = draft.rollout, draft.rollout.following
    note = evidence_note(look, look.weakest) if look is not None and look.weakest else None
    if following is None:
        _promote(draft, note)
        return
    passed = "the preview passed" if rollout.previews else f"step {rollout.step + 1} passed at {share(rollout.desired)}"
    text = f"{passed}; next {share(following.weight)}"
    if first_release(rollout, look) and rollout.policy.participating:
        text += "; first release: there is no stable to compare with"
    draft.add(
        r.Advanced(
            rollout=rollout.id,
            at=draft.now,
            step=rollout.step + 1,
            weight=following.weight,
            evidence=note,
            verdict=rollout.verdict,
            reason=text,
        )
    )
    if rollout.moves_traffic:
        draft.set_weight(following.weight)
    elif full(following.weight):
        _promote(draft, note)


def _promote(draft: Draft, note: r.Evidence | None) -> None:
    rollout = draft.rollout
    text = f"{rollout.revision} has all traffic of {rollout.place.service} and every gate passed; the bake begins"
    draft.add(r.Promoted(rollout=rollout.id, at=draft.now, evidence=note, reason=text))


def promote_if_full(draft: Draft) -> None:
    """The weight of the last step is accepted: the bake of that step IS phase baking."""
    rollout, step = draft.rollout, draft.rollout.current
    if rollout.phase is Phase.PROGRESSING and step is not None and full(step.weight):
        _promote(draft, None)


def _bake(draft: Draft) -> None:
    rollout = draft.rollout
    since, step = rollout.promoted_at, rollout.steps[-1]
    if since is None or draft.now - since < step.bake or rollout.held is not None or rollout.effects:
        return
    if rollout.awaiting is not None and rollout.awaiting.proposal is r.Proposal.ROLLBACK:
        return  # not verified before a person said that it need not go back
    text = f"{rollout.revision} baked for {duration(draft.now - since)} with all traffic: verified"
    hands_over = rollout.policy.workload is not None and rollout.moves_traffic
    if hands_over and rollout.policy.mode is Mode.ADVISE and (r.Proposal.ADVANCE, rollout.step) not in rollout.approved:
        _ask_to_hand_over(draft)
        return
    if hands_over:  # first: the place is free when it is done
        draft.order(MakeStable(id=draft.effect_id("make-stable"), place=rollout.place, revision=rollout.revision))
    draft.end(Phase.VERIFIED, text)


def _ask_to_hand_over(draft: Draft) -> None:
    rollout = draft.rollout
    if rollout.awaiting is None:
        text = "mode advise: the bake is over; handing over to stable waits for approval"
        asked = r.Awaiting(
            rollout=rollout.id, at=draft.now, proposal=r.Proposal.ADVANCE, step=rollout.step, reason=text
        )
        draft.add(asked)
