"""Which pods there are, on which track, running which revision, and since when.

Four groups of slots: stable as it was before the rollout, the canary, control, and stable after the hand-over. A
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
    """What never changes about slots, shape (slots,). fresh: which run the revision being rolled out. zones: names.

    young: which began with the rollout, whatever they run.
    """

    fresh: Flags
    young: Flags
    zones: Names

    def first(self, count: int) -> Slots:
        """Return the first ones."""
        return Slots(fresh=self.fresh[:count], young=self.young[:count], zones=self.zones[:count])


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
    control: Group
    successor: Group
    slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        """Mark the slots of the new revision, and those that are young."""
        young = np.arange(len(self.names)) >= self.canary.slots.start
        fresh = young.copy()
        fresh[self.control.slots] = False
        self.slots = Slots(fresh=fresh, young=young, zones=np.array([home.name for home in self.homes]))

    def run(self, group: Group, revision: Revision, *, new: Revision) -> None:
        """Have the pods of a group run a revision; new: the one being rolled out."""
        group.revision = revision
        self.slots.fresh[group.slots] = revision == new

    @property
    def groups(self) -> tuple[Group, Group, Group, Group]:
        """All groups, in the order of their slots."""
        return (self.stable, self.canary, self.control, self.successor)

    @property
    def baseline(self) -> Group:
        """What the canary is compared with while it has traffic."""
        return self.control if self.control.slots.stop > self.control.slots.start else self.stable

    def tracks(self) -> tuple[Track, ...]:
        """Return the track of each slot."""
        return tuple(group.track for group in self.groups for _ in range(group.slots.start, group.slots.stop))

    def edges(self) -> list[float]:
        """Return the times at which groups come and go."""
        times = (time for group in self.groups for time in (group.since, group.until))
        return [time for time in times if math.isfinite(time)]


def lay_out(service: Service, *, old: Revision, new: Revision, since: Instant) -> Topology:
    """Return the pods of a service: stable runs `old` since `since`, the canary and control are not started yet."""
    first, second = service.pods.stable, service.pods.stable + service.pods.canary
    third = second + service.pods.control
    total = third + service.pods.stable
    names = (
        *(f"{service.name}-{old}-{number}" for number in range(first)),
        *(f"{service.name}-canary-{new}-{number}" for number in range(second - first)),
        *(f"{service.name}-control-{old}-{number}" for number in range(third - second)),
        *(f"{service.name}-{new}-{number}" for number in range(total - third)),
    )
    stable = tuple(zone for zone in service.places for _ in range(zone.stable))
    canary = tuple(zone for zone in service.places for _ in range(zone.canary))
    control = tuple(zone for zone in service.places for _ in range(zone.control))
    return Topology(
        names=names,
        homes=stable + canary + control + stable,
        stable=Group(track=Track.STABLE, slots=slice(0, first), revision=old, since=since),
        canary=Group(track=Track.CANARY, slots=slice(first, second), revision=new),
        control=Group(track=Track.CONTROL, slots=slice(second, third), revision=old),
        successor=Group(track=Track.STABLE, slots=slice(third, total), revision=new),
    )
