"""What the guardian needs from outside, in the core's terms. Each docstring is the promise its contract tests check.

Every call may raise guardian.errors.Unavailable (try again), Refused (it will say no again) or Conflict (changed under
us). Adapters do not retry and do not decide; the core's deadlines do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from guardian.core.facts import Fact
from guardian.core.looks import Floats, Ints, SeriesKey
from guardian.core.model import Instant, Place, Revision, RolloutId, Share, Weight
from guardian.core.policy import Guardrail, Labels


class Clock(Protocol):
    """Time as the daemon reads it; a sped-up one makes the same daemon run a day in minutes."""

    def now(self) -> Instant: ...
    async def sleep_until(self, at: Instant) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a router or workload acts on: a place, and the names its adapter reads from policy and guardian.yaml."""

    place: Place
    options: dict[str, object]


class Router(Protocol):
    """Moves traffic between tracks. Calls are absolute and idempotent: repeating one changes nothing."""

    async def set_weight(self, target: Target, weight: Weight) -> None: ...
    async def accepted_weight(self, target: Target) -> Weight:
        """Return the configuration read back."""
        ...

    async def observed_share(self, target: Target) -> Share | None:
        """Return the share of requests served by the canary since the last set_weight; None: it cannot tell."""
        ...


class Workload(Protocol):
    """Changes revisions and replicas. Calls are absolute and idempotent and return when the pods are ready."""

    async def start_canary(self, target: Target, revision: Revision) -> None: ...
    async def make_stable(self, target: Target, revision: Revision) -> None: ...
    async def stop_canary(self, target: Target) -> None: ...


class Inspection(Protocol):
    """The reading half of a workload, and what preflight asks."""

    async def stable_revision(self, target: Target) -> Revision | None:
        """Return what stable runs; None when nothing does."""
        ...

    async def check(self, target: Target, revision: Revision) -> None:
        """Raise Refused with the remedy when a rollout of this revision could not work here."""
        ...


class Probe(Protocol):
    """Asks once whether something answers as it should; raises Refused with what it got when not."""

    async def probe(self, target: Target, revision: Revision) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """Samples wanted of one guardrail of one rollout, after `since` (sample time, exclusive)."""

    rollout: RolloutId
    place: Place
    guardrail: Guardrail
    labels: Labels
    since: Instant
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples: `keys[key[i]]` says which series sample i is of. problems: what made the answer incomplete."""

    keys: Sequence[SeriesKey]
    key: Ints
    time: Floats
    value: Floats
    problems: tuple[str, ...] = ()


class MetricSource(Protocol):
    """Measures. Returns raw cumulative samples with their own times, never a rate; overlaps are welcome."""

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message from a broker: bytes as they came, and where they stood, for errors and dead letters."""

    body: bytes
    headers: tuple[tuple[str, bytes], ...]
    topic: str
    partition: int
    offset: int


class EventSource(Protocol):
    """Gives messages; `done` is called only after the journal holds what followed from them."""

    def messages(self) -> AsyncIterator[Sequence[Received]]: ...
    async def done(self, received: Sequence[Received]) -> None: ...
    async def dead_letter(self, received: Received, reason: str) -> None: ...


class EventSink(Protocol):
    """Takes decision events, in order; returns when they are as durable as the sink can make them."""

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Send (key, CloudEvents JSON) pairs."""
        ...


class Notifier(Protocol):
    """Tells a person. `dedup` is the same for repeats of one page."""

    async def notify(self, *, dedup: str, summary: str, body: str) -> None: ...


class Inbox(Protocol):
    """Where facts wait for the engine. `put` returns when the journal holds the fact, and says if it was new."""

    async def put(self, facts: Sequence[Fact]) -> bool: ...
