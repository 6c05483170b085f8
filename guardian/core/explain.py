"""A rollout in sentences, made from its records and its newest look only: what happened, what it waits for, what to do.

Silence is explained: whoever reads this never has to guess why nothing moves.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from guardian.core import records as r
from guardian.core.course import Course, course_of
from guardian.core.gates import first_release, missing
from guardian.core.looks import Breach, Burn, Counted, GuardrailLook, Look, evidence
from guardian.core.model import Instant, Phase
from guardian.core.monitor import Standing
from guardian.core.policy import Guardrail, full
from guardian.core.rollout import Rollout
from guardian.core.sentences import answers, burning, comparison, duration, level, note, share, weighed, without_end
from guardian.core.what_if import of_rollout
from guardian.core.world import World


class GuardrailStory(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail: a sentence, and the numbers behind it.

    objective: whether it has one that could be breached. counted: what the requests of all sides are. burn: how fast
    it uses up its error budget, None where that is not asked. control: what the canary is compared with, None where
    that is stable.
    """

    name: str
    sentence: str
    harm: float
    safe: float
    canary: r.SideNote
    stable: r.SideNote
    objective: bool
    breach: Breach
    calibrated: bool
    anomalies: dict[str, int] = {}
    counted: Counted = Counted.REQUESTS
    burn: Burn | None = None
    control: r.SideNote | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """summary: one sentence. waits: what is still missing. next: what a person can do.

    history_at: when each line of the history was, unix seconds. what_if: what would change the verdict, or would have.
    course: the evidence over time, as far as it was kept. measured: stable against stable at this service as it stands
    now, which no verdict rested on; None where nobody measures it.
    """

    rollout: str
    phase: Phase
    summary: str
    waits: tuple[str, ...]
    guardrails: tuple[GuardrailStory, ...]
    history: tuple[str, ...]
    history_at: tuple[Instant, ...]
    next: tuple[str, ...]
    what_if: tuple[str, ...]
    course: Course
    measured: Standing | None = None


def queued_behind(world: World, rollout: Rollout) -> tuple[str, ...]:
    """Return what a queued rollout waits for: the one that has its place, or is still leaving it."""
    running = world.place(rollout.place).running
    if rollout.phase is not Phase.QUEUED or running is None:
        return ()
    earlier = world.rollouts[running]
    if earlier.phase.terminal:
        drain = duration(earlier.policy.drain)
        if any(pending.attempts for pending in earlier.effects):
            text = (
                f"{earlier.revision} ({earlier.id}) is over, but what is left to be done there fails and is tried again"
            )
            return (f"{text}; guardian abort {earlier.id} --reason TEXT ends that",)
        return (f"{earlier.revision} ({earlier.id}) is leaving: its canary is stopped once it has drained ({drain})",)
    return (f"{earlier.revision} ({earlier.id}) is {earlier.phase} and goes first",)


def explain(
    rollout: Rollout,
    look: Look | None,
    now: Instant,
    records: tuple[r.Record, ...] = (),
    *,
    queued: tuple[str, ...] = (),
    unmeasured: str = "",
    measured: Standing | None = None,
) -> Explanation:
    """Return the rollout in sentences; `records` are its own, oldest first, and become its history.

    queued: what it waits for before it starts (`queued_behind`). unmeasured: why nothing can be measured
    where it runs, known from its first second on; "" where something can. measured: see Explanation.
    """
    waits = queued
    if rollout.phase in (Phase.PROGRESSING, Phase.PAUSED):
        waits = tuple(item.text for item in missing(rollout, look, now))
    if unmeasured and rollout.policy.guardrails and not rollout.phase.terminal:
        waits = (unmeasured, *waits)
    told = [record for record in records if _tells(record)]
    return Explanation(
        rollout=rollout.id,
        phase=rollout.phase,
        summary=_summary(rollout, now) + _rate(rollout, measured),
        waits=waits,
        guardrails=tuple(_story(rollout, look, at) for at in look.guardrails) if look is not None else (),
        history=tuple(map(_line, told)),
        history_at=tuple(record.at for record in told),
        next=tuple(_remedies(rollout, look)),
        what_if=of_rollout(rollout, look, now),
        course=course_of(rollout, look, records),
        measured=measured,
    )


def _summary(rollout: Rollout, now: Instant) -> str:
    what = f"{rollout.place.service} {rollout.revision} in {rollout.place.environment}"
    if rollout.phase.terminal:
        return f"{what} is {rollout.phase}: {rollout.end_reason.removesuffix(f': {rollout.phase}')}"
    if rollout.held is not None:
        return f"{what} is held at {share(rollout.desired)}: {rollout.held.reason}"
    if rollout.awaiting is not None:
        return f"{what} waits for a person: {rollout.awaiting.reason}"
    if rollout.phase is Phase.PROGRESSING:
        return f"{what} is at step {rollout.step + 1} of {len(rollout.steps)} ({share(rollout.desired)})"
    if rollout.phase is Phase.BAKING:
        left = (rollout.promoted_at or now) + rollout.steps[-1].bake - now
        return f"{what} has all traffic and bakes for {duration(max(left, 0.0))} more"
    return f"{what} is {rollout.phase}"


