"""Which rollouts of some files are read and judged together, so that memory does not grow with how many there are.

Rollouts do not depend on each other: they are read in waves of at most `ROLLOUTS`, each wave from the rows between its
first and its last. A wave ends, where it can, at a row that no rollout reaches over (the end of a file, mostly), so
that no row is read twice. Where the rollouts of a wave come in turn, they are put side by side (_merge.py). What it
costs is one look through the column of names.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from guardian.adapters._tables import Stretch, coded, open_table

Ints = npt.NDArray[np.int64]

ROLLOUTS: Final = 2_000
"""Rollouts of one wave at most: enough to work on arrays, 30 to 60 MB of evidence."""
ROWS: Final = 8_000_000
"""Rows of one wave at most where rollouts come in turn: they are kept, packed, in 25 to 80 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What is read together: rows of files, and the rollouts whose rows they are read for; None: all that are there.

    in_turn: rollouts come one after the other, or few at a time.
    """

    files: tuple[Stretch, ...]
    rollouts: tuple[str, ...] | None = None
    in_turn: bool = False


def waves(paths: Sequence[Path], *, rollouts: int = ROLLOUTS) -> Iterator[Wave]:
    """Waves of at most so many rollouts, in the order in which these appear; memory is given back between them.

    Raises SamplesError for what cannot be read. With several waves their reader tells the first wrong row of a wave.
    """
    names, spans, sizes = _spans(paths)
    cuts = _cuts(spans, rollouts)
    _give_back()
    if len(cuts) <= 2:
        yield Wave(files=tuple(Stretch(path=path) for path in paths), in_turn=spans.in_turn(0, len(names)))
        return
    begins = np.cumsum([0, *sizes])
    for begin, end in pairwise(cuts):
        front, back = spans.reach(begin, end)
        files = tuple(
            Stretch(path=path, begin=max(front - int(start), 0), end=back - int(start))
            for path, start, size in zip(paths, begins, sizes, strict=False)
            if start < back and start + size > front
        )
        yield Wave(files=files, rollouts=tuple(names[begin:end]), in_turn=spans.in_turn(begin, end))
        _give_back()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spans:
    """First and last row of each rollout, counted through all files, and how many it has; in order of the first."""

    first: Ints
    last: Ints
    rows: Ints

    def reach(self, begin: int, end: int) -> tuple[int, int]:
        """First row of some rollouts, and the row after their last."""
        return int(self.first[begin]), int(self.last[begin:end].max()) + 1

    def in_turn(self, begin: int, end: int) -> bool:
        """Whether fewer than half of some rollouts are under way at once, on average over the rows of all."""
        if end - begin < 2:
            return False
        front, back = self.reach(begin, end)
        under_way = (self.last[begin:end] - self.first[begin:end] + 1).sum() / (back - front)
        return bool(under_way < 0.5 * (end - begin))


def _spans(paths: Sequence[Path]) -> tuple[list[str], _Spans, list[int]]:
    """Names in the order in which they appear, where their rows are, and how many rows each file has."""
    numbers: dict[str, int] = {}
    spans: list[tuple[int, int, int]] = []
    sizes, before = [], 0
    for path in paths:
        size = 0
        for row, table in open_table(Stretch(path=path), ("rollout_id",)):
            code, names = coded(table, "rollout_id")
            size = row + len(code)
            first, last = np.full(len(names), -1), np.full(len(names), -1)
            first[code[::-1]] = np.arange(len(code))[::-1]
            last[code] = np.arange(len(code))
            count = np.bincount(code, minlength=len(names))
            met = np.flatnonzero(count)
            for place in met[np.argsort(first[met], kind="stable")].tolist():
                number = numbers.setdefault(names[place], len(numbers))
                end, rows = before + row + int(last[place]), int(count[place])
                if number == len(spans):
                    spans.append((before + row + int(first[place]), end, rows))
                else:
                    begin, _, more = spans[number]
                    spans[number] = (begin, end, more + rows)
        sizes.append(size)
        before += size
    table_of = np.array(spans, dtype=np.int64).reshape(-1, 3)
    return list(numbers), _Spans(first=table_of[:, 0], last=table_of[:, 1], rows=table_of[:, 2]), sizes


def _give_back() -> None:
    """Hand freed memory back to the system: its holders would keep what one wave took, and the next takes other."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)


def _cuts(spans: _Spans, rollouts: int) -> list[int]:
    """Places where waves begin, and the end; waves in turn have at most ROWS rows, or one rollout."""
    cuts = [0]
    for begin, end in pairwise(_waves(spans, rollouts)):
        if spans.in_turn(begin, end):
            rows = 0
            for number in range(begin, end):
                rows += int(spans.rows[number])
                if rows > ROWS and number > cuts[-1]:
                    cuts.append(number)
                    rows = int(spans.rows[number])
        cuts.append(end)
    return cuts


def _waves(spans: _Spans, rollouts: int) -> list[int]:
    """Places where waves begin, and the end; a wave at least half full ends where no rollout reaches over."""
    first = spans.first
    reach = np.maximum.accumulate(spans.last) if len(first) else spans.last
    cuts = [0]
    while len(first) - cuts[-1] > rollouts:
        begin = cuts[-1]
        places = np.arange(begin + max(rollouts // 2, 1), begin + rollouts + 1)
        clean = places[reach[places - 1] < first[places]]
        cuts.append(int(clean[-1]) if len(clean) else begin + rollouts)
    return [*cuts, len(first)]
