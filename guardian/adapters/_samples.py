"""A bounded log of samples in memory, in columns: appended a batch at a time, read by series and sample time.

It keeps what it is given until it is old or the log is full, whatever the order of the sample times. It knows
series as dense numbers only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from guardian.core.looks import Floats, Ints

ROWS: Final = 65_536
"""Samples of one chunk."""


@dataclass(slots=True)
class _Chunk:
    """A piece of the log; rows from `used` on are not yet written."""

    serial: int
    series: npt.NDArray[np.int32]
    time: Floats
    value: Floats
    used: int = 0
    newest: float = -np.inf


@dataclass(frozen=True, slots=True)
class View:
    """Samples of a chunk as they were when it was taken; arrays of shape (n,)."""

    series: npt.NDArray[np.int32]
    time: Floats
    value: Floats


def later(views: Sequence[View], since: Floats) -> tuple[Ints, Floats, Floats]:
    """Return (series, time, value) of the samples later than their series' `since`.

    since: shape (number of series,), unix seconds; +inf for a series that is not asked for.
    """
    found = []
    for view in views:
        chosen = np.flatnonzero(view.time > since[view.series])
        if chosen.size:
            found.append((view.series[chosen], view.time[chosen], view.value[chosen]))
    if not found:
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    series, time, value = (np.concatenate(column) for column in zip(*found, strict=True))
    return series.astype(np.int64), time, value


class SampleLog:
    """Samples in the order they came; `most` bounds how many are kept, the oldest chunk goes first."""

    def __init__(self, *, most: int) -> None:
        self._room = max(1, most // ROWS)
        self._chunks: deque[_Chunk] = deque()
        self._serial = 0
        self.lost_before = -np.inf
        """Newest sample time that was dropped because the log was full; -inf when nothing ever was."""

    def __len__(self) -> int:
        return sum(chunk.used for chunk in self._chunks)

    @property
    def serial(self) -> int:
        """Number of the chunk that is written now."""
        return self._serial

    @property
    def oldest_serial(self) -> int:
        """Number of the oldest chunk that is kept."""
        return self._chunks[0].serial if self._chunks else self._serial + 1

    def append(self, series: Ints, time: Floats, value: Floats) -> None:
        """Add samples; arrays of shape (n,)."""
        at = 0
        while at < series.size:
            chunk = self._writable()
            count = min(series.size - at, ROWS - chunk.used)
            here, there = slice(chunk.used, chunk.used + count), slice(at, at + count)
            chunk.series[here], chunk.time[here], chunk.value[here] = series[there], time[there], value[there]
            chunk.newest = max(chunk.newest, float(time[there].max()))
            chunk.used += count
            at += count

    def _writable(self) -> _Chunk:
        if not self._chunks or self._chunks[-1].used == ROWS:
            if len(self._chunks) >= self._room:
                self.lost_before = max(self.lost_before, self._chunks.popleft().newest)
            self._serial += 1
            empty = np.empty(ROWS, np.float64)
            self._chunks.append(_Chunk(self._serial, np.empty(ROWS, np.int32), empty, np.empty_like(empty)))
        return self._chunks[-1]

    def views(self, since: float) -> list[View]:
        """Return what may hold samples later than `since`; later appends do not change it, in any thread."""
        return [
            View(chunk.series[: chunk.used], chunk.time[: chunk.used], chunk.value[: chunk.used])
            for chunk in self._chunks
            if chunk.newest > since
        ]

    def forget(self, before: float) -> None:
        """Drop chunks that hold nothing as late as `before` (unix seconds)."""
        while self._chunks and self._chunks[0].newest < before:
            self._chunks.popleft()
