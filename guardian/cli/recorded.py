"""The past for `guardian backtest` from files of samples: stable's rows of each rollout, held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from guardian.core.model import Track
from guardian.core.policy import Policy
from guardian.core.pretend import Shape, Window, cut, starts
from guardian.core.samples import Batch
from guardian.errors import ThinHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Past(Sequence[Window]):
    """Windows that are cut when they are asked for. starts: (place in `rows`, starting time); span: seconds of rows."""

    rows: tuple[Batch, ...]
    starts: tuple[tuple[int, float], ...]
    shape: Shape
    span: float

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | Sequence[Window]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        place, start = self.starts[index]
        return cut([self.rows[place]], start, self.shape)


def past_of(
    batches: Iterable[Batch],
    policy: Policy,
    *,
    metrics: Sequence[str],
    windows: int,
    shape: Shape,
    files: Sequence[Path],
) -> Past:
    """Return the windows of what some files hold of stable; `metrics` grows while batches are read.

    Raises ThinHistory where they hold no stable row of a guardrail that compares, or too short a past.
    """
    where = ", ".join(map(str, files))
    wanted = {guardrail.name for guardrail in policy.participating}
    kept: dict[int, list[Batch]] = {}
    for batch in batches:
        known = np.array([name in wanted for name in metrics], dtype=np.bool_)
        rows = batch.rows(np.flatnonzero(known[batch.metric] & (batch.track == Track.STABLE.code)))
        for place in np.unique(rows.rollout):
            kept.setdefault(int(place), []).append(rows.rows(np.flatnonzero(rows.rollout == place)))
    if not kept:
        has = ", ".join(metrics) or "none"
        raise ThinHistory(
            f"no stable row of a guardrail that the policy compares; metrics in it: {has}", where=where,
            remedy=f"name them as the policy does: {', '.join(sorted(wanted)) or 'it compares none'}",
        )  # fmt: skip
    tables = tuple(Batch.joined(parts) for parts in kept.values())
    ticks = [np.unique(part.time) for part in tables]
    span = max(float(each[-1] - each[0]) for each in ticks)
    need = shape.history + shape.length
    if span < need:
        raise ThinHistory(
            f"holds {span / 60:.0f}m of stable rows; one pretended rollout needs {need / 60:.0f}m",
            where=where, remedy="give a longer past (weeks tell most), or a shorter --length",
        )  # fmt: skip
    each = max(1, windows // len(tables))
    found = [(place, float(at)) for place, times in enumerate(ticks) for at in starts(times, wanted=each, shape=shape)]
    return Past(rows=tables, starts=tuple(found), shape=shape, span=sum(float(t[-1] - t[0]) for t in ticks))
