"""Does the canary serve the share of requests it was given? Counts of both tracks, and how long they may lag behind.

A weight that was accepted is served some seconds later; where the policy says that users stick to their track, those
who have a session stay where they are. Until the last of them is gone the share may lie anywhere between the weights
in force since: only what lies outside is a skew. What came in that time is counted apart. It orders nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.allocation import CLUSTER, LEAST_REQUESTS, skewed
from analysis.sequential.base import Floats, Ints
from guardian.core.intake import LONG_PATIENCE
from guardian.core.looks import Allocation
from guardian.core.model import Instant, Ratio, Share, Weight
from guardian.core.sheets import Sheet
from guardian.core.verdicts import Flags

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet, Opened

SETTLING: Final = 5.0
"""Seconds a router takes at most from accepting a weight to serving it; rows from before hold the old share."""
LEAST_TICKS: Final = 5
"""Ticks under one weight before its share is judged: one row more or less of a pod is then within the tolerance."""
BEHIND: Final = 1.5
"""Usual gaps between rows by which a pod's newest row may be older than another's: scrapes are spread over a gap."""
SHARES: Final[Mapping[str, tuple[int, ...]]] = {
    "share": (2,),  # requests of canary and stable since users follow the weight
    "moving": (2,),  # the same while some are where a former weight put them
    "settled": (), "moved": (),  # from when on rows count as `moving`, and as `share`
    "lowest": (), "highest": (),  # weights in force since users who are still there came
    "skewed": (),  # what was found last: 1 or 0, NaN for nothing yet
}  # fmt: skip


def begin(fleet: Fleet, number: int) -> None:
    """Say that no weight is known of a rollout."""
    state = fleet.rollouts
    state["settled"][number] = state["moved"][number] = -np.inf
    recount(fleet, number)


def recount(fleet: Fleet, number: int) -> None:
    """Count anew: a step began."""
    state = fleet.rollouts
    state["share"][number] = state["moving"][number] = 0.0
    state["skewed"][number] = np.nan


def expect(fleet: Fleet, opened: Opened, weight: Weight, now: Instant) -> None:
    """Take note of a weight that was accepted; before the first one the canary had none."""
    state, number = fleet.rollouts, opened.number
    former = opened.weight if opened.weight is not None else 0.0
    moving = now < state["moved"][number]
    before = (state["lowest"][number], state["highest"][number]) if moving else (former, former)
    state["lowest"][number], state["highest"][number] = min(weight, *before), max(weight, *before)
    opened.weight = state["weight"][number] = float(weight)
    affinity = opened.policy.affinity
    settled = now + SETTLING
    state["settled"][number] = settled
    state["moved"][number] = settled + (affinity.session if affinity is not None else 0.0)
    recount(fleet, number)


def count(fleet: Fleet, rollouts: Ints, canary: Flags, *, begin: Floats, asked: Floats) -> None:
    """Add requests of rows (n,) that begin at `begin`: to those of users who follow the weight, or may not yet."""
    state = fleet.rollouts
    side = rollouts * 2 + ~canary
    followed = begin >= state["moved"][rollouts]
    np.add.at(state["share"].reshape(-1), side, asked * followed)
    np.add.at(state["moving"].reshape(-1), side, asked * (~followed & (begin >= state["settled"][rollouts])))


def observed(fleet: Fleet, number: int) -> Share | None:
    """Share of the canary, of all that came since the weight settled."""
    seen = fleet.rollouts["share"][number] + fleet.rollouts["moving"][number]
    total = float(seen.sum())
    return Share(share=Ratio(float(seen[0]) / total), requests=total) if total else None


def allocation(fleet: Fleet, opened: Opened) -> Allocation:
    """Whether the share fits the weight; as it was found last while the rows of some pods are still to come.

    After a gap in the metrics one track's row may hold minutes of requests before the other's is there.
    """
    state, number = fleet.rollouts, opened.number
    if not opened.weight or state["share"][number].sum() + state["moving"][number].sum() < LEAST_REQUESTS:
        return Allocation.UNKNOWN
    sheet = next(one for one in opened.sheets.values() if fleet.links["first"][one.number] > 0)  # whose requests count
    front, wait = float(fleet.sheets["front"][sheet.number]), LEAST_TICKS * state["tick"][number]
    if front < state["settled"][number] + wait:
        return Allocation.UNKNOWN
    if _abreast(fleet, sheet, front):
        state["skewed"][number] = float(_skewed(fleet, opened, sheet, followed=front >= state["moved"][number] + wait))
    found = state["skewed"][number]
    if np.isnan(found):
        return Allocation.UNKNOWN
    return Allocation.SKEWED if found else Allocation.FITS


def _skewed(fleet: Fleet, opened: Opened, sheet: Sheet, *, followed: bool) -> bool:
    state, number = fleet.rollouts, opened.number
    seen = state["share" if followed else "moving"][number]
    weights = (opened.weight, opened.weight) if followed else (state["lowest"][number], state["highest"][number])
    low, high = np.array([weights], dtype=np.float64).T
    cluster = CLUSTER if sheet.users is None else max(sheet.users.largest, CLUSTER)
    return bool(skewed(seen[:1], seen.sum(keepdims=True), low, high, cluster=cluster)[0])


def _abreast(fleet: Fleet, sheet: Sheet, front: float) -> bool:
    """Whether every pod that is not gone has its row of about `front`.

    Gone: the others have had rows for long without it. Time alone does not say so, all may have been silent.
    """
    usual = float(fleet.rollouts["tick"][sheet.rollout])
    if sheet.arm >= 0:
        usual = max(usual, float(fleet.roster.contests[sheet.contest].tick(np.array([sheet.cell]))[0]))
    pods = [pod.number for pod in sheet.pods.values()]
    behind = front - fleet.pods["end"][pods] > BEHIND * usual
    gone = (fleet.sheets["ticks"][sheet.number] - fleet.pods["tick"][pods]) * usual > LONG_PATIENCE
    return not bool((behind & ~gone).any())
