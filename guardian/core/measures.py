"""What a metric source is asked for a rollout: which samples, reaching how far back."""

from __future__ import annotations

from collections.abc import Iterator

from guardian.core.looks import Look
from guardian.core.model import Instant, Place, RolloutId, Value
from guardian.core.policy import Guardrail, Labels
from guardian.core.rollout import Rollout

LATE = 30.0
"""Seconds by which samples may reach a metric source late; asked for again, they change nothing."""
FIRST = 120.0
"""Seconds after a rollout was opened in which a guardrail without rows is asked for all its history."""


class MeasureRequest(Value, frozen=True, kw_only=True):
    """Samples wanted of one guardrail of one rollout, with `since` < sample time <= `until`."""

    rollout: RolloutId
    place: Place
    guardrail: Guardrail
    labels: Labels
    since: Instant
    until: Instant

    @property
    def of(self) -> tuple[RolloutId, str]:
        """Rollout and guardrail."""
        return self.rollout, self.guardrail.name


def requests(rollout: Rollout, look: Look | None, now: Instant) -> Iterator[MeasureRequest]:
    """Return one request per guardrail: from a little before its newest samples, or the whole history at first."""
    policy = rollout.policy
    oldest = now - policy.history
    for guardrail in policy.guardrails:
        newest = _newest(rollout, look, guardrail.name, now)
        since = oldest if newest is None else max(oldest, newest - 2.0 * policy.interval - LATE)
        yield MeasureRequest(
            rollout=rollout.id,
            place=rollout.place,
            guardrail=guardrail,
            labels=policy.labels,
            since=Instant(since),
            until=now,
        )


def _newest(rollout: Rollout, look: Look | None, name: str, now: Instant) -> Instant | None:
    """Return the end of the newest rows of one guardrail, of the track that lags behind; None: none are there yet.

    One that stays without rows is asked for as little as the others: its whole history every time is much to ask.
    """
    if look is None:
        return None
    at = next((at for at in look.guardrails if at.name == name), None)
    sides = () if at is None else (at.canary, at.stable, at.control)
    own = [side.last for side in sides if side is not None and side.last is not None]
    if own or now - rollout.opened_at < FIRST:
        return min(own, default=None)
    return min((last for last in (look.canary_last, look.stable_last) if last is not None), default=None)
