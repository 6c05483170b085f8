"""Which rollouts of some files are read and judged together, so that memory does not grow with how many there are.

Rollouts do not depend on each other: they are read in waves of at most `ROLLOUTS`, each wave from the rows between its
first and its last. A wave ends, where it can, at a row that no rollout reaches over (the end of a file, mostly), so
that no row is read twice. What it costs is one look through the column of names.
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

from guardian.adapters._tables import Stretch, coded, open_table

Ints = npt.NDArray[np.int64]

ROLLOUTS: Final = 2_000
"""Rollouts of one wave at most: enough to work on arrays, 30 to 60 MB of evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What is read together: rows of files, and the rollouts whose rows they are read for; None: all that are there."""

    files: tuple[Stretch, ...]
    rollouts: tuple[str, ...] | None = None


def waves(paths: Sequence[Path], *, rollouts: int = ROLLOUTS) -> Iterator[Wave]:
    """Waves of at most so many rollouts, in the order in which these appear; memory is given back between them.

    Raises SamplesError for what cannot be read. With several waves their reader tells the first wrong row of a wave.
    """
    names, first, last, sizes = _spans(paths)
    cuts = _cuts(first, last, rollouts)
    if len(cuts) <= 2:
        yield Wave(files=tuple(Stretch(path=path) for path in paths))
        return
    begins = np.cumsum([0, *sizes])
    for begin, end in pairwise(cuts):
        front, back = int(first[begin]), int(last[begin:end].max()) + 1
        files = tuple(
            Stretch(path=path, begin=max(front - int(start), 0), end=back - int(start))
            for path, start, size in zip(paths, begins, sizes, strict=False)
            if start < back and start + size > front
        )
        yield Wave(files=files, rollouts=tuple(names[begin:end]))
        _give_back()


def _spans(paths: Sequence[Path]) -> tuple[list[str], Ints, Ints, list[int]]:
    """Names in the order in which they appear, first and last row of each counted through all files, rows of each."""
    numbers: dict[str, int] = {}
    spans: list[tuple[int, int]] = []
    sizes, before = [], 0
    for path in paths:
        size = 0
        for row, table in open_table(Stretch(path=path), ("rollout_id",)):
            code, names = coded(table, "rollout_id")
            size = row + len(code)
            first, last = np.full(len(names), -1), np.full(len(names), -1)
            first[code[::-1]] = np.arange(len(code))[::-1]
            last[code] = np.arange(len(code))
            met = np.flatnonzero(last >= 0)
            for place in met[np.argsort(first[met], kind="stable")].tolist():
                number = numbers.setdefault(names[place], len(numbers))
                end = before + row + int(last[place])
                if number == len(spans):
                    spans.append((before + row + int(first[place]), end))
                else:
                    spans[number] = (spans[number][0], end)
        sizes.append(size)
        before += size
    both = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return list(numbers), both[:, 0], both[:, 1], sizes


def _give_back() -> None:
    """Hand freed memory back to the system, where the C library can: it would keep what one wave took for the next."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)


def _cuts(first: Ints, last: Ints, rollouts: int) -> list[int]:
    """Places where waves begin, and the end; a wave at least half full ends where no rollout reaches over."""
    reach = np.maximum.accumulate(last) if len(last) else last
    cuts = [0]
    while len(first) - cuts[-1] > rollouts:
        begin = cuts[-1]
        places = np.arange(begin + max(rollouts // 2, 1), begin + rollouts + 1)
        clean = places[reach[places - 1] < first[places]]
        cuts.append(int(clean[-1]) if len(clean) else begin + rollouts)
    return [*cuts, len(first)]
