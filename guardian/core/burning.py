"""How fast error budgets are used up: burn rates of guardrails whose objective asks, in pairs of windows.

Two memories a guardrail (analysis/sequential/burn.py): one of the objective's scope, one of stable, which is there to
say whether the canary is to blame. The canary's windows begin with its first traffic, and stable's begin anew then: an
incident that hit both would otherwise be diluted by stable's quiet past, and look like the canary's. Before that
stable is only asked whether it burnt already. The service's windows have both tracks in them, and history. Sample times
only; it decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.budget import PAGES, PAIRS
from analysis.sequential.base import Floats, Ints
from analysis.sequential.burn import Windows
from analysis.sequential.rows import Flags
from analysis.slo import LEAST_BAD, burn_rate, excludes
from analysis.users import Users, crowding
from guardian.core.columns import Columns
from guardian.core.looks import Breach, Burn, BurnPair
from guardian.core.model import Seconds
from guardian.core.objectives import unbroken
from guardian.core.policy import BurnRate, Scope, Slo

if TYPE_CHECKING:
    from guardian.core.feeding import Rows
    from guardian.core.fleet import Fleet

WINDOWS: Final = Windows()
_NEVER: Final = -1e300
_PAGING: Final = slice(len(PAGES))
_ORDER: Final = (Breach.UNKNOWN, Breach.NONE, Breach.WARNING, Breach.CRITICAL)


class Burning:
    """Burn rates of all guardrails that ask; rows are numbered as they are added. The axis of 2: scope, stable."""

    def __init__(self) -> None:
        self.rows = Columns(
            {
                "memory": (2, WINDOWS.remembered), "period": (), "good": (), "allowed": (len(PAIRS),),
                "design": (len(PAIRS), 2), "least": (len(PAIRS), 2),
                "scope": (), "column": (),  # which column of a layout has the bad ones
                "front": (), "live": (), "found": (len(PAIRS),), "seen": (),
                "since": (), "stable_last": (), "earlier": (),
            }
        )  # fmt: skip

    def add(self, objective: Slo | None, *, users: Users | None = None) -> int:
        """Make room for a guardrail and return its number, -1 where its burn rate is not asked.

        users: whose failures come together, None: requests count one by one.
        """
        if objective is None or objective.burn_rate is None:
            return -1
        row, state = self.rows.add(), self.rows
        limits = np.array([limit for _, limit in objective.burn_rate.limits])
        state["period"][row], state["good"][row] = objective.burn_rate.period, objective.good
        state["allowed"][row] = np.minimum(limits * (1.0 - objective.good), 1.0)
        state["scope"][row] = float(objective.scope is Scope.SERVICE)
        windows = np.array([[pair.long, pair.short] for pair in PAIRS])
        state["design"][row], state["least"][row] = crowding(users, windows)
        state["front"][row] = state["since"][row] = np.nan
        state["stable_last"][row] = _NEVER
        return row

    def drop(self, row: int) -> None:
        """Forget a guardrail; its number is used again."""
        self.rows.give_back(row)

    def take(self, rows: Ints, *, time: Floats, counts: Floats, began: Floats) -> None:
        """Add what came up to `time` (n,): counts (n, 2, 2), requests and bad ones of canary and stable.

        began: (n,) the canary's first traffic, NaN before it.
        """
        front, sums, filled = self._keep(rows, time, counts, began)
        self._judge(rows, front[None], sums[None], filled[None])

    def take_past(self, rows: Ints, *, time: Floats, counts: Floats) -> None:
        """Take ticks from before the canary's first traffic as `take` would; time: (T, n), counts: (T, n, 2, 2)."""
        never = np.full(len(rows), np.nan)
        kept = [self._keep(rows, now, came, never) for now, came in zip(time, counts, strict=True)]
        fronts, sums, filled = zip(*kept, strict=True)
        self._judge(rows, np.array(fronts), np.array(sums), np.array(filled))

    def _keep(self, rows: Ints, time: Floats, counts: Floats, began: Floats) -> tuple[Floats, Floats, Flags]:
        """Add counts to the windows. Returns the newest time, sums (n, 2, L, 2, 2), and which pairs can be asked."""
        state = self.rows
        before, front = state["front"][rows], np.fmax(time, state["front"][rows])
        passed = np.where(np.isnan(before), 0.0, front - before)  # an amendment may begin windows in mid-rollout
        live, service = front > began, state["scope"][rows] > 0
        memory = state["memory"][rows]
        begins = live & (state["live"][rows] == 0)
        self._excuse_service(rows[begins & service], memory[begins & service, 1])
        memory[begins, 1] = 0.0
        since = np.where(live, np.minimum(passed, front - began), 0.0)
        seconds = np.stack((np.where(service, passed, since), np.where(live, since, passed)), axis=1)
        came = np.stack((np.minimum(counts[..., 1], counts[..., 0]), counts[..., 0]), axis=-1)  # bad, all
        came[service, 0] += came[service, 1]
        flat = memory.reshape(-1, WINDOWS.remembered)
        WINDOWS.add(flat, came.reshape(-1, 2), seconds=seconds.reshape(-1))
        state["memory"][rows], state["front"][rows], state["live"][rows] = memory, front, live
        shape = (len(rows), 2, len(PAIRS))
        return front, WINDOWS.totals(flat).reshape(*shape, 2, 2), WINDOWS.filled(flat).reshape(shape)

    def _excuse_service(self, rows: Ints, stable: Floats) -> None:
        """Note that stable burnt before: the service's windows keep what it did then; stable: its memory (n, ...)."""
        if len(rows):
            sums = WINDOWS.totals(stable)
            burnt = self._beyond(rows, sums[..., 0], sums[..., 1])
            self.rows["earlier"][rows] = np.maximum(self.rows["earlier"][rows], burnt)

    def _beyond(self, rows: Ints, bad: Floats, total: Floats) -> Flags:
        """Whether rates (..., n, L, 2) themselves are beyond any paging pair, in both windows of it: (..., n)."""
        above: Flags = (bad > self.rows["allowed"][rows][..., None] * total) & (bad >= LEAST_BAD)
        both = np.asarray(above.all(axis=-1))
        return np.asarray(both[..., _PAGING].any(axis=-1))

    def _judge(self, rows: Ints, now: Floats, sums: Floats, filled: Flags) -> None:
        """Judge sums (T, n, 2, L, 2, 2) at times (T, n).

        To blame, data must exclude the pair's burn rate; to excuse, it is enough that stable's own rate is beyond it:
        a rollback needs that stable is well, and nothing shows that of one which is not.
        """
        state = self.rows
        bad, total = sums[..., 0], sums[..., 1]
        allowed = state["allowed"][rows][:, None, :, None]
        design, least = state["design"][rows][:, None], state["least"][rows][:, None]
        found = np.asarray(excludes(bad, total, allowed, design=design, least=least).all(axis=-1) & filled)
        paging = np.asarray(found[..., _PAGING].any(axis=-1))
        stable = np.where(self._beyond(rows, bad[:, :, 1], total[:, :, 1]), now, _NEVER).max(axis=0)
        live = state["live"][rows]
        state["found"][rows] = found[-1, :, 0]
        state["seen"][rows] = total[-1, :, 0].max(axis=(1, 2)) > 0
        state["since"][rows] = unbroken(paging[:, :, 0], now, state["since"][rows])
        state["stable_last"][rows] = np.maximum(state["stable_last"][rows], stable)
        state["earlier"][rows] = np.maximum(state["earlier"][rows], paging[:, :, 1].any(axis=0) & (live == 0))

    def standing(self, row: int, alike: int = -1) -> Burn | None:
        """How fast a guardrail uses up its budget; None where that is not asked.

        alike: the row in which stable's requests count as if they lay in the strata as the canary's do, -1 for none.
        """
        if row < 0:
            return None
        state = self.rows
        memory, period = state["memory"][row, :1], Seconds(float(state["period"][row]))
        sums, found = WINDOWS.totals(memory)[0], state["found"][row] > 0
        rates = burn_rate(sums[..., 0], sums[..., 1], float(state["good"][row])).tolist()
        pairs = tuple(
            BurnPair(
                long=Seconds(pair.long), short=Seconds(pair.short), limit=limit, found=bool(found[at]),
                rates=(_known(rates[at][0]), _known(rates[at][1])),
            )
            for at, (pair, limit) in enumerate(BurnRate(period=period).limits)
        )  # fmt: skip
        quiet = Breach.NONE if state["seen"][row] else Breach.UNKNOWN
        slow = Breach.WARNING if found.any() else quiet
        return Burn(
            period=period,
            seen=Seconds(float(memory[0, 0])),
            pairs=pairs,
            breach=Breach.CRITICAL if found[_PAGING].any() else slow,
            stable=any(
                bool(state["earlier"][one] or state["stable_last"][one] >= state["since"][one])
                for one in (row, alike)
                if one >= 0
            ),
        )


