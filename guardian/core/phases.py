"""A rollout's state, and the table of what each record does to its phase. State is the fold of records.

The table is the specification: whoever changes behaviour changes the table. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from guardian.core import records as r
from guardian.core.effects import Effect, SetWeight
from guardian.core.model import (
    Change,
    Digest,
    Driver,
    EffectId,
    EventRef,
    Instant,
    Phase,
    Place,
    Revision,
    RolloutId,
    Seconds,
    Verdict,
    Weight,
)
from guardian.core.policy import Policy
from guardian.core.strategies import Step
from guardian.errors import IllegalTransition


class PendingEffect(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was ordered and has not ended."""

    effect: Effect
    since: Instant
    deadline: Instant | None = None
    attempts: int = 0
    next_at: Instant = Instant(0.0)


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a person."""

    proposal: r.Proposal
    step: int
    since: Instant
    expires: Instant | None
    reason: str


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to bring one revision of one service to all traffic, as its records tell it.

    step: 0-based; -1 before the first weight. step_began: when the step's weight was reached, None until then.
    accepted: last weight known to be accepted. waited: seconds of this step in which only an approval was missing.
    goal: revision a rollback leads to. before_pause: phase to return to. paged: keys of pages already sent.
    alerts: firing alerts that touch the rollout. cause: what ordered the rollback. steps: the plan in force.
    """

    id: RolloutId
    place: Place
    revision: Revision
    previous: Revision | None
    goal: Revision | None
    change: Change
    driver: Driver
    irreversible: bool
    event: EventRef
    event_time: Instant
    author: str
    url: str
    policy: Policy
    steps: tuple[Step, ...]
    opened_at: Instant
    phase: Phase = Phase.QUEUED
    before_pause: Phase | None = None
    sequence: int = 0
    step: int = -1
    step_ordered: Instant | None = None
    step_began: Instant | None = None
    waived: int = -1
    approved: tuple[tuple[r.Proposal, int], ...] = ()
    waited: Seconds = Seconds(0.0)
    desired: Weight = Weight(0.0)
    accepted: Weight | None = None
    stable: Revision | None = None
    held: r.Held | None = None
    awaiting: Pending | None = None
    paged: tuple[str, ...] = ()
    alerts: tuple[tuple[str, str], ...] = ()
    effects: tuple[PendingEffect, ...] = ()
    verdict: Verdict | None = None
    evidence: r.Evidence | None = None
    cause: r.RollbackOrdered | None = None
    started_at: Instant | None = None
    promoted_at: Instant | None = None
    ended_at: Instant | None = None
    last: tuple[str, ...] = ()
