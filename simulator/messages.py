"""What the guardian is told, and how badly: events late, twice, out of order; alerts by the hundred.

Makes facts with the times at which they arrive. Does not deliver them: the driver does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from msgspec.structs import replace
from numpy.random import Generator
from pydantic import Field, model_validator

from guardian.config.findings import complaint
from guardian.core.facts import AlertSeen, DeployRequested, Fact
from guardian.core.model import EventRef, Instant, Place, Revision
from simulator.units import Duration, Moment, Part, Portion

Arrival = tuple[Instant, Fact]


class AlertStorm(Part):
    """One trouble, posted again and again: `posts` within `lasts`, of `fingerprints` alerts.

    Alertmanager repeats a group as long as it is not answered 2xx, so the same alert comes many times. Labels
    are those of each alert; the first fingerprint carries `first` besides.
    """

    kind: Literal["alert_storm"]
    at: Moment = 0.0
    lasts: Duration = 60.0
    posts: Annotated[int, Field(ge=1, le=10_000)] = 400
    fingerprints: Annotated[int, Field(ge=1, le=1000)] = 12
    resolved: Portion = 0.5
    labels: dict[str, str]
    first: dict[str, str] = Field(default_factory=dict)

    def arrivals(self, shift: Instant, place: Place, chance: Generator) -> Iterator[tuple[Instant, AlertSeen]]:
        """Yield each alert and when it arrives; `resolved` of the fingerprints end halfway through."""
        times = self.at + self.lasts * chance.uniform(size=self.posts)
        times.sort()
        which = chance.integers(self.fingerprints, size=self.posts)
        which[0] = 0
        ending = round(self.resolved * self.fingerprints)
        for time, number in zip(times.tolist(), which.tolist(), strict=True):
            ended = number >= self.fingerprints - ending and time > self.at + self.lasts / 2
            yield Instant(shift + time), self._alert(number, shift, place, firing=not ended)

    def _alert(self, number: int, shift: Instant, place: Place, *, firing: bool) -> AlertSeen:
        labels = {
            "service": place.service,
            "environment": place.environment,
            **self.labels,
            "instance": str(number),
        }
        if number == 0:
            labels |= self.first
        starts = Instant(shift + self.at)
        fingerprint = hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16]
        status = "firing" if firing else "resolved"
        return AlertSeen(
            event=EventRef(source="alertmanager", id=f"{fingerprint}/{starts:.3f}/{status}"),
            firing=firing,
            starts_at=starts,
            labels=labels,
            ends_at=None if firing else Instant(starts + self.lasts / 2),
        )


class DeployEvent(Part):
    """A deploy event: what happened `at` a time, and how the guardian comes to hear of it.

    revision: which one goes out there, default the scenario's own. at: after the guardian began to listen; a minus is
    before it. late: how long the event is under way; it comes `copies` times within `within` of that. clock: by how
    much its sender's clock is off at most, early or late.
    """

    revision: Revision | None = None
    at: Moment = 0.0
    late: Duration = 0.0
    copies: Annotated[int, Field(ge=1, le=1000)] = 1
    within: Duration = 60.0
    clock: Duration = 0.0

    @model_validator(mode="after")
    def _is_heard(self) -> Self:
        if self.at + self.late < 0:
            what = f"the event arrives {-self.at - self.late:g}s before the guardian listens"
            raise complaint(what, f"write `late: {-self.at:g}s` or more", at=("late",))
        return self

    def times(self, listening: Instant, chance: Generator) -> list[Instant]:
        """Return when it and its copies come, in order. chance: the event's own stream."""
        waits = self.within * chance.uniform(size=self.copies)
        waits[0] = 0.0
        return [Instant(listening + self.at + self.late + wait) for wait in sorted(waits.tolist())]

    def arrivals(self, request: DeployRequested, listening: Instant, chance: Generator) -> Iterator[Arrival]:
        """Yield the event and its copies as they come. request: what it says but for its time."""
        times = self.times(listening, chance)
        told = replace(request, time=Instant(listening + self.at + self.clock * chance.uniform(-1.0, 1.0)))
        yield from ((at, told) for at in times)
