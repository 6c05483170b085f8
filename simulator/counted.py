"""What a world has counted: counters as scrapes find them, and the users who were hurt."""

from __future__ import annotations

from dataclasses import dataclass

from guardian.core.looks import Ints
from simulator.topology import Flags
from simulator.traffic import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Counters as they stood at some rounds, oldest first.

    Slots that were never used are left out. number: of each round, from 1, shape (rounds,). time: sample times, shape
    (rounds, slots). total, bad: shape (rounds, slots). buckets: per bucket, not yet summed up, shape (rounds, slots,
    buckets). seen: which samples a scraper got, shape (rounds, slots). attempts: all and those gone wrong of each,
    shape (rounds, slots, 2 x attempts). levels: what gauges show, shape (rounds, slots, gauges).
    """

    number: Ints
    time: Floats
    total: Ints
    bad: Ints
    buckets: Ints
    seen: Flags
    attempts: Ints
    levels: Floats


@dataclass(slots=True)
class Harm:
    """Requests since the traffic shift, those that failed, and those slower than SLOW; fresh: by the new revision.

    An attempt that goes wrong under HTTP 200 failed, too.
    """

    total: int = 0
    bad: int = 0
    slow: int = 0
    fresh_total: int = 0
    fresh_bad: int = 0
