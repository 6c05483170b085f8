"""One rollout's state, as the fold of its records. No behaviour: phases.py changes it, gates and decide read it."""

from __future__ import annotations

import msgspec

from guardian.core import records as r
from guardian.core.effects import Effect
from guardian.core.model import (
    Change,
    Driver,
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
from guardian.core.policy import Policy, full
from guardian.core.strategies import Step


class PendingEffect(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was ordered and has not ended. next_at: not to be tried before."""

    effect: Effect
    since: Instant
    deadline: Instant | None = None
    attempts: int = 0
    next_at: Instant = Instant(0.0)


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a person; why, outcome: of a proposed rollback."""

    proposal: r.Proposal
    step: int
    since: Instant
    expires: Instant | None
    reason: str
    why: r.Why | None = None
    outcome: Phase = Phase.ROLLED_BACK


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to bring one revision of one service to all traffic, as its records tell it.

    step: 0-based; -1 before the first weight. step_ordered, step_began: when its weight was ordered, and
    reached (None until then). canary_since: when the first weight was reached. accepted: last weight known to be
    accepted. waited: seconds of this step that do not count towards its limit (approval missing, paused).
    goal: revision a rollback leads to. before_pause: phase to return to. paged: keys of pages already sent.
    alerts: firing alerts that touch the rollout, by key. ordered: how many effects were ordered so far.
    checked: preflight passed. canary_ordered, canary_ready: bringing the canary up was ordered, and was done.
    corrected, corrected_at: how often, and when last, its weight was set to 0 again after it had gone back.
    cause: what ordered the rollback. steps: the plan in force.
    depends_on: services its event named. blamed: rollouts held to be the cause of its trouble, and since when.
    ended_why: what brought about its end.
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
    canary_since: Instant | None = None
    waived: int = -1
    approved: tuple[tuple[r.Proposal, int], ...] = ()
    waited: Seconds = Seconds(0.0)
    paused_at: Instant | None = None
    desired: Weight = Weight(0.0)
    accepted: Weight | None = None
    stable: Revision | None = None
    held: r.Held | None = None
    awaiting: Pending | None = None
    paged: tuple[str, ...] = ()
    alerts: dict[str, str] = {}
    effects: tuple[PendingEffect, ...] = ()
    ordered: int = 0
    checked: bool = False
    canary_ordered: bool = False
    canary_ready: bool = False
    corrected: int = 0
    corrected_at: Instant | None = None
    verdict: Verdict | None = None
    evidence: r.Evidence | None = None
    cause: r.RollbackOrdered | None = None
    started_at: Instant | None = None
    promoted_at: Instant | None = None
    ended_at: Instant | None = None
    end_reason: str = ""
    depends_on: tuple[str, ...] = ()
    blamed: dict[str, Instant] = {}
    ended_why: r.Why | None = None

    @property
    def settled(self) -> bool:
        """Whether it is over and nothing is left to be done outside: the place is free."""
        return self.phase.terminal and not self.effects

    @property
    def moves_traffic(self) -> bool:
        """Whether the guardian itself sets the weights of this rollout."""
        return self.policy.moves_traffic

    @property
    def current(self) -> Step | None:
        """The step the plan is at; None before the first weight."""
        return self.steps[self.step] if 0 <= self.step < len(self.steps) else None

    @property
    def following(self) -> Step | None:
        """The step after the present one; None at the end of the plan."""
        return self.steps[self.step + 1] if self.step + 1 < len(self.steps) else None

    @property
    def switched_at(self) -> Instant | None:
        """When it was given all traffic: ordered by us, or found done; None before."""
        return self.step_ordered if self.step >= 0 and full(self.desired) else self.promoted_at

    @property
    def previews(self) -> bool:
        """Whether its step runs the new revision without users."""
        return self.current is not None and self.current.weight == 0.0

    @property
    def had_traffic(self) -> bool:
        """Whether a weight above 0 was ever ordered, so that going back means setting one."""
        return self.step >= 0 and not self.previews
