"""Is a service worse since a rollout has all its traffic than it was before? What is remembered of its own past.

Both tracks are added up: the past goes on meaning the same service, whatever the weight. Until the switch only blocks
of counts are kept, which costs next to nothing; at the first row after it they are foretold one by one
(analysis/sequential/past.py), and every later tick at once. Ratios that compare only. It decides nothing, and cannot
tell the change from anything else that began with it.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.sequential.base import Floats, Ints
from analysis.sequential.past import BLOCK, PastWatch
from analysis.sequential.rows import Flags
from guardian.core.columns import Columns
from guardian.core.looks import Past
from guardian.core.policy import Guardrail, Margin, RatioSli

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.core.fleet import Fleet
    from guardian.core.layouts import Layout

KEPT: Final = 128
"""Blocks kept before the switch; older ones are foretold as newer ones come."""
FULL: Final = BLOCK * 0.999
"""Seconds of a whole block."""
REMEMBERED: Final = PastWatch(relative=1.0).remembered
_PACKED: Final = ("pending", "blocks", "first", "kept", "turned", "since", "memory")


class OwnPast:
    """The past of all guardrails that are watched; rows are numbered as they are added. Counts: (bad, requests)."""

    def __init__(self) -> None:
        self.rows = Columns(
            {
                "watch": (), "warm_up": (), "turned": (),
                "pending": (3,), "blocks": (KEPT, 3), "first": (), "kept": (),  # each: bad, requests, seconds
                "since": (2,), "memory": (REMEMBERED,),
            }
        )  # fmt: skip
        self._watches: list[PastWatch] = []
        self._numbers: dict[tuple[Margin, float], int] = {}

    def add(self, guardrail: Guardrail, *, risk: float) -> int:
        """Make room for a guardrail and return its number, -1 where its past is not watched.

        The margin is that of a promotion: what was lawfully promoted is not held for it. risk: chance that it is found.
        """
        if guardrail.compare is None or not isinstance(guardrail.sli, RatioSli):
            return -1
        margin = guardrail.compare.promote
        if (margin, risk) not in self._numbers:
            self._numbers[margin, risk] = len(self._watches)
            self._watches.append(PastWatch(relative=margin.relative, absolute=margin.absolute, alpha=risk))
        row = self.rows.add()
        self.rows["watch"][row] = self._numbers[margin, risk]
        self.rows["warm_up"][row] = 0.0 if guardrail.warm_up is None else guardrail.warm_up.lasts
        return row

    def drop(self, row: int) -> None:
        """Forget a guardrail; its number is used again."""
        self.rows.give_back(row)

    def take(self, rows: Ints, *, counts: Floats, seconds: Floats, live: Flags) -> None:
        """Take one tick of different rows (n,); counts: (n, 2), seconds: (n,), live: (n,) whether after the switch."""
        new = np.concatenate((counts, seconds[:, None]), axis=1)
        turned = self.rows["turned"][rows] > 0
        if (live & ~turned).any():
            self._turn(rows[live & ~turned])
        before = ~(turned | live)
        if before.any():
            self._remember(rows[before], new[before])
        if before.all():
            return
        new[~live, :2] = 0.0  # what comes late from before the switch is no past any more, and not live either
        rows, new = rows[~before], new[~before]
        self.rows["since"][rows] += new[:, :2]
        for number, mine in self._by_watch(rows):
            memory = self.rows["memory"][rows[mine]]
            watch = self._watches[number]
            watch.take(memory, new[mine, :2], seconds=new[mine, 2], live=np.ones(len(mine), dtype=np.bool_))
            self.rows["memory"][rows[mine]] = memory

    def take_past(self, rows: Ints, *, counts: Floats, seconds: Floats) -> None:
        """Take ticks from before the switch as `take` would one by one; counts: (T, n, 2), seconds: (T, n)."""
        for place, row in enumerate(rows.tolist()):
            pending = self.rows["pending"][row]
            held, cuts, lengths = float(pending[2]), [0], []
            for tick, length in enumerate(seconds[:, place].tolist()):
                held += length
                if held >= FULL:
                    cuts.append(tick + 1)
                    lengths.append(held)
                    held = 0.0
            came = counts[:, place].copy()
            came[0] += pending[:2]
            ends = np.searchsorted(cuts, np.arange(len(came)), side="right") - 1
            sums = np.zeros((len(cuts), 2))
            np.add.at(sums, ends, came)
            self.rows["pending"][row] = (*sums[-1], held)
            for block, length in zip(sums[:-1], lengths, strict=True):
                self._keep(np.array([row]), np.array([[*block, length]]))

    def _remember(self, rows: Ints, new: Floats) -> None:
        pending = self.rows["pending"][rows] + new
        full = pending[:, 2] >= FULL
        self.rows["pending"][rows] = pending * ~full[:, None]
        if full.any():
            self._keep(rows[full], pending[full])

    def _keep(self, rows: Ints, blocks: Floats) -> None:
        """Keep a block of each row; where there is no room, the oldest one is foretold."""
        state = self.rows
        first, kept = state["first"][rows].astype(np.int64), state["kept"][rows].astype(np.int64)
        crowded = kept == KEPT
        if crowded.any():
            oldest = rows[crowded]
            self._foretell(oldest, state["blocks"][oldest, first[crowded]][:, None], np.ones(len(oldest)))
        state["blocks"][rows, (first + kept) % KEPT] = blocks
        state["first"][rows] = (first + crowded) % KEPT
        state["kept"][rows] = kept + ~crowded

    def _turn(self, rows: Ints) -> None:
        """The switch: foretell all that is kept, oldest first, and then what waits for a whole block."""
        state = self.rows
        order = (state["first"][rows][:, None].astype(np.int64) + np.arange(KEPT)) % KEPT
        self._foretell(rows, state["blocks"][rows[:, None], order], state["kept"][rows])
        waits = rows[state["pending"][rows, 2] > 0]
        self._foretell(waits, state["pending"][waits][:, None], np.ones(len(waits)))
        for name in ("pending", "blocks", "first", "kept"):
            state[name][rows] = 0.0
        state["turned"][rows] = 1.0

    def _foretell(self, rows: Ints, blocks: Floats, kept: Floats) -> None:
        """Have blocks (n, B, 3) foretold, of each row the first `kept` (n,)."""
        for number, mine in self._by_watch(rows):
            watch, memory = self._watches[number], self.rows["memory"][rows[mine]]
            for at in range(int(kept[mine].max())):
                there = np.flatnonzero(at < kept[mine])
                part, came = memory[there], blocks[mine[there], at]
                watch.take(part, came[:, :2], seconds=came[:, 2], live=np.zeros(len(there), dtype=np.bool_))
                memory[there] = part
            self.rows["memory"][rows[mine]] = memory

    def _by_watch(self, rows: Ints) -> list[tuple[int, Ints]]:
        """Which of these rows each watch is for."""
        watches = self.rows["watch"][rows].astype(np.int64)
        return [(int(number), np.flatnonzero(watches == number)) for number in set(watches.tolist())]

    def standing(self, row: int) -> Past | None:
        """How a guardrail stands against its past; None before the switch."""
        state = self.rows
        if not state["turned"][row]:
            return None
        watch, memory = self._watches[int(state["watch"][row])], state["memory"][[row]]
        stood = watch.standing(memory)
        value = float(stood.log_evidence[0, 0])
        return Past(
            log_evidence=value,
            stands=value >= -log(watch.alpha),
            calibrated=bool(stood.calibrated[0]),
            before=_share(memory[0, 7:9]),
            since=_share(state["since"][row]),
        )

    def pack(self, row: int) -> dict[str, bytes]:
        """All that is known of a row; zeros at the end are left out, most of it is empty most of the time."""
        return {name: _short(self.rows[name][row].tobytes()) for name in _PACKED}

    def put(self, row: int, packed: Mapping[str, bytes]) -> None:
        """Write a row as `pack` gave it."""
        for name, raw in packed.items():
            column = self.rows[name]
            whole = raw.ljust(column[row].nbytes, b"\0")
            column[row] = np.frombuffer(whole).reshape(column.shape[1:])


def _short(raw: bytes) -> bytes:
    """Numbers without the zeros at their end."""
    return raw[: -(-len(raw.rstrip(b"\0")) // 8) * 8]


def _share(counts: Floats) -> float | None:
    return float(counts[0] / counts[1]) if counts[1] > 0 else None


def remember(
    fleet: Fleet, *, pods: Ints, sheets: Ints, end: Floats, seconds: Floats, asked: Floats, bad: Floats
) -> None:  # fmt: skip
    """Take the rows (n,) of one tick, before they are the newest of their sheets.

    A row that lies across the switch says nothing, nor does one of a pod that warms up after it.
    """
    chosen = np.flatnonzero(fleet.links["past"][sheets] >= 0)
    if not len(chosen):
        return
    numbers, place = np.unique(sheets[chosen], return_inverse=True)
    rows = fleet.links["past"][numbers].astype(np.int64)
    switched = fleet.rollouts["switched"][fleet.sheets["rollout"][numbers].astype(np.int64)]
    begin = end[chosen] - seconds[chosen]
    after = begin >= switched[place]
    live = np.zeros(len(numbers), dtype=np.bool_)
    live[place[after]] = True
    counted = np.where(live[place], after, end[chosen] <= switched[place])
    if live.any():
        young = begin - fleet.table.pods["first"][pods[chosen]] < fleet.own_past.rows["warm_up"][rows][place]
        counted &= ~(after & young)
    sums, front = np.zeros((len(numbers), 2)), np.full(len(numbers), -np.inf)
    np.add.at(sums, place, np.stack((bad[chosen], asked[chosen]), axis=1) * counted[:, None])
    np.maximum.at(front, place, end[chosen])
    passed = np.fmax(front - fleet.sheets["front"][numbers], 0.0)
    fleet.own_past.take(rows, counts=sums, seconds=passed, live=live)


def remember_history(fleet: Fleet, layout: Layout, *, sheets: Ints, end: Floats, counts: Floats) -> None:
    """Take ticks of history of pods (S,) as `remember` would one by one; end: (T, S), counts: (T, S, F)."""
    chosen = np.flatnonzero(fleet.links["past"][sheets] >= 0)
    if not len(chosen):
        return
    chosen = chosen[np.argsort(sheets[chosen], kind="stable")]
    numbers, first = np.unique(sheets[chosen], return_index=True)
    newest = np.maximum.reduceat(end[:, chosen], first, axis=1)
    before = fleet.sheets["front"][numbers]
    front = np.maximum.accumulate(np.fmax(newest, before), axis=0)
    passed = np.fmax(np.diff(front, axis=0, prepend=before[None]), 0.0)
    mine = counts[:, chosen]
    both = np.stack((mine[..., 1], layout.requests(mine)), axis=-1)
    sums = np.add.reduceat(both, first, axis=1)
    fleet.own_past.take_past(fleet.links["past"][numbers].astype(np.int64), counts=sums, seconds=passed)
