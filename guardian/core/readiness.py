"""Whether the canary can serve at all: with no pod ready its users get nothing, and no metric of it says so.

Rests on what the workload says at each look, not on metrics: a canary that crashes has no errors.
"""

from __future__ import annotations

from typing import Final

from guardian.core import records as r
from guardian.core.facts import WeightRead
from guardian.core.holds import Waiting
from guardian.core.model import Instant, Seconds
from guardian.core.rollout import Rollout
from guardian.core.sentences import duration

PAGE: Final = "unready"
UNSEEN: Final = 30.0
UNSEEN_LOOKS: Final = 3.0
"""Seconds, or intervals if that is longer, between two readings after which nobody knows what was in between."""


def bare_since(reading: WeightRead, before: WeightRead | None, interval: Seconds) -> Instant | None:
    """Return since when no pod of the canary is known to be ready; None where one is, or nobody can tell.

    before: the reading before this one; interval: seconds between two, where every question is answered.
    """
    if reading.ready is None or reading.ready.canary > 0:
        return None
    if before is None or before.bare_since is None:
        return reading.asked
    unseen = reading.asked - before.asked > max(UNSEEN, UNSEEN_LOOKS * interval)
    return reading.asked if unseen else before.bare_since


def unready(rollout: Rollout, reading: WeightRead | None) -> str | None:
    """Say that the canary has been without a ready pod for as long as the policy bears, and that stable has some."""
    bare = _bare(reading)
    if reading is None or bare is None or not _stable_serves(reading) or bare < rollout.policy.unready:
        return None
    return (
        f"{rollout.place.service} {rollout.revision}: no pod of the canary has been ready for {duration(bare)}, "
        f"{_stable(reading)} of stable can serve; its users get no answer, and metrics do not show it. See the events "
        "and logs of the canary's pods"
    )


def without_pods(rollout: Rollout, reading: WeightRead | None) -> Waiting | None:
    """Return the reason to hold while no pod of the canary is ready."""
    bare = _bare(reading)
    if reading is None or bare is None:
        return None
    what = f"no pod of the canary has been ready for {duration(bare)}" if bare else "no pod of the canary is ready"
    if _stable_serves(reading):
        limit = duration(rollout.policy.unready)
        return Waiting(hold=r.Hold.UNREADY, text=f"{what}; after {limit} the rollout goes back")
    text = f"{what}, and none of stable is: not this rollout's doing, and going back would help nobody"
    return Waiting(hold=r.Hold.UNREADY, text=text, page=PAGE if bare >= rollout.policy.unready else None)


def _bare(reading: WeightRead | None) -> float | None:
    """Return for how long the canary has had no ready pod, as far as was seen."""
    return None if reading is None or reading.bare_since is None else reading.asked - reading.bare_since


def _stable(reading: WeightRead) -> int:
    return 0 if reading.ready is None else reading.ready.stable


def _stable_serves(reading: WeightRead) -> bool:
    return _stable(reading) > 0