def _rate(rollout: Rollout, measured: Standing | None) -> str:
    """Say beside what is proved of the evidence that rolled it back what was measured."""
    if measured is None or not measured.windows or rollout.cause is None or rollout.cause.why is not r.Why.GUARDRAIL:
        return ""
    return f"; {measured.sentence}"


def _story(rollout: Rollout, look: Look | None, at: GuardrailLook) -> GuardrailStory:
    guardrail = rollout.policy.guardrail(at.name)
    lasted = 0.0
    if look is not None and look.began is not None:
        lasted = look.at - look.began
    text = f"{at.name}: {comparison(guardrail, at, lasted)}"
    if at.participates:
        text += (
            f"; evidence against {weighed(evidence(at.log_harm))}, for promotion {weighed(evidence(at.log_safe))} "
            f"of {1.0 / rollout.policy.risk.false_promotion:.3g}"
        )
        if look is not None and look.left_out:
            text += f"; without the time in which {', '.join(look.left_out)} had users"
        if not at.calibrated:
            text += "; uncalibrated (too little seen of equal pods)"
        text += _past(guardrail, at)
    elif at.open_ended:
        text += f"; takes no part: {without_end(at.name, at.open_ended)}"
    elif guardrail.compare is None:
        text += "; judged by its objective only"
    else:
        text += "; takes no part: stable has no history of it"
    if at.burn is not None:
        text += f"; {burning(at.burn)}"
    return GuardrailStory(
        name=at.name,
        sentence=text,
        harm=evidence(at.log_harm),
        safe=evidence(at.log_safe),
        canary=note(at.canary),
        stable=note(at.stable),
        control=None if at.control is None else note(at.control),
        objective=guardrail.objective is not None,
        breach=at.breach,
        calibrated=at.calibrated,
        anomalies=at.anomalies,
        counted=at.counted,
        burn=at.burn,
    )


def _past(guardrail: Guardrail, at: GuardrailLook) -> str:
    """Say how it stands against the service's own past; nothing before it has all traffic."""
    if at.past is None or at.past.since is None:
        return ""
    if at.past.before is None:
        return "; of the service's own past too little is known"
    text = f"; since all traffic {level(guardrail, at.past.since)}, before {level(guardrail, at.past.before)}"
    text += f" (the service's own past: evidence {weighed(evidence(at.past.log_evidence))}"
    return text + (")" if at.past.calibrated else ", uncalibrated: too little history)")


def _tells(record: r.Record) -> bool:
    silent = (r.EffectOrdered, r.EffectEnded, r.PolicyAdopted, r.AlertStood)
    return not isinstance(record, silent)


def _line(record: r.Record) -> str:
    if isinstance(record, r.Judged):
        return f"verdict {record.verdict}"
    if isinstance(record, r.StepBegan):
        return f"step {record.step + 1} began at {share(record.accepted)}"
    if isinstance(record, r.AlertLinked):
        return f"alert {record.name} {'is firing' if record.firing else 'is resolved'}"
    if isinstance(record, r.PolicyAdopted | r.AlertStood):
        return type(record).__name__
    if isinstance(record, r.PreflightPassed):
        return "preflight passed" + (f"; stable runs {record.stable}" if record.stable else "")
    if isinstance(record, r.RollbackOrdered):
        return f"all traffic goes back: {record.reason}"
    if isinstance(record, r.Ended):
        return record.reason if record.phase in record.reason else f"{record.phase}: {record.reason}"
    return record.reason or type(record).__name__.lower()


def _remedies(rollout: Rollout, look: Look | None) -> Iterator[str]:
    name = rollout.id
    if rollout.phase.terminal:
        if rollout.phase is Phase.ROLLED_BACK:
            yield (
                f"{rollout.revision} is refused here for {duration(rollout.policy.refuse_for)}; "
                f"after a fix: guardian deploy {rollout.place.service} {rollout.revision} --retry"
            )
        return
    if rollout.awaiting is not None:
        yield answers(name)
    if rollout.phase is Phase.BAKING and rollout.held is not None and rollout.held.hold is r.Hold.OWN_PAST:
        yield f"guardian rollback {name} --reason TEXT; with another cause guardian promote {name} --reason TEXT"
    if rollout.phase is Phase.PAUSED:
        yield f"guardian resume {name} --reason TEXT"
    elif rollout.phase is Phase.PREFLIGHT and rollout.held is not None:
        yield f"guardian promote {name} --reason TEXT passes over the alert, guardian abort {name} ends it"
    elif rollout.phase is Phase.PROGRESSING and rollout.awaiting is None:
        yield f"guardian promote {name} --reason TEXT passes this step; guardian rollback {name} --reason TEXT stops it"
    if first_release(rollout, look) and rollout.policy.participating:
        yield "first release: there is no stable to compare with; objectives, probes and the bake decide"
    following = rollout.following
    if following is not None and full(following.weight) and rollout.policy.participating:
        yield "the next step leaves no stable traffic, so this one extends itself until the promotion evidence is there"