def _known(rate: float) -> float | None:
    return None if np.isnan(rate) else rate


def worse(breach: Breach, stable: bool, burn: Burn | None) -> tuple[Breach, bool]:  # noqa: FBT001  as a look has them
    """Return the worse of how levels and burn rate stand; what stable suffers as well is the milder of two alike."""
    if burn is None:
        return breach, stable
    return max((breach, stable), (burn.breach, burn.stable), key=lambda one: (_ORDER.index(one[0]), not one[1]))


def spend(fleet: Fleet, batches: list[Rows], sheets: Ints, link: str, likeness: Floats) -> None:
    """Take the rows of one tick, after they are the newest of their sheets; sheets: (n,) of the rows of all batches.

    link: to the rows that are told. likeness: (n,) what a request of each row counts. Costs next to nothing where no
    guardrail asks.
    """
    asked = fleet.links[link][sheets] >= 0
    if not asked.any():
        return
    chosen, counts, begin = [], [], 0
    for rows in batches:
        mine = np.flatnonzero(asked[begin : begin + len(rows.pods)])
        if len(mine):
            chosen.append(begin + mine)
            counts.append(rows.layout.judged(rows.counts[mine], watched(fleet, sheets[begin + mine])))
        begin += len(rows.pods)
    places = np.concatenate(chosen)
    numbers, place = np.unique(sheets[places], return_inverse=True)
    sums = np.zeros((2 * len(numbers), 2))
    stable = fleet.pods["canary"][np.concatenate([rows.pods for rows in batches])[places]] <= 0
    np.add.at(sums, 2 * place + stable, np.concatenate(counts) * likeness[places, None])
    fleet.burning.take(
        fleet.links[link][numbers].astype(np.int64), time=fleet.sheets["front"][numbers],
        counts=sums.reshape(-1, 2, 2), began=fleet.rollouts["began"][fleet.sheets["rollout"][numbers].astype(np.int64)],
    )  # fmt: skip


def watched(fleet: Fleet, sheets: Ints) -> Floats:
    """What `Layout.judged` is to be told (n, 1) of sheets that ask."""
    return fleet.burning.rows["column"][fleet.links["burn"][sheets].astype(np.int64)][:, None]
