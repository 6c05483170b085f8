"""What a metric source is asked for a rollout: which samples, reaching how far back."""

from __future__ import annotations

from collections.abc import Iterator

from guardian.core.looks import Look
from guardian.core.model import Instant, Place, RolloutId, Value
from guardian.core.policy import Guardrail, Labels
from guardian.core.rollout import Rollout

LATE = 30.0
"""Seconds by which samples may reach a metric source late; asked for again, they change nothing."""


class MeasureRequest(Value, frozen=True, kw_only=True):
    """Samples wanted of one guardrail of one rollout, with `since` < sample time <= `until`."""

    rollout: RolloutId
    place: Place
    guardrail: Guardrail
    labels: Labels
    since: Instant
    until: Instant


def requests(rollout: Rollout, look: Look | None, now: Instant) -> Iterator[MeasureRequest]:
    """Return one request per guardrail: from a little before the newest samples, or the whole history at first."""
    policy = rollout.policy
    oldest = now - policy.history
    lasts = [] if look is None else [at for at in (look.canary_last, look.stable_last) if at is not None]
    newest = min(lasts) - 2.0 * policy.interval - LATE if lasts else oldest
    since = Instant(max(oldest, newest))
    for guardrail in policy.guardrails:
        yield MeasureRequest(
            rollout=rollout.id,
            place=rollout.place,
            guardrail=guardrail,
            labels=policy.labels,
            since=since,
            until=now,
        )
