"""What a person was called for, as a pager keeps it: opened by one decision event, over by a later one.

An incident has a key that is unique within its rollout: that of the page, or the event's name. Sends nothing.
"""

from __future__ import annotations

from typing import Final

from guardian.core import records as r
from guardian.core.events import NAMES
from guardian.core.rollout import Rollout

AWAITING: Final = NAMES[r.Awaiting]
_GOES_ON: Final = (r.Resumed, r.Unpaused, r.Advanced, r.Promoted)
OVERDUE: Final = "overdue-"
"""Begins the key of a page about an effect; what follows is the effect's id."""
ADVISED: Final = "-advised"
"""Ends the key of a page about a rollback that a person is to approve."""


def over(record: r.OfRollout, after: Rollout) -> tuple[str, ...]:
    """Return the keys of incidents that are over by this record, opened or not; `after`: the rollout right after it.

    The end is the end of all of them but effects that are still tried. Before it, a plan that goes on, held by nothing,
    is the end of whatever held it.
    """
    if not (isinstance(record, r.Ended) or (isinstance(record, _GOES_ON) and after.held is None)):
        return ()
    keys = (*after.paged, AWAITING)
    return tuple(key for key in dict.fromkeys(keys) if not _lasts(key, after))


def _lasts(key: str, after: Rollout) -> bool:
    if key.startswith(OVERDUE):
        return any(pending.effect.id == key.removeprefix(OVERDUE) for pending in after.effects)
    return after.awaiting is not None and (key == AWAITING or key.endswith(ADVISED))
