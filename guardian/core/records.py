"""What was concluded: the content of the journal. `evolve` applies records without judging again.

A record with `sequence` > 0 is also a decision event out (CONTRACTS section 3); its number is per rollout, from 1,
without gaps. Records are only ever added to; a field once journaled keeps its meaning.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from guardian.core.effects import Effect
from guardian.core.facts import AlertSeen, DeployRequested
from guardian.core.looks import Counted
from guardian.core.model import (
    Digest,
    EffectId,
    Instant,
    Phase,
    Place,
    Ratio,
    Revision,
    RolloutId,
    Seconds,
    Verdict,
    Weight,
)
from guardian.core.policy import Policy

VERSION = 1
"""Version of the journal's content; a reader refuses a newer one."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """One conclusion."""

    at: Instant


class _OfRollout(_Record, frozen=True, kw_only=True):
    """A conclusion about one rollout. `sequence` > 0: it is published."""

    rollout: RolloutId
    sequence: int = 0
    reason: str = ""


class SideNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One track in an evidence note, as a look tells it (looks.Side)."""

    requests: float
    bad: float = 0.0
    level: float | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a verdict rested on. harm, safe: e-values (or calibrated scores), finite and >= 0.

    lasted: seconds since the canary's first traffic. calibrated: whether pod differences were measured. counted: what
    the requests of all sides are. control: what the canary was compared with, None where that was stable. controls: how
    many pods of control.
    """

    guardrail: str
    harm: float
    safe: float
    canary: SideNote
    stable: SideNote
    lasted: Seconds
    calibrated: bool
    moved: Ratio | None = None
    counted: Counted = Counted.REQUESTS
    control: SideNote | None = None
    controls: int = 0

    @property
    def baseline(self) -> SideNote:
        """What the canary was compared with."""
        return self.stable if self.control is None else self.control


class Why(StrEnum):
    """Who or what ordered a rollback."""

    GUARDRAIL = "guardrail"
    OBJECTIVE = "objective"
    ALERT = "alert"
    PERSON = "person"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    UNDECIDED = "undecided"
    PREFLIGHT = "preflight"
    READINESS = "readiness"


class Hold(StrEnum):
    """Why the engine waits, most pressing first."""

    IRREVERSIBLE = "irreversible"
    ATTRIBUTION = "attribution"
    ONE_POD = "one-pod"
    SHARED_INCIDENT = "shared-incident"
    UNREADY = "unready"
    FIRST_RELEASE_FAILS = "first-release-fails"
    ALERT = "alert"
    OWN_PAST = "own-past"
    ALLOCATION = "allocation"
    NO_DATA = "no-data"
    WARNING = "warning"
    WEIGHT = "weight"
    UNDECIDED = "undecided"


class Proposal(StrEnum):
    """What waits for a person's approval."""

    GATE = "gate"
    START = "start"
    ADVANCE = "advance"
    ROLLBACK = "rollback"
    RESTORE = "restore"


class PolicyAdopted(_Record, frozen=True, kw_only=True):
    """A policy in full, journaled once before the first rollout that is judged by it."""

    digest: Digest
    policy: Policy


class Opened(_OfRollout, frozen=True, kw_only=True):
    """A rollout exists. `verified` is the automatic goal of a rollback: the revision last verified at this place."""

    request: DeployRequested
    policy: Digest
    verified: Revision | None = None


class Started(_OfRollout, frozen=True, kw_only=True):
    """The place is free: preflight runs."""


class PreflightPassed(_OfRollout, frozen=True, kw_only=True):
    """All is in place; `stable` is what runs now (None: the platform cannot tell, or nothing does)."""

    stable: Revision | None = None


class Advanced(_OfRollout, frozen=True, kw_only=True):
    """The plan goes to this step; its weight has been ordered."""

    step: int
    weight: Weight
    evidence: Evidence | None = None
    verdict: Verdict | None = None


class StepBegan(_OfRollout, frozen=True, kw_only=True):
    """The step's weight is reached: accepted, and not contradicted by what was observed."""

    step: int
    accepted: Weight
    observed: float | None = None


class Held(_OfRollout, frozen=True, kw_only=True):
    """The engine waits. cause: the rollout that is probably to blame, "" where none is."""

    hold: Hold
    guardrail: str = ""
    cause: str = ""


class Resumed(_OfRollout, frozen=True, kw_only=True):
    """What the engine waited for has come."""


