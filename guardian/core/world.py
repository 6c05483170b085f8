"""All rollouts and places, as the fold of the journal's records. Restart is this fold; audit is reading it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Final

import msgspec

from guardian.core import records as r
from guardian.core.facts import AlertSeen
from guardian.core.model import Digest, Instant, Phase, Place, Revision, RolloutId
from guardian.core.phases import evolve, opened
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout

KEPT_ALERTS: Final = 1_000
"""Alerts remembered as firing; beyond that the oldest is forgotten."""
KEPT_ENDED: Final = 10_000
"""Ended rollouts kept in memory; older ones are in the journal only."""


class PlaceState(msgspec.Struct, frozen=True, kw_only=True):
    """What a place remembers between rollouts.

    running: the rollout that moves it. queue: rollouts that wait, oldest first. verified: the last revision that
    passed its bake, or the one found running at installation (`assumed`). refused: rolled-back revision -> until when.
    last: the rollout whose preflight passed here last, whether or not it still runs; the canary's weight is its own.
    """

    running: RolloutId | None = None
    queue: tuple[RolloutId, ...] = ()
    verified: Revision | None = None
    assumed: bool = False
    refused: tuple[tuple[Revision, Instant], ...] = ()
    last: RolloutId | None = None

    def refuses(self, revision: Revision, now: Instant) -> Instant | None:
        """Return until when this revision is refused, or None."""
        return next((until for name, until in self.refused if name == revision and until > now), None)


NOWHERE: Final = PlaceState()


class World:
    """Rollouts, places and adopted policies. Changed only by `apply`."""

    def __init__(self) -> None:
        self.rollouts: dict[RolloutId, Rollout] = {}
        self.places: dict[Place, PlaceState] = {}
        self.policies: dict[Digest, Policy] = {}
        self.services: dict[str, tuple[Place, ...]] = {}
        self.alerts: dict[str, AlertSeen] = {}
        self._ended: dict[RolloutId, None] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, World) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> World:
        """Return a world that changes apart from this one."""
        twin = copy(self)
        for name, table in vars(self).items():
            setattr(twin, name, dict(table))
        return twin

    def place(self, place: Place) -> PlaceState:
        """Return what is known of the place."""
        return self.places.get(place, NOWHERE)

    def apply(self, record: r.Record) -> Rollout | None:
        """Apply one record; return the rollout right after it, None for a record of no rollout."""
        if isinstance(record, r.PolicyAdopted):
            self.policies[record.digest] = record.policy
            return None
        if isinstance(record, r.AlertStood):
            self._remember_alert(record)
            return None
        if isinstance(record, r.Noted):
            return None
        if isinstance(record, r.Opened):
            rollout = opened(record, self.policies[record.policy])
            self._enter(rollout)
        else:
            policy = self.policies[record.policy] if isinstance(record, r.Amended) else None
            rollout = evolve(self.rollouts[record.rollout], record, policy)
        self.rollouts[rollout.id] = rollout
        self._remember(rollout, record)
        return rollout

    def _remember_alert(self, record: r.AlertStood) -> None:
        self.alerts.pop(record.key, None)
        if record.alert.firing:
            self.alerts[record.key] = record.alert
        while len(self.alerts) > KEPT_ALERTS:
            del self.alerts[next(iter(self.alerts))]

    def _enter(self, rollout: Rollout) -> None:
        place = rollout.place
        if place not in self.places and place not in self.services.get(place.service, ()):
            self.services[place.service] = (*self.services.get(place.service, ()), place)
        state = self.place(place)
        self.places[place] = msgspec.structs.replace(state, queue=(*state.queue, rollout.id))

    def _remember(self, rollout: Rollout, record: r.OfRollout) -> None:
        state = self.place(rollout.place)
        if isinstance(record, r.Started):
            queue = tuple(waiting for waiting in state.queue if waiting != rollout.id)
            state = msgspec.structs.replace(state, running=rollout.id, queue=queue)
        elif isinstance(record, r.PreflightPassed):
            state = msgspec.structs.replace(state, last=rollout.id)
            if record.stable and state.verified is None:
                state = msgspec.structs.replace(state, verified=record.stable, assumed=True)
        elif isinstance(record, r.Ended):
            state = _after_end(state, rollout, record)
            self._ended[rollout.id] = None
            self._forget_oldest()
        elif isinstance(record, r.EffectOrdered) and rollout.phase.terminal and state.running is None:
            state = msgspec.structs.replace(state, running=rollout.id)  # something is left to be done here after all
        if rollout.settled and state.running == rollout.id:
            state = msgspec.structs.replace(state, running=None)
        if state is not self.place(rollout.place):
            self.places[rollout.place] = state

    def _forget_oldest(self) -> None:
        while len(self._ended) > KEPT_ENDED:
            oldest = next((name for name in self._ended if self.rollouts[name].settled), None)
            if oldest is None:
                return
            del self._ended[oldest], self.rollouts[oldest]


def _after_end(state: PlaceState, rollout: Rollout, record: r.Ended) -> PlaceState:
    queue = tuple(waiting for waiting in state.queue if waiting != rollout.id)
    if record.phase is Phase.VERIFIED:
        return msgspec.structs.replace(state, queue=queue, verified=rollout.revision, assumed=False)
    if record.phase is Phase.ROLLED_BACK:
        until = Instant(record.at + rollout.policy.refuse_for)
        others = tuple(entry for entry in state.refused if entry[0] != rollout.revision and entry[1] > record.at)
        return msgspec.structs.replace(state, queue=queue, refused=(*others, (rollout.revision, until)))
    return msgspec.structs.replace(state, queue=queue)


def fold(records: Iterable[r.Record], start: World | None = None) -> World:
    """Return the world that these records lead to; `start` is left as it is.

    Folding any prefix of the journal, then the rest, gives the same world as folding it at once.
    """
    world = World() if start is None else start.copy()
    for record in records:
        world.apply(record)
    return world
