"""After a rollback: whether the canary stays without traffic. Its weight may come back, or requests may go on.

A write of an older order can land after the 0, held up in a proxy or an API server; a reload can bring an old weight
back. While the next rollout runs, drift.py keeps its weight.
"""

from __future__ import annotations

from typing import Final

from guardian.core.draft import Draft
from guardian.core.effects import SetWeight
from guardian.core.facts import WeightRead
from guardian.core.gates import WEIGHT_TOLERANCE
from guardian.core.looks import Look
from guardian.core.model import Instant, Mode, Phase, Weight
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration, share

WENT_BACK = frozenset({Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED})
DISMISSED_CORRECTION: Final = "dismissed-correction"
"""What a person's no to setting the weight to 0 again is remembered by: it is not ordered again."""
CORRECTIONS: Final = 5
"""Times a weight that came back is set to 0 again; whoever sets it a sixth time means it, and a person must talk."""


def watch_until(rollout: Rollout) -> Instant | None:
    """Return until when the canary is watched for traffic it should not get; None where there is nothing to watch."""
    if rollout.phase not in WENT_BACK or rollout.ended_at is None or rollout.cause is None:
        return None
    return Instant(_since(rollout, rollout.ended_at) + rollout.policy.drain + 3.0 * rollout.policy.interval)


def _since(rollout: Rollout, ended: Instant) -> Instant:
    return rollout.corrected_at if rollout.corrected_at is not None else ended


def drained(rollout: Rollout, look: Look | None, reading: WeightRead | None, now: Instant) -> Draft:
    """Return what follows when the canary has weight, or requests after `drain`, although it went back."""
    draft = Draft(rollout, now)
    if rollout.ended_at is None or watch_until(rollout) is None:
        return draft
    _correct(draft, reading)
    if look is not None:
        _late_requests(draft, look, _since(rollout, rollout.ended_at))
    return draft


def correcting(rollout: Rollout) -> bool:
    """Whether a weight that came back after the rollback is still to be set to 0."""
    return rollout.phase in WENT_BACK and any(isinstance(pending.effect, SetWeight) for pending in rollout.effects)


def _correct(draft: Draft, reading: WeightRead | None) -> None:
    rollout = draft.rollout
    if reading is None or reading.accepted <= WEIGHT_TOLERANCE or not rollout.moves_traffic:
        return
    if DISMISSED_CORRECTION in rollout.paged or correcting(rollout):
        return
    what = (
        f"the router sends {share(reading.accepted)} to the canary again after its weight was 0: a write that landed "
        "late, a reload or somebody else"
    )
    if rollout.policy.mode is not Mode.ENFORCE:
        draft.page("after-rollback", f"{what}; mode {rollout.policy.mode} does not write, set it to 0 by hand")
    elif rollout.corrected < CORRECTIONS:
        draft.page("after-rollback", f"{what}; it is set to 0 again")
        draft.set_weight(Weight(0.0))
    else:
        text = f"{what}; it was set to 0 again {rollout.corrected} times, which ends here: find out who sets it"
        draft.page("after-rollback-again", text)


def _late_requests(draft: Draft, look: Look, since: Instant) -> None:
    rollout = draft.rollout
    seen = [at.canary.seen for at in look.guardrails if at.canary.seen is not None]
    late = max(seen, default=since) - since - rollout.policy.drain
    if late > rollout.policy.interval:  # a row covers the interval before its time
        text = (
            f"the canary still gets requests {duration(rollout.policy.drain + late)} after its weight was 0: "
            "long-lived connections or another router; cut them"
        )
        draft.page("drain", text)