class Paused(_OfRollout, frozen=True, kw_only=True):
    """A person stopped the plan; guardrails go on watching."""

    who: str


class Unpaused(_OfRollout, frozen=True, kw_only=True):
    """A person let the plan go on."""

    who: str


class Awaiting(_OfRollout, frozen=True, kw_only=True):
    """A person must agree until `expires`.

    why, outcome: of a proposed rollback, what orders it and the phase it will end in.
    """

    proposal: Proposal
    step: int
    expires: Instant | None = None
    why: Why | None = None
    outcome: Phase = Phase.ROLLED_BACK


class Approved(_OfRollout, frozen=True, kw_only=True):
    """A person agreed."""

    who: str
    proposal: Proposal
    step: int


class Dismissed(_OfRollout, frozen=True, kw_only=True):
    """A person turned a proposal down; `key` keeps it from being made again, "" where it may be."""

    who: str
    key: str = "dismissed"


class Withdrawn(_OfRollout, frozen=True, kw_only=True):
    """What a person was asked for is not needed any more."""

    proposal: Proposal


class StepWaived(_OfRollout, frozen=True, kw_only=True):
    """A person passes this step without bake time, sample and verdict."""

    who: str
    step: int


class Paged(_OfRollout, frozen=True, kw_only=True):
    """A person is called; `key` makes it once per rollout and cause. cause: the rollout that is probably to blame."""

    key: str
    guardrail: str = ""
    cause: str = ""


class AlertLinked(_OfRollout, frozen=True, kw_only=True):
    """An alert touches the rollout: it holds while `firing`."""

    alert: str
    name: str
    firing: bool


class Judged(_OfRollout, frozen=True, kw_only=True):
    """The verdict of the evidence changed. `digest` is that of the evidence checkpoint it was read from."""

    verdict: Verdict
    evidence: Evidence | None = None
    digest: str = ""


class RollbackOrdered(_OfRollout, frozen=True, kw_only=True):
    """All traffic goes back to the verified revision; `outcome` is the phase it will end in."""

    why: Why
    outcome: Phase
    guardrail: str = ""
    who: str = ""
    evidence: Evidence | None = None


class Promoted(_OfRollout, frozen=True, kw_only=True):
    """100 % reached and all gates passed; the bake begins."""

    evidence: Evidence | None = None


class Ended(_OfRollout, frozen=True, kw_only=True):
    """The rollout reached this terminal phase."""

    phase: Phase
    why: Why | None = None
    guardrail: str = ""


class Amended(_OfRollout, frozen=True, kw_only=True):
    """The rollout is judged by a tightened policy from here on."""

    who: str
    policy: Digest


class EffectOrdered(_OfRollout, frozen=True, kw_only=True):
    """Something is to be done outside, not before `not_before`; not done by `deadline`, a person is paged."""

    effect: Effect
    not_before: Instant = Instant(0.0)
    deadline: Instant | None = None


class EffectDelayed(_OfRollout, frozen=True, kw_only=True):
    """An attempt failed; the next comes at `next_at`."""

    effect: EffectId
    attempts: int
    next_at: Instant


class EffectEnded(_OfRollout, frozen=True, kw_only=True):
    """The effect is done, or is not wanted any more."""

    effect: EffectId
    done: bool


class AlertStood(_Record, frozen=True, kw_only=True):
    """An alert about a service with a policy fires, or no longer does: it holds rollouts that start meanwhile."""

    alert: AlertSeen
    key: str


class Noted(_Record, frozen=True, kw_only=True):
    """A fact from which nothing follows, and why: an unrelated alert, an event too old."""

    reason: str
    place: Place | None = None
    rollout: RolloutId | None = None


Record = (
    PolicyAdopted | Opened | Started | PreflightPassed | Advanced | StepBegan | Held | Resumed | Paused | Unpaused
    | Awaiting | Approved | Dismissed | Withdrawn | StepWaived | Paged | AlertLinked | Judged | RollbackOrdered
    | Promoted | Ended | Amended | EffectOrdered | EffectDelayed | EffectEnded | AlertStood | Noted
)  # fmt: skip
OfRollout = (
    Opened | Started | PreflightPassed | Advanced | StepBegan | Held | Resumed | Paused | Unpaused | Awaiting
    | Approved | Dismissed | Withdrawn | StepWaived | Paged | AlertLinked | Judged | RollbackOrdered | Promoted | Ended
    | Amended | EffectOrdered | EffectDelayed | EffectEnded
)  # fmt: skip
