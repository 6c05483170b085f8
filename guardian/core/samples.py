"""Rows of a samples file as arrays: what adapters/samples reads and offline.py judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from analysis.sequential.base import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of a samples file, in its order, all of shape (n,).

    rollout, metric, pod: codes into the reader's growing lists of names. stratum: number of its name, 0 for none.
    track: code of the row's track (Track.code). time, seconds: end and length of the interval. requests, bad, count,
    value: NaN where the column was empty. bound: upper bound of the bucket, NaN where the column was empty.
    """

    rollout: Ints
    metric: Ints
    pod: Ints
    stratum: Ints
    track: Ints
    time: Floats
    seconds: Floats
    requests: Floats
    bad: Floats
    bound: Floats
    count: Floats
    value: Floats

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Rows of one batch, then of the next; one batch or more."""
        if len(parts) == 1:
            return parts[0]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__})

    @classmethod
    def in_order(cls, parts: Sequence[Batch]) -> Batch:
        """The same by time; rows of one time stay as they come."""
        rows = cls.joined(parts)
        return rows.rows(np.argsort(rows.time, kind="stable"))

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, chosen: Ints | slice) -> Batch:
        """Some of the rows, in the order given."""
        return Batch(**{name: getattr(self, name)[chosen] for name in self.__slots__})
