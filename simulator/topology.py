"""Which pods there are, on which track, running which revision, and since when.

Three groups of slots: stable as it was before the rollout, the canary, and stable after the hand-over. A
pod's slot, its name and what it was born with never change. Does not know load or faults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from guardian.core.model import Instant, Revision, Track
from simulator.service import Service, Zone

Flags = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
NEVER = Instant(math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What never changes about slots, shape (slots,). fresh: which run the revision being rolled out. zones: names."""

    fresh: Flags
    zones: Names

    def first(self, count: int) -> Slots:
        """Return the first ones."""
        return Slots(fresh=self.fresh[:count], zones=self.zones[:count])


@dataclass(slots=True, kw_only=True)
class Group:
    """Pods that come and go together; they serve in [since, until)."""

    track: Track
    slots: slice
    revision: Revision
    since: Instant = NEVER
    until: Instant = NEVER

    def alive(self, at: float) -> bool:
        """Whether the pods run at that time."""
        return self.since <= at < self.until


@dataclass(slots=True, kw_only=True)
class Topology:
    """The pods of one service. names, homes: name and zone of each slot."""

    names: tuple[str, ...]
    homes: tuple[Zone, ...]
    stable: Group
    canary: Group
    successor: Group
    slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        """Mark the slots of the new revision."""
        fresh = np.arange(len(self.names)) >= self.canary.slots.start
        self.slots = Slots(fresh=fresh, zones=np.array([home.name for home in self.homes]))

    @property
    def groups(self) -> tuple[Group, Group, Group]:
        """All groups, in the order of their slots."""
        return (self.stable, self.canary, self.successor)

    def tracks(self) -> tuple[Track, ...]:
        """Return the track of each slot."""
        return tuple(group.track for group in self.groups for _ in range(group.slots.start, group.slots.stop))

    def edges(self) -> list[float]:
        """Return the times at which groups come and go."""
        times = (time for group in self.groups for time in (group.since, group.until))
        return [time for time in times if math.isfinite(time)]


def lay_out(service: Service, *, old: Revision, new: Revision, since: Instant) -> Topology:
    """Return the pods of a service: stable runs `old` since `since`, the canary is not started yet."""
    first, second = service.pods.stable, service.pods.stable + service.pods.canary
    total = second + service.pods.stable
    names = (
        *(f"{service.name}-{old}-{number}" for number in range(first)),
        *(f"{service.name}-canary-{new}-{number}" for number in range(second - first)),
        *(f"{service.name}-{new}-{number}" for number in range(total - second)),
    )
    stable = tuple(zone for zone in service.places for _ in range(zone.stable))
    canary = tuple(zone for zone in service.places for _ in range(zone.canary))
    return Topology(
        names=names,
        homes=stable + canary + stable,
        stable=Group(track=Track.STABLE, slots=slice(0, first), revision=old, since=since),
        canary=Group(track=Track.CANARY, slots=slice(first, second), revision=new),
        successor=Group(track=Track.STABLE, slots=slice(second, total), revision=new),
    )
