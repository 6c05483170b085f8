"""What came at one look, cut into the ticks of its policies: which pod has a row in which tick, and what it gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """Rows (n,), one a tick and pod, sorted by tick, then pod; items (m,) in the order of their rows.

    end: time of the row's newest sample. began: start of a young process' first row, else NaN. cuts: (ticks + 1,)
    first row of each tick. An item is the events between two samples of a series, or one reading of a pod. row, column,
    time, value: where each belongs (column -1: nowhere), when it was, and how many events or which level.
    """

    pods: Ints
    end: Floats
    began: Floats
    cuts: Ints
    row: Ints
    column: Ints
    time: Floats
    value: Floats

    @classmethod
    def of(cls, *, pods: Ints, column: Ints, time: Floats, value: Floats, began: Floats, interval: Floats) -> Ticks:
        """Cut items (m,) into ticks; interval: length of each one's ticks. Readings of a pod are in order of time."""
        tick = np.ceil(time / interval - 1e-9) * interval
        times, rank = np.unique(tick, return_inverse=True)
        size = int(pods.max()) + 1
        keys, row = np.unique(rank * size + pods, return_inverse=True)
        order = np.argsort(row, kind="stable")
        row = row[order]
        first = np.flatnonzero(np.diff(row, prepend=-1))
        time = time[order]
        return cls(
            pods=keys % size,
            end=np.maximum.reduceat(time, first),
            began=np.fmin.reduceat(began[order], first),
            cuts=np.searchsorted(keys, np.arange(len(times) + 1) * size),
            row=row,
            column=column[order],
            time=time,
            value=value[order],
        )

    def rows(self, begin: int, end: int) -> slice:
        """The rows of ticks begin..end-1."""
        return slice(self.cuts[begin], self.cuts[end])

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Runs of ticks (first, end) in which the same pods have rows."""
        sizes = np.diff(self.cuts)
        before = np.arange(len(self.pods)) - np.repeat(sizes, sizes)  # the same place in the tick before
        changed = self.pods != self.pods[np.maximum(before, 0)]
        alike = sizes[1:] == sizes[:-1]
        alike &= ~np.logical_or.reduceat(changed, self.cuts[:-1])[1:]
        yield from pairwise((0, *(np.flatnonzero(~alike) + 1).tolist(), len(sizes)))

    def counts(self, begin: int, end: int, chosen: Ints, width: int) -> Floats:
        """Events by column (T * S, width) of ticks begin..end-1; chosen (S,): places within each of these ticks."""
        items, to = self._items(begin, end, chosen)
        column = self.column[items]
        used = (to >= 0) & (column >= 0)
        flat = np.bincount(
            to[used] * width + column[used], weights=self.value[items][used],
            minlength=(end - begin) * len(chosen) * width,
        )  # fmt: skip
        return np.asarray(flat.reshape(-1, width))

    def came(self, begin: int, end: int, chosen: Ints, width: int) -> npt.NDArray[np.bool_]:
        """Which columns (T * S, width) of ticks begin..end-1 had a sample; chosen as in `counts`."""
        items, to = self._items(begin, end, chosen)
        found = np.zeros(((end - begin) * len(chosen), width), dtype=np.bool_)
        used = (to >= 0) & (self.column[items] >= 0)
        found[to[used], self.column[items][used]] = True
        return found

    def readings(self, begin: int, end: int, chosen: Ints) -> tuple[Ints, Floats, Floats]:
        """Readings (k,) of ticks begin..end-1: rows of the (T * S) that they belong to, times and values."""
        items, to = self._items(begin, end, chosen)
        used = to >= 0
        return to[used], self.time[items][used], self.value[items][used]

    def _items(self, begin: int, end: int, chosen: Ints) -> tuple[slice, Ints]:
        """The items of ticks begin..end-1, and to which of the (T * S) rows of `chosen` each belongs; -1: to none."""
        rows = self.rows(begin, end)
        size = int(self.cuts[begin + 1] - self.cuts[begin])
        place = np.full(size, -1)
        place[chosen] = np.arange(len(chosen))
        every = np.arange(end - begin)[:, None] * len(chosen) + place
        every[:, place < 0] = -1
        items = slice(*np.searchsorted(self.row, (rows.start, rows.stop)))
        return items, every.reshape(-1)[self.row[items] - rows.start]
