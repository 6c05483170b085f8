"""Whose tape a fact belongs to, and the tapes that are being recorded.

Service by service, from a rollout's first event until the service is quiet, with all that it depends on. It knows no
file: parts are handed out as they fill up. It decides nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from guardian.core import records as r
from guardian.core.decision import Decision
from guardian.core.facts import (
    AlertSeen,
    DeployReported,
    DeployRequested,
    EffectDone,
    EffectFailed,
    Fact,
    Ordered,
    WeightRead,
    Woke,
)
from guardian.core.looks import Observed, SeriesKey
from guardian.core.model import Instant, Place, RolloutId, Seconds
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.core.tape import Concluded, Entry, Given, Header, Named, Part, Ruled, Settled, Start
from guardian.core.world import World

if TYPE_CHECKING:
    from guardian.core.taping import TapedEngine

Owner = tuple[str, str]
"""Environment and service: whose tape it is, or whose rollout."""
NEVER: Final = Seconds(math.inf)
_SPREAD: Final = 64
"""Different lengths of the first part of a tape."""
_ENTRY, _SAMPLE = 300, 32
"""Bytes an entry and a sample take while they wait to be handed out, about."""


def _raised(error: Exception) -> None:
    raise error


@dataclass(frozen=True, slots=True, kw_only=True)
class Taping:
    """Where parts go, and how large they get.

    keep: takes a part; must not wait. failed: is told of a mistake in recording; what was being recorded is given up.
    wanted: whether a service is recorded. part: bytes in memory, about, and every: seconds, after which a part is
    handed out.
    """

    keep: Callable[[Part], None]
    failed: Callable[[Exception], None] = _raised
    wanted: Callable[[str], bool] = lambda _: True
    part: float = math.inf
    every: Seconds = NEVER


@dataclass(slots=True, eq=False)
class _Tape:
    """A tape that is being recorded, and its part that is not handed out yet."""

    owner: Owner
    cast: frozenset[str]
    run: str
    start: Start
    began: Instant
    until: Instant
    number: int = 0
    entries: list[Entry] = field(default_factory=list)
    named: set[int] = field(default_factory=set)
    bytes: int = 0
    pending: bool = False
    concluded: bool = False

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.bytes += _ENTRY
        if isinstance(entry, Given) and isinstance(entry.fact, Observed):
            self.bytes += _SAMPLE * len(entry.fact.series)
            self.pending = True

    def name(self, number: int, key: SeriesKey, now: Instant) -> None:
        if number not in self.named:
            self.named.add(number)
            self.add(Named(at=now, series=number, key=key))

    def part(self, now: Instant, *, last: bool) -> Part:
        environment, service = self.owner
        header = Header(
            service=service, environment=environment, cast=tuple(sorted(self.cast)), run=self.run, number=self.number,
            began=self.began, ended=now, last=last, start=self.start,
        )  # fmt: skip
        return Part(header=header, entries=tuple(self.entries))


class Recorder:
    """Finds out whose tape a fact belongs to, and keeps the tapes that are being recorded."""

    def __init__(self, engine: TapedEngine, taping: Taping) -> None:
        self._engine, self._taping = engine, taping
        self._tapes: dict[Owner, _Tape] = {}
        self._listening: dict[Owner, tuple[_Tape, ...]] = {}
        self._keys: dict[RolloutId, dict[int, SeriesKey]] = {}
        self._codes: dict[Owner, int] = {}
        self._owners: list[Owner] = []
        self._of_series = np.full(0, -1, dtype=np.int64)
        self._ruled = engine.policies

    @property
    def _world(self) -> World:
        return self._engine.world

    def conclude(self, decision: Decision, heard: Iterable[_Tape], now: Instant, *, woke: bool) -> None:
        """Write down what followed, and hand out what is full or over."""
        for record in decision.records:
            known = self._world.rollouts.get(record.rollout) if isinstance(record, r.OfRollout) else None
            if known is None or not isinstance(record, r.OfRollout):
                continue
            for tape in self._listening.get(_owner(known.place), ()):
                tape.add(Concluded(at=now, record=record))
                tape.concluded = True
        for tape in heard:
            self._hand_over(tape, now, woke=woke)

    def name(self, number: int, key: SeriesKey, now: Instant) -> None:
        """A series has this number; telling it again changes nothing."""
        known = self._world.rollouts.get(key.rollout)
        if known is None:
            return
        owner = _owner(known.place)
        if owner not in self._codes:
            self._codes[owner] = len(self._owners)
            self._owners.append(owner)
        if number >= len(self._of_series):
            more = np.full(max(1024, number + 1), -1, dtype=np.int64)
            self._of_series = np.concatenate((self._of_series, more))
        self._of_series[number] = self._codes[owner]
        self._keys.setdefault(key.rollout, {})[number] = key
        for tape in self._listening.get(owner, ()):
            tape.name(number, key, now)

    def settled(self, now: Instant, *, but: Container[_Tape] = ()) -> None:
        """What was observed so far becomes evidence."""
        for tape in self._tapes.values():
            if tape.pending and tape not in but:
                tape.add(Settled(at=now))
                tape.pending = False

    def give_up(self) -> None:
        """Forget what is being recorded: with a hole in it, it would not be what decided."""
        self._tapes.clear()
        self._listen()

    def stop(self, now: Instant) -> None:
        """Hand out what is left."""
        for tape in tuple(self._tapes.values()):
            self._close(tape, now)

    def hear(self, fact: Fact, now: Instant) -> tuple[_Tape, ...]:
        """Write a fact down on every tape it matters to, and return these."""
        if self._engine.policies is not self._ruled:
            self._ruled = self._engine.policies
            for tape in self._tapes.values():
                tape.add(Ruled(at=now, policies=self._policies_of(tape.cast)))
        if isinstance(fact, Observed):
            heard = self._observed(fact, now)
        elif isinstance(fact, Woke):
            heard = self._woke(now)
        else:
            heard = self._tapes_for(self._owners_of(fact), now, called=getattr(fact, "depends_on", ()))
            for tape in heard:
                self._rule(tape, fact, now)
                tape.add(Given(at=now, fact=fact, ahead=self._engine.ahead))
        return heard

    def _rule(self, tape: _Tape, fact: Fact, now: Instant) -> None:
        """Have the policy on the tape that an event names and that is another service's."""
        named = self._engine.policies.named(fact.policy) if isinstance(fact, DeployRequested) and fact.policy else None
        if named is not None and named.match.service not in tape.cast:
            tape.add(Ruled(at=now, policies=(*self._policies_of(tape.cast), named)))

    def _owners_of(self, fact: Fact) -> list[Owner]:
        if isinstance(fact, DeployRequested) and not self._judged(fact):
            return []  # a flood of events that nobody has a policy for must not become a flood of files
        if isinstance(fact, DeployRequested | DeployReported):
            return [_owner(fact.place)]
        if isinstance(fact, Ordered | EffectDone | EffectFailed | WeightRead):
            known = self._world.rollouts.get(fact.rollout)
            return [_owner(known.place)] if known is not None else []
        if isinstance(fact, AlertSeen):  # no alert begins a tape: one that stands is in its `Start`
            named = set(fact.labels.values())
            return [owner for owner in self._listening if owner[1] in named]
        return []

    def _judged(self, fact: DeployRequested) -> bool:
        return bool(
            self._engine.policies.of_service(fact.place.service) or self._engine.policies.named(fact.policy or "")
        )

    def _observed(self, fact: Observed, now: Instant) -> tuple[_Tape, ...]:
        """Give each tape its own samples of a batch."""
        known = (fact.series >= 0) & (fact.series < len(self._of_series))
        codes = np.full(len(fact.series), -1, dtype=np.int64)
        codes[known] = self._of_series[fact.series[known]]
        order = np.argsort(codes, kind="stable")
        first = np.flatnonzero(np.diff(codes[order], prepend=-1))  # what nobody owns is -1, and comes first
        found: dict[_Tape, None] = {}
        for begin, end in zip(first, (*first[1:], len(order)), strict=False):  # none where nobody owns any
            mine = fact.only(order[begin:end])
            for tape in self._tapes_for([self._owners[codes[order[begin]]]], now):
                tape.add(Given(at=now, fact=mine, ahead=self._engine.ahead))
                found[tape] = None
        return tuple(found)

    def _woke(self, now: Instant) -> tuple[_Tape, ...]:
        """Tell those who wait for this moment; for others the evidence goes on, if a look is taken at all."""
        due = self._engine.due(now)
        heard = self._tapes_for(dict.fromkeys(_owner(rollout.place) for rollout in due), now)
        looks = [(one, self._engine.next_look(one.id)) for one in due]
        looked = {_owner(one.place) for one, at in looks if at is not None and at <= now}
        if looked:
            seeing = {tape for owner in looked for tape in self._listening.get(owner, ())}
            self.settled(now, but=seeing)
            for tape in seeing:
                tape.pending = False
        for tape in heard:
            tape.add(Given(at=now, fact=Woke(), ahead=self._engine.ahead))
        return heard

    # ---- tapes ----------------------------------------------------------------------------------------------

    def _tapes_for(self, owners: Iterable[Owner], now: Instant, *, called: Iterable[str] = ()) -> tuple[_Tape, ...]:
        """Return the tapes that listen to these, opened where there is none yet.

        called: services that an event says its own depends on.
        """
        found: dict[_Tape, None] = {}
        for owner in owners:
            if self._taping.wanted(owner[1]):
                self._open(owner, now, called)
            found |= dict.fromkeys(self._listening.get(owner, ()))
        return tuple(found)

    def _begin(self, owner: Owner, cast: frozenset[str], now: Instant) -> None:
        run = f"{now:.6f}"
        # Tapes that begin together do not end their parts together: a thousand checkpoints in one tick are felt.
        until = Instant(now + self._taping.every * (1 + zlib.crc32(owner[1].encode()) % _SPREAD) / _SPREAD)
        tape = _Tape(owner=owner, cast=cast, run=run, start=self._start(owner[0], cast), began=now, until=until)
        self._tapes[owner] = tape
        self._name_all(tape, now)
        self._listen()

    def _open(self, owner: Owner, now: Instant, called: Iterable[str]) -> None:
        """See to it that there is a tape, with all that the service depends on."""
        tape = self._tapes.get(owner)
        if tape is not None and not called:
            return
        places = [Place(service=name, environment=owner[0]) for name in (owner[1], *called)]
        beneath = (self._engine.beneath(place) for place in places)
        cast = frozenset((owner[1], *called)).union(*beneath)
        if tape is None:
            self._begin(owner, cast, now)
        elif not cast <= tape.cast:
            self._close(tape, now)
            self._begin(owner, cast | tape.cast, now)

    def _listen(self) -> None:
        found: dict[Owner, list[_Tape]] = {}
        for tape in self._tapes.values():
            for service in tape.cast:
                found.setdefault((tape.owner[0], service), []).append(tape)
        self._listening = {owner: tuple(tapes) for owner, tapes in found.items()}

    def _hand_over(self, tape: _Tape, now: Instant, *, woke: bool) -> None:
        """Close a tape whose service is quiet; hand a part out that is full, once all it holds is evidence."""
        if self._tapes.get(tape.owner) is not tape:
            return
        if self._quiet(tape.owner):
            self._close(tape, now)
        elif woke and (tape.bytes >= self._taping.part or now >= tape.until):
            self._taping.keep(tape.part(now, last=False))
            tape.start, tape.began, tape.number = self._start(tape.owner[0], tape.cast), now, tape.number + 1
            tape.until = Instant(now + self._taping.every)
            tape.entries, tape.named, tape.bytes = [], set(), 0
            self._name_all(tape, now)

    def _close(self, tape: _Tape, now: Instant) -> None:
        self._keys = {name: keys for name, keys in self._keys.items() if self._engine.next_look(name) is not None}
        if tape.concluded or tape.number or tape.start.evidence:  # of an event that led to nothing there is no tape
            self._taping.keep(tape.part(now, last=True))
        del self._tapes[tape.owner]
        self._listen()

    def _quiet(self, owner: Owner) -> bool:
        states = [self._world.place(place) for place in self._places(owner[0], (owner[1],))]
        return not any(state.running or state.queue or _looked(self._engine, state.last) for state in states)

    def _name_all(self, tape: _Tape, now: Instant) -> None:
        for name, keys in self._keys.items():
            rollout = self._world.rollouts.get(name)
            if (
                rollout is not None
                and rollout.place.environment == tape.owner[0]
                and rollout.place.service in tape.cast
            ):
                for number, key in keys.items():
                    tape.name(number, key, now)

    # ---- how things stand -----------------------------------------------------------------------------------

    def _start(self, environment: str, cast: frozenset[str]) -> Start:
        places = list(self._places(environment, cast))
        kept = {name for place in places for name in (self._world.place(place).last,) if name is not None}
        rollouts = [
            rollout
            for rollout in self._world.rollouts.values()
            if rollout.place in places and (rollout.id in kept or not rollout.settled)
        ]
        return Start(
            places=tuple((place, self._world.place(place)) for place in places),
            rollouts=tuple(rollouts),
            alerts={
                key: alert for key, alert in self._world.alerts.items() if cast.intersection(alert.labels.values())
            },
            policies=self._policies_of(cast),
            evidence=dict(self._evidence(rollouts)),
        )

    def _evidence(self, rollouts: Iterable[Rollout]) -> Iterator[tuple[RolloutId, bytes]]:
        for rollout in rollouts:
            blob = self._engine.checkpoint(rollout.id)
            if blob is not None:
                yield rollout.id, blob

    def _places(self, environment: str, services: Iterable[str]) -> Iterator[Place]:
        for service in sorted(services):
            for place in self._world.services.get(service, ()):
                if place.environment == environment:
                    yield place

    def _policies_of(self, cast: Iterable[str]) -> tuple[Policy, ...]:
        return tuple(policy for service in sorted(cast) for policy in self._engine.policies.of_service(service))


def _owner(place: Place) -> Owner:
    return place.environment, place.service


def _looked(engine: TapedEngine, rollout: RolloutId | None) -> bool:
    return rollout is not None and engine.next_look(rollout) is not None
