"""The nouns of a rollout: places, tracks, phases, revisions. No behaviour beyond naming itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NewType

import msgspec

Instant = NewType("Instant", float)
"""Unix seconds, UTC."""
Seconds = NewType("Seconds", float)
Weight = NewType("Weight", float)
"""Share of traffic meant for the canary, 0..1."""
Ratio = NewType("Ratio", float)
"""A share, 0..1."""
RolloutId = NewType("RolloutId", str)
Revision = NewType("Revision", str)
EffectId = NewType("EffectId", str)
Digest = NewType("Digest", str)
"""First 16 hex digits of a SHA-256."""


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every immutable value of the core; JSON leaves out what has its default."""


class Track(StrEnum):
    """Who receives traffic: the old revision, the new one, and the old one again on pods as young as the new one's."""

    STABLE = "stable"
    CANARY = "canary"
    CONTROL = "control"

    @property
    def code(self) -> int:
        """Its number in arrays."""
        return TRACKS.index(self)


TRACKS: Final = (Track.CANARY, Track.STABLE, Track.CONTROL)
"""In the order of their codes."""


class Phase(StrEnum):
    """Where a rollout stands; the last six are terminal."""

    QUEUED = "queued"
    PREFLIGHT = "preflight"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    ROLLING_BACK = "rolling-back"
    BAKING = "baking"
    VERIFIED = "verified"
    ROLLED_BACK = "rolled-back"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will be decided."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {Phase.VERIFIED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED, Phase.REJECTED, Phase.FAILED}
)


class Mode(StrEnum):
    """What the guardian may write: everything, nothing, or only after a person's approval."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    ADVISE = "advise"


class Change(StrEnum):
    """What kind of change a rollout brings."""

    IMAGE = "image"
    CONFIG = "config"
    FLAG = "flag"


class Driver(StrEnum):
    """Who carries the rollout out: the guardian, or somebody else who only told it."""

    GUARDIAN = "guardian"
    OTHER = "other"


class Finding(StrEnum):
    """What one guardrail says at one look."""

    CONTINUE = "continue"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What the evidence says of a rollout."""

    ROLLBACK = "rollback"
    PROMOTE = "promote"
    HOLD = "hold"
    INCONCLUSIVE = "inconclusive"


class Place(Value, frozen=True, order=True, kw_only=True):
    """Where a rollout happens; at most one rollout moves a place at a time."""

    service: str
    environment: str
    region: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.environment, self.region, self.service) if part)


class EventRef(Value, frozen=True, kw_only=True):
    """Identity of an event from outside: CloudEvents (source, id). The same one again has no effect."""

    source: str
    id: str


class Ready(Value, frozen=True, kw_only=True):
    """How many pods of each track can serve."""

    canary: int
    stable: int


class Share(Value, frozen=True, kw_only=True):
    """Share of requests the canary was seen to serve, with the number of requests it rests on."""

    share: Ratio
    requests: float
