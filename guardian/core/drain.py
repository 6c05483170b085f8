"""After a rollback: whether the canary still gets requests when it should have drained."""

from __future__ import annotations

from guardian.core.draft import Draft
from guardian.core.looks import Look
from guardian.core.model import Instant, Phase
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration

WENT_BACK = frozenset({Phase.ROLLED_BACK, Phase.ABORTED})


def watch_until(rollout: Rollout) -> Instant | None:
    """Return until when the canary is watched for requests it should not get; None where there is nothing to watch."""
    if rollout.phase not in WENT_BACK or rollout.ended_at is None or rollout.cause is None:
        return None
    return Instant(rollout.ended_at + rollout.policy.drain + 3.0 * rollout.policy.interval)


def drained(rollout: Rollout, look: Look | None, now: Instant) -> Draft:
    """Return a page when requests were seen on the canary after `drain`; nothing otherwise."""
    draft = Draft(rollout, now)
    ended = rollout.ended_at
    if look is None or ended is None:
        return draft
    seen = [at.canary.seen for at in look.guardrails if at.canary.seen is not None]
    late = max(seen, default=ended) - ended - rollout.policy.drain
    if late > rollout.policy.interval:  # a row covers the interval before its time
        text = (
            f"the canary still gets requests {duration(rollout.policy.drain + late)} after its weight was 0: "
            "long-lived connections or another router; cut them"
        )
        draft.page("drain", text)
    return draft
