"""What the guardian needs from outside, in the core's terms; docstrings are what contract tests check.

Every call may raise guardian.errors.Unavailable (try again), Refused (it will say no again) or Conflict
(changed under us). Adapters do not retry and do not decide; the core's deadlines do.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from guardian.core.facts import Fact
from guardian.core.looks import Floats, Ints, SeriesKey
from guardian.core.measures import MeasureRequest
from guardian.core.model import EventRef, Instant, Place, Revision, RolloutId, Share, Track, Weight
from guardian.core.policy import Policy
from guardian.core.pretend import Shape, Window
from guardian.core.tape import Part
from guardian.errors import CommandError, JournalError


class Clock(Protocol):
    """Time as the daemon reads it; a sped-up one makes the same daemon run a day in minutes."""

    def now(self) -> Instant: ...
    async def sleep_until(self, at: Instant) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a router or workload acts on: a place, and the names its adapter reads from the policy."""

    place: Place
    options: dict[str, object]


class Router(Protocol):
    """Moves traffic between tracks. Calls are absolute and idempotent: repeating one changes nothing."""

    async def set_weight(self, target: Target, weight: Weight) -> None: ...
    async def accepted_weight(self, target: Target) -> Weight:
        """Return the configuration read back."""
        ...

    async def observed_share(self, target: Target) -> Share | None:
        """Return the canary's share of requests since the last set_weight; None: it cannot tell."""
        ...


class Workload(Protocol):
    """Changes revisions and replicas. Calls are absolute and idempotent; they return when pods are ready."""

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


class Readiness(Protocol):
    """What a workload says, at every look, of the pods that it runs; one that cannot tell leaves it out."""

    async def ready(self, target: Target, track: Track) -> int:
        """Return how many pods of stable, or of the canary, can serve; 0 where nothing runs."""
        ...


class Probe(Protocol):
    """Asks once whether something answers as it should; raises Refused with what it got when not."""

    async def probe(self, target: Target, revision: Revision) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples: `keys[key[i]]` is the series of sample i. problems: what made the answer incomplete.

    unanswered: rollouts and guardrails of which a part could not be had. Nothing of them is among the samples: all
    requests without the bad ones would pass for no errors.
    """

    keys: Sequence[SeriesKey]
    key: Ints
    time: Floats
    value: Floats
    problems: tuple[str, ...] = ()
    unanswered: frozenset[tuple[RolloutId, str]] = frozenset()


class MetricSource(Protocol):
    """Measures. Returns raw cumulative samples with their own times, never a rate; overlaps are welcome."""

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples: ...


class PastSource(Protocol):
    """Reads what stable did in the past."""

    async def window(
        self, place: Place, policy: Policy, *, start: Instant, shape: Shape, pods: dict[str, int]
    ) -> Window:
        """Return stable's rows from `shape.history` before `start` to `shape.length` after it.

        Metrics are numbers in `policy.participating`; pods: codes by name, new names are added. A past without rows
        is an empty window; half an answer is none: it raises Unavailable. Raises PolicyError for a bad selector.
        """
        ...


class Tape(Protocol):
    """Keeps parts of tapes within its bounds, the oldest dropped first. Safe to call in a thread, by one at a time."""

    def begin(self, now: Instant) -> None:
        """Make ready, and drop what is out of bounds. Raises TapeError."""
        ...

    def keep(self, part: Part) -> int:
        """Store a part, whole or not at all; return its bytes. Raises TapeError when it is not stored."""
        ...


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


class Urgency(StrEnum):
    """How much a notice matters, in the words that pagers share."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a person is told. dedup: the same for all repeats of one notice, and for no other.

    incident: what a pager keeps open for it. subject: what it is about, the same for all notices of one rollout.
    summary: one line. facts: a few short ones by name. link: where to read on, "" where that is nowhere.
    repeated: it may have been told before.
    """

    at: Instant
    dedup: str
    incident: str
    subject: str
    urgency: Urgency
    summary: str
    reason: str
    facts: Mapping[str, str]
    link: str = ""
    repeated: bool = False

    @property
    def body(self) -> str:
        """All but the summary, as text of several lines."""
        lines = [self.reason, *(f"{name}: {value}" for name, value in self.facts.items()), self.link]
        return "\n".join(line for line in lines if line)


class Notifier(Protocol):
    """Tells a person; returns when the notice has been taken. A repeat can be told from a second notice."""

    async def notify(self, notice: Notice) -> None: ...


class Pager(Notifier, Protocol):
    """A notifier that keeps incidents open; `resolve` ends one, and changes nothing where it is not open."""

    async def resolve(self, incident: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one fact. seq: the journal row that holds it. new: False for a repeat of an event.

    rollout: what the fact opened or touched, where there is one. refusal: an order that cannot be carried
    out. note: why nothing follows from it, where that is so; "" for a repeat.
    """

    seq: int
    new: bool
    rollout: RolloutId | None = None
    refusal: CommandError | None = None
    note: str = ""


class Inbox(Protocol):
    """Where facts from outside wait for the engine."""

    async def put(self, facts: Sequence[Fact], *, wait: bool = False) -> tuple[Receipt, ...]:
        """Take all of these facts or none; return when the journal holds every one of them.

        Raises Unavailable when there is no room or the journal cannot write. wait: wait for room instead,
        and for the journal however long it takes (brokers). A fact may still be taken after Unavailable.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was decided of one rollout ("": of none). event: identity of the fact, if any. body: guardian.wire.entry.

    seq: 0 before the journal has numbered it; then 1, 2, 3 without gaps.
    """

    at: Instant
    rollout: str
    event: EventRef | None
    body: bytes
    seq: int = 0


class Journal(Protocol):
    """Durable rows in the order of `append`, no event twice; what was acknowledged survives any crash."""

    def append(self, rows: Sequence[Row], *, notes: Mapping[str, bytes | None] = {}) -> Future[int]:
        """Queue rows, and replaceable notes with them (None: removed). Called in the loop; never waits.

        The future ends with the last row's seq when all is durable, futures in the order of their calls; or
        with JournalError, and nothing of this call is stored. While storing fails in a way that may pass,
        it waits.
        """
        ...

    def known(self, events: Sequence[EventRef]) -> Mapping[EventRef, int]:
        """Return the seq of each of these events that a durable row holds."""
        ...

    def read(self, *, after: int = 0, limit: int = 1000) -> Sequence[Row]:
        """Return up to `limit` durable rows after that seq, in order; safe to call in a thread."""
        ...

    def history(self, rollout: str, *, limit: int = 1000) -> Sequence[Row]:
        """Return the newest durable rows of one rollout, oldest first; safe to call in a thread."""
        ...

    def notes(self, prefix: str = "") -> Mapping[str, bytes]:
        """Return the durable notes whose name begins so."""
        ...

    @property
    def trouble(self) -> JournalError | None:
        """What keeps it from storing just now; None when nothing does."""
        ...

    async def close(self) -> None:
        """Store what is queued, then let go of the file."""
        ...
