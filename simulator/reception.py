"""What the guardian holds of samples that are under way: those that came, of a pair those of the replica that counts.

Which replica that is, the adapters say (guardian/adapters/_pairs.py for what is written to us, metrics/polled.py for
what we ask for); here stands when each sample comes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

import numpy as np

from guardian.adapters._pairs import Pairs
from guardian.adapters._series import FAIL_OVER
from guardian.core.looks import Floats, Ints
from simulator.topology import Flags


class Source(StrEnum):
    """How the guardian comes by samples: they are written to it, or it asks for them."""

    STREAMED = "streamed"
    POLLED = "polled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Samples, (n,): number of the series, time it carries, value, who scraped it (from 0), when it comes."""

    key: Ints
    time: Floats
    value: Floats
    replica: Ints
    arrival: Floats

    def only(self, chosen: Flags | Ints) -> Rows:
        """Return some of them."""
        return Rows(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})

    def and_(self, other: Rows) -> Rows:
        """Return these, then the others."""
        return Rows(
            **{one.name: np.concatenate((getattr(self, one.name), getattr(other, one.name))) for one in fields(self)}
        )


_NOTHING: Final = Rows(
    key=np.empty(0, np.int64), time=np.empty(0), value=np.empty(0), replica=np.empty(0, np.int64), arrival=np.empty(0)
)  # fmt: skip
_PAIR: Final = [("", ""), ("pair", "a"), ("pair", "b")]
"""Replicas as `Pairs` knows them; the first stands for no pair."""


class Reception:
    """Samples of one metric on their way to the guardian."""

    def __init__(self, *, source: Source, replicas: int) -> None:
        self._source, self._pair = source, replicas > 1
        self._pairs = Pairs()
        self._under_way = _NOTHING

    def send(self, rows: Rows) -> None:
        """Put samples on their way."""
        self._under_way = self._under_way.and_(rows)

    def receive(self, now: float) -> Rows:
        """Return those that came since it was last asked, in the order in which they did."""
        here = self._under_way.arrival <= now
        came, self._under_way = self._under_way.only(here), self._under_way.only(~here)
        came = came.only(np.argsort(came.arrival, kind="stable"))
        return came.only(self._counting(came)) if self._pair and self._source is Source.STREAMED else came

    def _counting(self, came: Rows) -> Ints:
        """Places of those that count on arrival."""
        requests = (np.diff(came.replica) != 0) | (np.diff(came.arrival) > 0.0)  # each of one replica, at one time
        edges = np.flatnonzero(requests) + 1
        return np.concatenate(
            [
                piece[self._pairs.counts(came.replica[piece] + 1, _PAIR, float(came.arrival[piece[-1]]))]
                for piece in np.split(np.arange(len(came.key)), edges)
                if len(piece)
            ]
            or [np.empty(0, np.int64)]
        )

    def answer(self, key: Ints, time: Floats, replica: Ints) -> Flags:
        """Return which of these samples (n,) an answer has: of each series those of one replica, chosen anew."""
        if not self._pair or self._source is Source.STREAMED or not len(key):
            return np.ones(len(key), dtype=np.bool_)
        newest = np.full((2, int(key.max()) + 1), -np.inf)
        np.maximum.at(newest, (replica, key), time)
        second = newest[0] < newest[1] - FAIL_OVER
        return np.asarray(replica == second[key])
