"""Parts of a cell in which requests are alike (a zone, an endpoint): canary is held against stable within each.

Where a canary gets another mix of requests than stable does, sums over both compare mixes. Within a stratum they do
not, and what the strata say adds up: given the counts of a tick they are independent of each other (Mantel and Haenszel
1959, for one look at tables; here for gains of an e-process). What is remembered of stable is remembered per stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.baseline import sum_by
from analysis.sequential.base import Floats, Ints, Reading
from guardian.core.columns import Columns

STRATA: Final = 64
"""Strata of one guardrail that are compared apart."""
MOST_UNMATCHED: Final = 0.1
"""Share of the canary's requests that may be in strata which stable does not serve, where it is promoted."""
LEAST: Final = 20.0
"""By how much a stratum's part of the canary's requests may exceed its part of stable's to be compared."""
_TRACE: Final = 1e-6
"""Requests, forgotten but for so many, that are none."""
FORGET: Final = 300.0
"""Seconds after which what was served counts for 1/e: a new stratum shows soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Strata (G,) of cells (C,), sorted by cell; cell: (G,) the place of each one's cell. plain: one a cell."""

    cells: Ints
    strata: Ints
    cell: Ints
    plain: bool

    def chosen(self, cells: npt.NDArray[np.bool_]) -> tuple[Groups, Ints]:
        """Those of some cells (C,), and the places of their strata among all."""
        kept = np.flatnonzero(cells[self.cell])
        place = np.cumsum(cells) - 1
        return replace(self, cells=self.cells[cells], strata=self.strata[kept], cell=place[self.cell[kept]]), kept

    def summed(self, values: Floats) -> Floats:
        """Sums over the strata (G, ...) of each cell (C, ...)."""
        return values if self.plain else sum_by(values, self.cell, len(self.cells))

    def together(self, reading: Reading) -> Reading:
        """What the strata read, as one reading a cell."""
        if self.plain:
            return reading
        return Reading(
            harm=self.summed(reading.harm), safe=self.summed(reading.safe), score=self.summed(reading.score),
            harm_information=self.summed(reading.harm_information),
            safe_information=self.summed(reading.safe_information), lean=self.summed(reading.lean),
        )  # fmt: skip


class Strata:
    """The strata of all cells of a panel: each cell has one, which is all of it until another is named."""

    def __init__(self, remembered: int) -> None:
        self.rows = Columns({"memory": (remembered,), "cell": (), "served": (2,)})
        self._first = Columns({"stratum": ()})
        self._further = 0

    @property
    def plain(self) -> bool:
        """Whether each cell has one stratum only."""
        return self._further == 0

    def add_cell(self, cell: int) -> None:
        """Make room for a cell; numbers are the panel's."""
        self._first.reach(cell)
        self._first["stratum"][cell] = self._add(cell)

    def add(self, cell: int) -> int:
        """Make room for a further stratum of a cell and return its number."""
        self._further += 1
        return self._add(cell)

    def _add(self, cell: int) -> int:
        row = self.rows.add()
        self.rows["cell"][row] = cell
        return row

    def first(self, cell: int) -> int:
        """Number of the stratum that a cell began with."""
        return int(self._first["stratum"][cell])

    def drop(self, cell: int) -> None:
        """Forget the strata of a cell."""
        for number, row in enumerate(np.flatnonzero(self.rows["cell"][: self.rows.size] == cell)):
            self.rows.give_back(int(row))
            self._further -= number > 0

    def of(self, cells: Ints) -> Groups:
        """The strata of cells (C,), each named once."""
        if self.plain:
            strata = self._first["stratum"][cells].astype(np.int64)
            return Groups(cells=cells, strata=strata, cell=np.arange(len(cells)), plain=True)
        owner = self.rows["cell"][: self.rows.size].astype(np.int64)
        places = np.full(int(max(owner.max(initial=0), cells.max(initial=0))) + 1, -1)
        places[cells] = np.arange(len(cells))
        strata = np.flatnonzero(places[owner] >= 0)
        strata = strata[np.argsort(places[owner[strata]], kind="stable")]
        return Groups(cells=cells, strata=strata, cell=places[owner[strata]], plain=len(strata) == len(cells))

    def places(self, groups: Groups) -> Ints:
        """Place of each stratum of the panel among these, -1 where it is not."""
        places = np.full(self.rows.size, -1)
        places[groups.strata] = np.arange(len(groups.strata))
        return places

    def serve(self, groups: Groups, canary: Floats, stable: Floats, *, seconds: Floats) -> None:
        """Add requests (G,) of both tracks since the canary's first traffic; seconds: (C,) length of the tick."""
        kept = np.exp(-np.minimum(seconds, 10.0 * FORGET) / FORGET)[groups.cell]
        served = self.rows["served"][groups.strata] * kept[:, None]
        self.rows["served"][groups.strata] = served + np.stack((canary, stable), axis=1)

    def count(self, cell: int) -> int:
        """How many strata a cell has."""
        return len(self.of(np.array([cell])).strata)

    def unmatched(self, cell: int) -> float:
        """Share of the canary's requests in strata where stable has next to none: they are held against nothing."""
        canary, stable = self.rows["served"][self.of(np.array([cell])).strata].T
        alone = _alone(canary, stable, canary.sum(), stable.sum())
        return float(canary[alone].sum() / canary.sum()) if canary.any() else 0.0

    def memory(self, cells: Ints) -> Floats:
        """What is remembered of stable over all strata of cells, (C, remembered)."""
        groups = self.of(cells)
        return groups.summed(self.rows["memory"][groups.strata])


def _alone(canary: Floats, stable: Floats, of_canary: Floats, of_stable: Floats) -> npt.NDArray[np.bool_]:
    """Whether stable serves next to nothing of strata (n,); of_canary, of_stable: requests in all of a cell's."""
    return np.asarray(canary * of_stable > LEAST * stable * of_canary)


def likeness(arms: Sequence[Strata]) -> Floats:
    """What a request of stable counts, per stratum of a panel, if stable's are to lie in the strata as the canary's do.

    arms: the strata of warm and of warming pods. 0 where stable serves next to nothing of what the canary does. 1 at
    most: no request may stand for several, or one failure would pass for a breach.
    """
    owner = arms[0].rows["cell"][: arms[0].rows.size].astype(np.int64)
    canary, stable = np.sum([arm.rows["served"][: len(owner)] for arm in arms], axis=0).T
    of_canary, of_stable = (np.asarray(np.bincount(owner, each)[owner], np.float64) for each in (canary, stable))
    served = (stable > _TRACE) & ~_alone(canary, stable, of_canary, of_stable)
    ratio = np.divide(canary, stable, out=np.zeros(len(owner)), where=served)
    largest = np.zeros(int(owner.max(initial=0)) + 1)
    np.maximum.at(largest, owner, ratio)
    return np.asarray(np.divide(ratio, largest[owner], out=np.zeros_like(ratio), where=ratio > 0))


def summed_by(owner: Ints, values: Floats, *, plain: bool) -> tuple[Ints, Floats]:
    """Owners (n,), each once and sorted, and the sums of the values (S, ...) of each; plain: each has one only."""
    if plain:
        return owner, values
    owners, place = np.unique(owner, return_inverse=True)
    return owners, sum_by(values, place, len(owners))
