"""What the engine was given of one service, in order, and what it concluded: enough to give it all again.

A tape is cut into parts. Each part says how things stood when it began, so that a tape whose oldest parts are gone, or
that lacks one, is still of use. It is written by taping.py, played by playback.py; how it lies in a file is an
adapter's part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from guardian.core.facts import AlertSeen, Fact
from guardian.core.looks import SeriesKey
from guardian.core.model import Instant, Place, RolloutId, Seconds
from guardian.core.policy import Policy
from guardian.core.records import OfRollout
from guardian.core.rollout import Rollout
from guardian.core.world import PlaceState, World

IN_TIME: Final = Seconds(0.0)
VERSION: Final = 1
"""Version of what a tape holds; a reader refuses another one."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How things stood when a part began. evidence: checkpoints of the rollouts that were looked at."""

    places: tuple[tuple[Place, PlaceState], ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    alerts: dict[str, AlertSeen] = {}
    policies: tuple[Policy, ...] = ()
    evidence: dict[RolloutId, bytes] = {}

    def world(self) -> World:
        """Return a world that stands so."""
        world = World()
        world.rollouts = {rollout.id: rollout for rollout in self.rollouts}
        world.places = dict(self.places)
        for place, _ in self.places:
            world.services[place.service] = (*world.services.get(place.service, ()), place)
        world.alerts = dict(self.alerts)
        return world


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is of. cast: the service and those it depends on, whose rollouts decide on its own.

    run: names the recording without a gap that the part belongs to; number: its place there, from 0. last: the
    recording ended with it in good order, because the service was quiet or the guardian stopped.
    """

    service: str
    environment: str
    cast: tuple[str, ...]
    run: str
    number: int
    began: Instant
    ended: Instant
    last: bool
    start: Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A fact the engine received. at: its `now`. ahead: by how much that was ahead of other machines' clocks.

    Series of `Observed` are numbers that `Named` gave.
    """

    at: Instant
    fact: Fact
    ahead: Seconds = IN_TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A series was met, and has this number from here on."""

    at: Instant
    series: int
    key: SeriesKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What was observed so far became evidence, without a look at this service."""

    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """These policies are in force for new rollouts of the cast."""

    at: Instant
    policies: tuple[Policy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """The engine concluded this from the `Given` before it."""

    at: Instant
    record: OfRollout


Entry = Given | Named | Settled | Ruled | Concluded


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some entries of a tape, in order."""

    header: Header
    entries: tuple[Entry, ...]
