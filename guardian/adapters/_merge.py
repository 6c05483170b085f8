"""Rollouts that come one after the other are put side by side: runs of rows, each sorted by time, are merged by time.

Ticks of many rollouts are worked out together (core/offline.py); with few at a time most of the work is overhead. So
the rows of a wave are read first, packed (3 to 10 bytes a row), and handed on by time. Rows of one rollout keep their
order, which is all that a verdict rests on. What is read together, _waves.py says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from guardian.core.samples import Batch

Floats = npt.NDArray[np.float64]

BLOCK_ROWS: Final = 1_000
"""Rows packed together; of each run no more lie unpacked."""
SLICE_ROWS: Final = 100_000
"""Rows handed on at once, about: several ticks of a wave."""
COLUMNS: Final = Batch.__slots__
CODES: Final = {column.name for column in fields(Batch) if column.type == "Ints"}
"""Columns of whole numbers; the others are floats."""
CODEC: Final = pa.Codec("zstd", compression_level=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Some rows of a run, packed; first, last: their earliest and latest time."""

    packed: bytes
    rows: int
    first: float
    last: float

    @classmethod
    def of(cls, rows: Batch) -> _Block:
        """Pack rows, sorted by time; each column takes 8 bytes a row."""
        plain = np.stack([getattr(rows, name).view(np.int64) for name in COLUMNS])
        packed = CODEC.compress(plain, asbytes=True)
        return cls(packed=packed, rows=len(rows), first=float(rows.time[0]), last=float(rows.time[-1]))

    def unpacked(self) -> Batch:
        plain = np.frombuffer(CODEC.decompress(self.packed, len(COLUMNS) * self.rows * 8), dtype=np.int64)
        columns: dict[str, Any] = dict(zip(COLUMNS, plain.reshape(len(COLUMNS), self.rows), strict=True))
        for name in set(COLUMNS) - CODES:
            columns[name] = columns[name].view(np.float64)
        return Batch(**columns)


@dataclass(slots=True)
class _Run:
    """Rows of one batch by time: blocks that are still packed, the earliest last, and rows at hand."""

    blocks: list[_Block]
    at_hand: list[Batch] = field(default_factory=list)

    @classmethod
    def of(cls, batch: Batch) -> _Run:
        rows = Batch.in_order([batch])
        begins = range(0, len(rows), BLOCK_ROWS)
        return cls([_Block.of(rows.rows(slice(begin, begin + BLOCK_ROWS))) for begin in reversed(begins)])

    def take(self, upto: float) -> list[Batch]:
        """Rows up to a time, that one included, which are then gone."""
        while self.blocks and self.blocks[-1].first <= upto:
            self.at_hand.append(self.blocks.pop().unpacked())
        if not self.at_hand:
            return []
        *parts, rows = self.at_hand  # only the newest block may reach over
        place = int(np.searchsorted(rows.time, upto, side="right"))
        self.at_hand = [rows.rows(slice(place, None))] if place < len(rows) else []
        return [*parts, rows.rows(slice(place))]


def by_time(batches: Iterable[Batch]) -> Iterator[Batch]:
    """All rows of some batches, in slices of time; of a time all rows are in one slice."""
    runs = [_Run.of(batch) for batch in batches if len(batch)]
    for upto in _times([block for run in runs for block in run.blocks]):
        parts = [part for run in runs for part in run.take(upto)]
        yield Batch.joined(parts)


def _times(blocks: list[_Block]) -> Iterator[float]:
    """Times at which slices end, rising; the last one is that of the last row."""
    rows, told = 0, -np.inf
    for block in sorted(blocks, key=lambda each: each.last):
        rows += block.rows
        if rows >= SLICE_ROWS and block.last > told:
            yield (told := block.last)
            rows = 0
    if blocks and told < (last := max(block.last for block in blocks)):
        yield last
