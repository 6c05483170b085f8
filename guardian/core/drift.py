"""The router's weight is not the one that was accepted: somebody else or a reload changed it.

While a rollout runs it is set again, or in mode advise proposed to be. After a rollback see drain.py.
"""

from __future__ import annotations

from typing import Final

from guardian.core import records as r
from guardian.core.draft import Draft
from guardian.core.facts import WeightRead
from guardian.core.gates import WEIGHT_TOLERANCE
from guardian.core.holds import Waiting
from guardian.core.model import Mode
from guardian.core.sentences import share

DISMISSED_RESTORE: Final = "dismissed-restore"
"""What a person's no to setting the weight again is remembered by: it is not proposed again."""


def drifted(draft: Draft, reading: WeightRead | None) -> Waiting | None:
    """Set a weight that drifted again; in mode advise propose it, and return the reason to hold while it lasts."""
    rollout = draft.rollout
    if reading is None or not rollout.moves_traffic or rollout.effects or rollout.accepted is None:
        return None
    if abs(reading.accepted - rollout.accepted) <= WEIGHT_TOLERANCE:
        _withdraw(draft)
        return None
    what = (
        f"the router's weight is {share(reading.accepted)} where {share(rollout.desired)} had been accepted: "
        "somebody else or a reload changed it"
    )
    if rollout.policy.mode is not Mode.ADVISE:
        draft.page("drift", f"{what}; it is set again")
        draft.set_weight(rollout.desired)
        return None
    text = f"{what}; mode advise: approve, and it is set again, or set it by hand"
    draft.page("drift", text)
    if rollout.awaiting is None and DISMISSED_RESTORE not in rollout.paged:
        asked = r.Awaiting(
            rollout=rollout.id, at=draft.now, proposal=r.Proposal.RESTORE, step=max(rollout.step, 0), reason=text
        )
        draft.add(asked)
    return Waiting(hold=r.Hold.WEIGHT, text=what)


def _withdraw(draft: Draft) -> None:
    """The weight is back: nobody needs to agree to that."""
    rollout, text = draft.rollout, "the router's weight is what was accepted again"
    if rollout.awaiting is not None and rollout.awaiting.proposal is r.Proposal.RESTORE:
        draft.add(r.Withdrawn(rollout=rollout.id, at=draft.now, proposal=r.Proposal.RESTORE, reason=text))
    if rollout.policy.mode is Mode.ADVISE and rollout.held is not None and rollout.held.hold is r.Hold.WEIGHT:
        draft.resume(text)
