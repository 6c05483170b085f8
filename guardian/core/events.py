"""Decision events out, read off the journal: one per record with a sequence number (CONTRACTS section 3).

The event is a function of the record and of the rollout right after it, so a repeat after a crash is byte-equal.
Does not send anything.
"""

from __future__ import annotations

from typing import Final

import msgspec

from guardian.core import records as r
from guardian.core.model import Instant, Phase, Verdict
from guardian.core.rollout import Rollout

NAMES: Final[dict[type[r.OfRollout], str]] = {
    r.Opened: "queued",
    r.Started: "started",
    r.Advanced: "advanced",
    r.Held: "held",
    r.Resumed: "resumed",
    r.Paused: "paused",
    r.Unpaused: "resumed",
    r.Awaiting: "awaiting-approval",
    r.Promoted: "promoted",
    r.Paged: "paged",
}
"""Records that are published, except `Ended`, whose event is named after the terminal phase."""


class DecisionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The `data` of a decision event; `type` and `id` are those of its CloudEvents envelope.

    cause: the rollout that is probably to blame; left out where none is, as in events of before there was this field.
    """

    type: str = msgspec.field(name="type")
    id: str
    rollout: str
    service: str
    environment: str
    region: str
    revision: str
    previous: str | None
    phase: Phase
    step: int
    weight: float
    guardrail: str
    verdict: Verdict | None
    evidence: r.Evidence | None
    reason: str
    mode: str
    decided_at: Instant
    sequence: int
    cause: str | msgspec.UnsetType = msgspec.UNSET


def event_name(record: r.OfRollout) -> str | None:
    """Return the last part of the event's type, or None for a record that is not published."""
    if isinstance(record, r.Ended):
        return record.phase.value
    return NAMES.get(type(record))


def decision_event(record: r.OfRollout, after: Rollout) -> DecisionEvent | None:
    """Return the event of this record, given the rollout it led to; None when it has none."""
    name = event_name(record)
    if name is None or record.sequence == 0:
        return None
    cause = after.cause if isinstance(record, r.Ended) else None
    return DecisionEvent(
        type=f"slo-guardian.rollout.{name}.v1",
        id=f"{after.id}/{record.sequence}",
        rollout=after.id,
        service=after.place.service,
        environment=after.place.environment,
        region=after.place.region,
        revision=after.revision,
        previous=after.previous,
        phase=after.phase,
        step=after.step,
        weight=after.desired,
        guardrail=getattr(record, "guardrail", "") or (cause.guardrail if cause else ""),
        verdict=after.verdict,
        evidence=getattr(record, "evidence", None) or (cause.evidence if cause else None),
        reason=record.reason,
        mode=after.policy.mode.value,
        decided_at=record.at,
        sequence=record.sequence,
        cause=getattr(record, "cause", "") or msgspec.UNSET,
    )
