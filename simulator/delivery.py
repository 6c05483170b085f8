"""How samples get from a scrape to the guardian: late, twice, shard by shard, or not at all.

Each keeps the time at which it was scraped. What the guardian takes of two replicas is in reception.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal
from zlib import crc32

import numpy as np
from pydantic import Field

from guardian.core.looks import Ints
from simulator.chance import Chance, Purpose
from simulator.counted import Rounds
from simulator.placed import On, Timed, Trouble
from simulator.topology import Flags, Slots
from simulator.traffic import Floats
from simulator.units import Duration, Portion

Positive = Annotated[Duration, Field(gt=0)]
Share = Annotated[Portion, Field(gt=0)]


class PrometheusDown(Timed):
    """A Prometheus is down or restarts: it scrapes nothing meanwhile; replica: which one, of a pair."""

    kind: Literal["prometheus_down"]
    replica: Annotated[
        Annotated[int, Field(ge=1, le=2)] | None,
        Field(description="of `scrape: {replicas: 2}`; left out: all there are"),
    ] = None

    def loses(self, t: Floats, replica: Ints) -> Flags:
        """Return which samples are missed. t: seconds after the shift, any shape; replica: who scrapes, from 0."""
        return self.runs(t) & (True if self.replica is None else replica == self.replica - 1)


class _Drawn(Trouble):
    """Something that befalls `share` of the scrapes of a pod, all series of one alike."""

    on: On = On.BOTH
    share: Share = 1.0

    def befalls(self, t: Floats, slots: Slots, luck: Floats) -> Flags:
        """Return which scrapes. t: seconds after the shift; luck: 0..1; both of shape (rounds, pods)."""
        return self.runs(t) & self.hits(slots) & (luck < self.share)


class LateSamples(_Drawn):
    """Samples reach the guardian late, `by` so much: those of `share` of the scrapes, all series alike."""

    kind: Literal["late_samples"]
    by: Positive


class DoubledSamples(_Drawn):
    """Samples come twice, the second time `by` so much later, as when an answer is lost and the sender sends again."""

    kind: Literal["doubled_samples"]
    by: Duration = 0.0


class SlowShards(Timed):
    """Series are dealt out to `shards`, each of which sends what it has by turns, every `sends`.

    So series of one scrape come at several times. Each series keeps its order.
    """

    kind: Literal["slow_shards"]
    shards: Annotated[int, Field(ge=2, le=200)] = 4
    sends: Positive

    def sent(self, t: Floats, series: Ints) -> Floats:
        """Return when samples are sent that were there at `t`; both (n,). series: a number that stays the same."""
        gone = self.since(t)
        phase = (series % self.shards) / self.shards * self.sends
        wait = (phase - gone) % self.sends
        return np.where(self.runs(t), t + np.minimum(wait, self.lasts - gone), t)


class DeliveryStops(Trouble):
    """Nothing is delivered; the source goes on scraping, and all of it comes at once when it is over."""

    kind: Literal["delivery_stops"]
    on: On = On.BOTH

    def sent(self, t: Floats, slots: Slots) -> Floats:
        """Return when samples come that would come at `t`; shape (rounds, pods), seconds after the shift."""
        return np.where(self.runs(t) & self.hits(slots), t + self.lasts - self.since(t), t)


Delivery = LateSamples | DoubledSamples | SlowShards | DeliveryStops


def arrivals(faults: Sequence[Delivery], rounds: Rounds, slots: Slots, *, shift: float, chance: Chance) -> Floats:
    """Return when each sample comes, and when it comes again, unix seconds: shape (2, rounds, pods); inf: never.

    Shards are left out: their delay is that of a series, not of a pod. shift: unix seconds.
    """
    t, luck = rounds.time - shift, _luck(chance, rounds, len(faults))
    late, again = np.zeros_like(t), np.full_like(t, np.inf)
    for number, fault in enumerate(faults):
        if isinstance(fault, LateSamples):
            late = np.where(fault.befalls(t, slots, luck[number]), late + fault.by, late)
        elif isinstance(fault, DoubledSamples):
            again = np.where(fault.befalls(t, slots, luck[number]), np.minimum(again, fault.by), again)
    stops = [fault for fault in faults if isinstance(fault, DeliveryStops)]
    first = _held(t + late, stops, slots)
    second = np.where(np.isinf(again), np.inf, _held(first + np.nan_to_num(again, posinf=0.0), stops, slots))
    return np.stack((first, second)) + shift


def _held(came: Floats, stops: Sequence[DeliveryStops], slots: Slots) -> Floats:
    for stop in stops:
        came = stop.sent(came, slots)
    return came


def _luck(chance: Chance, rounds: Rounds, faults: int) -> Floats:
    """Return draws 0..1, shape (faults, rounds, pods): the same for all metrics of a scrape."""
    width = rounds.time.shape[1]
    drawn = [chance.at(Purpose.DELIVERY, int(number)).random((faults, width)) for number in rounds.number]
    return np.stack(drawn, axis=1)


def shard_of(name: str) -> int:
    """Return the number by which a series is dealt out."""
    return crc32(name.encode())
