"""Which rollout is probably to blame for another one's trouble: that of a service it depends on, the deepest first.

Says who is suspected, and whether that puts a rollback off; orders nothing. Suspicion rests on the suspect's own data,
and it only ever withholds: what is proved of false rollbacks holds as before (docs/statistics.md, "Attribution").
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from guardian.core import records as r
from guardian.core.gates import critical, harmful
from guardian.core.looks import Allocation, Look, evidence
from guardian.core.model import Instant, Phase, Revision, RolloutId, Value
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration, weighed

HARM = frozenset({r.Why.GUARDRAIL, r.Why.OBJECTIVE, r.Why.ALERT, r.Why.READINESS})
"""Causes of a rollback that speak against the revision itself, as its own data, its pods or an alert about it told."""
_OPEN = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.BAKING, Phase.ROLLING_BACK})
_TICKS = 2.0
"""Intervals after the end of a suspect in which rows of before may still come in."""


class Suspect(Value, frozen=True, kw_only=True):
    """A rollout that may be the cause of others' trouble, and what speaks against it.

    over: when its users were back and had drained; None while they are not.
    """

    rollout: RolloutId
    service: str
    revision: Revision
    text: str
    over: Instant | None = None

    def __str__(self) -> str:
        return f"{self.service} {self.revision} ({self.rollout})"


class Around(Value, frozen=True, kw_only=True):
    """What goes on beneath a service.

    suspects: rollouts that may be to blame, the deepest first. counted: those of them whose time is still part of the
    evidence. cause: what probably breaks both tracks alike, "" where nothing is known.
    """

    suspects: tuple[Suspect, ...] = ()
    counted: frozenset[RolloutId] = frozenset()
    cause: str = ""


ALONE = Around()


def over(rollout: Rollout) -> Instant | None:
    """Return when the last user of an ended rollout's canary was gone; None while it goes on."""
    if not rollout.phase.terminal or rollout.ended_at is None:
        return None
    return Instant(rollout.ended_at + rollout.policy.drain)


def did_harm(rollout: Rollout) -> bool:
    """Whether a rollout was rolled back for what its own revision did."""
    return rollout.phase is Phase.ROLLED_BACK and rollout.ended_why in HARM


def suspect(rollout: Rollout, look: Look | None, now: Instant) -> Suspect | None:
    """Return what speaks against a rollout by its own data; None where nothing does.

    The threshold is that of the step rule, fixed in advance: evidence of 1/sqrt(false_rollback), or above 1 and rising.
    """
    text = _against(rollout, look, now)
    if not text:
        return None
    return Suspect(
        rollout=rollout.id, service=rollout.place.service, revision=rollout.revision, text=text, over=over(rollout)
    )


def _against(rollout: Rollout, look: Look | None, now: Instant) -> str:
    if did_harm(rollout) and rollout.had_traffic and rollout.ended_at is not None:
        return f"it was rolled back {duration(now - rollout.ended_at)} ago"
    if rollout.phase not in _OPEN or not rollout.had_traffic:
        return ""
    if rollout.phase is Phase.ROLLING_BACK:
        cause = rollout.cause
        return "it is being rolled back" if cause is not None and cause.why in HARM else ""
    if look is None:
        return ""
    if (name := critical(look, shared=False)) is not None:
        return f"it breaks its critical objective '{name}'"
    return _by_evidence(rollout, look)


def _by_evidence(rollout: Rollout, look: Look) -> str:
    if look.allocation is Allocation.SKEWED or math.isnan(look.log_harm):
        return ""
    told = f"rollback evidence {weighed(evidence(look.log_harm))} of '{look.worst}'"
    if look.log_harm >= -0.5 * math.log(rollout.policy.risk.false_rollback):
        return f"it has {told}"
    return f"it has {told}, rising" if look.rising and look.log_harm > 0.0 else ""


def lasts(suspicion: Suspect, rollout: Rollout, now: Instant) -> bool:
    """Whether what a suspect did may still show somewhere in what the rollout is judged by."""
    windows = [_window(rollout, guardrail.name) for guardrail in rollout.policy.guardrails]
    return suspicion.over is None or now < suspicion.over + max(windows, default=0.0) + _lag(rollout)


def _window(rollout: Rollout, name: str) -> float:
    objective = rollout.policy.guardrail(name).objective
    if objective is None:
        return 0.0
    fading = [pair.short for pair, _ in objective.burn_rate.pages] if objective.burn_rate is not None else []
    if objective.critical is not None:  # one to leave the window, one to have lasted
        fading.append(2.0 * max(objective.window or 0.0, objective.critical.lasts))
    return max(fading, default=0.0)


def _lag(rollout: Rollout) -> float:
    return _TICKS * rollout.policy.interval


def excuse(rollout: Rollout, look: Look, around: Around, now: Instant) -> Suspect | None:
    """Return who is to blame instead of a rollout that its own evidence or objective would send back now.

    None where nobody is, or where each suspect has put the rollback off for as long as the policy allows.
    """
    by_evidence = harmful(rollout, look)
    name = None if by_evidence else critical(look, shared=False)
    if not by_evidence and name is None:
        return None
    for one in around.suspects:
        since = rollout.blamed.get(one.rollout, now)
        if now - since < rollout.policy.attribution.limit and _explains(one, rollout, around, now, name=name):
            return one
    return None


def _explains(one: Suspect, rollout: Rollout, around: Around, now: Instant, *, name: str | None) -> bool:
    """Whether the suspect's time is part of what speaks against the rollout; name: an objective, None: the evidence."""
    if one.over is None:
        return True
    if name is not None:
        return now < one.over + _window(rollout, name) + _lag(rollout)
    return one.rollout in around.counted or now < one.over + _lag(rollout)


def deepest_first(suspects: Iterable[tuple[Suspect, frozenset[str]]]) -> tuple[Suspect, ...]:
    """Sort suspects, each with the services beneath its own: one with no other suspect beneath it comes first."""
    found = list(suspects)
    services = {one.service for one, _ in found}
    found.sort(key=lambda each: (len(each[1] & services), each[0].rollout))
    return tuple(one for one, _ in found)


def put_off(rollout: Rollout, one: Suspect) -> str:
    """Say that a rollback waits, why, and for how long."""
    limit = duration(rollout.policy.attribution.limit)
    return (
        f"The trouble is probably that of {one}, which {rollout.place.service} depends on: {one.text}. The rollback of "
        f"{rollout.revision} is put off until that is over, for {limit} at most; then its own evidence decides"
    )


def was_put_off(rollout: Rollout, now: Instant) -> str:
    """Say of a rollback that it had been put off; "" where it had not."""
    if not rollout.blamed:
        return ""
    names = ", ".join(rollout.blamed)
    since = duration(now - min(rollout.blamed.values()))
    return f" It was put off first {since} ago on account of {names}, which does not explain it."
