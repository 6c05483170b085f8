"""What comes in from outside. A fact is true whether or not anything follows from it.

All but `Observed` and `WeightRead` are journaled with what was concluded from them. `event` is the identity that
makes a repeat harmless.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from guardian.core.looks import Observed
from guardian.core.model import (
    Change,
    Driver,
    EffectId,
    EventRef,
    Instant,
    Place,
    Ready,
    Revision,
    RolloutId,
    Share,
    Weight,
)
from guardian.core.policy import Policy


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Something that happened outside."""


class DeployRequested(_Fact, frozen=True, kw_only=True):
    """A revision is to go out. `driver` GUARDIAN: we carry it out; OTHER: somebody else has started it."""

    event: EventRef
    time: Instant
    place: Place
    revision: Revision
    driver: Driver = Driver.GUARDIAN
    previous: Revision | None = None
    change: Change = Change.IMAGE
    policy: str | None = None
    retry: bool = False
    irreversible: bool = False
    depends_on: tuple[str, ...] = ()
    commit: str = ""
    author: str = ""
    url: str = ""
    extra: dict[str, Any] = {}


class DeployEnd(StrEnum):
    """How a deploy was reported to have gone on, by whoever drives it."""

    FINISHED = "finished"
    CANCELLED = "cancelled"
    APPROVED = "approved"


class DeployReported(_Fact, frozen=True, kw_only=True):
    """Somebody else finished, cancelled or approved a deploy; `revision` None means whatever runs there."""

    event: EventRef
    time: Instant
    place: Place
    end: DeployEnd
    revision: Revision | None = None
    author: str = ""


class AlertSeen(_Fact, frozen=True, kw_only=True):
    """One alert of a webhook, judged by its own status. `event` is fingerprint + start + status."""

    event: EventRef
    firing: bool
    starts_at: Instant
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    ends_at: Instant | None = None


class Order(StrEnum):
    """What a person may order of a rollout."""

    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    REJECT = "reject"
    ABORT = "abort"
    ROLLBACK = "rollback"
    AMEND = "amend"


class Ordered(_Fact, frozen=True, kw_only=True):
    """A person gave an order; `policy` is the tightened policy of an amend."""

    event: EventRef
    rollout: RolloutId
    order: Order
    reason: str
    who: str
    policy: Policy | None = None


class EffectDone(_Fact, frozen=True, kw_only=True):
    """An effect was carried out, or found to be in place already."""

    rollout: RolloutId
    effect: EffectId
    accepted: Weight | None = None
    stable: Revision | None = None


class EffectFailed(_Fact, frozen=True, kw_only=True):
    """An effect was not carried out; `again` says whether trying again may help."""

    rollout: RolloutId
    effect: EffectId
    reason: str
    again: bool = True


class WeightRead(_Fact, frozen=True, kw_only=True):
    """What router and workload said when asked: its weight, what was served, who can serve (None: it cannot tell).

    asked: when the question was sent; an answer to a question from before a weight was set says nothing about it.
    bare_since: since when no pod of the canary has been ready, filled in by the engine.
    """

    rollout: RolloutId
    asked: Instant
    accepted: Weight
    observed: Share | None = None
    ready: Ready | None = None
    bare_since: Instant | None = None


class Woke(_Fact, frozen=True, kw_only=True):
    """Time passed: deadlines are looked at."""


Fact = DeployRequested | DeployReported | AlertSeen | Ordered | EffectDone | EffectFailed | WeightRead | Woke | Observed
Journaled = DeployRequested | DeployReported | AlertSeen | Ordered | EffectDone | EffectFailed
