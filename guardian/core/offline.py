"""Verdicts on a file of samples (CONTRACTS section 6): rows in the file's order in, one verdict a rollout out.

Every rollout is judged in its own time, with nothing from later rows; ticks of many rollouts are worked out together.
What is kept does not grow with the number of ticks. It reads no file and writes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.model import Verdict
from guardian.core.offline_rows import RowReader
from guardian.core.offline_words import Finding, sentence
from guardian.core.policy import CountSli, GaugeSli, Policy
from guardian.core.roster import TRACE, Roster, combine
from guardian.core.samples import Batch
from guardian.core.verdicts import Trace, promotes, rolls_back, silent, uneasy
from guardian.errors import PolicyError


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineVerdict:
    """What the samples say of one rollout; `evidence` as CONTRACTS section 6 defines it."""

    rollout: str
    verdict: Verdict
    decided_at: float
    metric: str
    evidence: float
    reason: str


class Offline:
    """Judges rollouts of one policy; feed it with `take`, in order, then ask for `finish`."""

    def __init__(self, policy: Policy, *, rollouts: Sequence[str], metrics: Sequence[str]) -> None:
        """rollouts, metrics: the reader's lists of names; they may grow until `finish`."""
        for guardrail in policy.participating:
            if isinstance(guardrail.sli, GaugeSli | CountSli):
                raise PolicyError(
                    f"guardrail '{guardrail.name}': gauges and counts are not compared by `judge`",
                    where=f"policy {policy.name}",
                    remedy="write `compare: none` for it, or judge ratios and histograms",
                )
        self._policy, self._names = policy, rollouts
        self._roster = Roster()
        self._rows = RowReader(policy, self._roster, metrics)
        self._trace = Trace(TRACE)
        self._decided: dict[int, OfflineVerdict] = {}
        self._last = np.zeros(0)
        self._tick = np.zeros(0)
        self._notes = np.zeros((0, TRACE, 2))
        self._open = np.zeros(0, dtype=np.bool_)
        self._carry: Batch | None = None

    def take(self, batch: Batch) -> None:
        """Judge what these rows complete; the last tick of each rollout waits for the next rows."""
        self._grow(len(self._names))
        np.maximum.at(self._last, batch.rollout, batch.time)
        rows = self._rows.wanted(batch, self._open)
        if self._carry is not None:
            rows = joined(self._carry, rows)
        self._carry = self._work(rows, last=False)

    def finish(self) -> list[OfflineVerdict]:
        """Judge the rest; returns one verdict a rollout, in the order in which the rollouts appeared."""
        if self._carry is not None:
            self._work(self._carry, last=True)
            self._carry = None
        for rollout in np.flatnonzero(self._open):
            self._undecided(int(rollout))
        return [self._decided[rollout] for rollout in sorted(self._decided)]

    def _grow(self, count: int) -> None:
        more = count - len(self._last)
        if more > 0:
            self._last = np.concatenate((self._last, np.full(more, -np.inf)))
            self._tick = np.concatenate((self._tick, np.full(more, -np.inf)))
            self._open = np.concatenate((self._open, np.ones(more, dtype=np.bool_)))
            notes = np.full((more, TRACE, 2), -np.inf)
            self._notes = np.concatenate((self._notes, notes))

    def _work(self, rows: Batch, *, last: bool) -> Batch | None:
        """Work through all complete ticks; returns the rows of ticks that may go on."""
        if not len(rows):
            return None
        order = np.argsort(rows.rollout, kind="stable")
        rollout, time = rows.rollout[order], rows.time[order]
        fresh = np.concatenate(([True], rollout[1:] != rollout[:-1]))
        tick = np.cumsum(fresh | np.concatenate(([True], time[1:] != time[:-1])))
        first = np.flatnonzero(fresh)
        sizes = np.diff(np.append(first, len(order)))
        rank: Ints = tick - np.repeat(tick[first], sizes)
        final = np.repeat(tick[np.append(first[1:], len(order)) - 1], sizes)
        held = np.zeros(len(order), dtype=np.bool_) if last else tick == final
        ready = rows.rows(order[~held])
        rank = rank[~held]
        if len(ready):
            numbers = self._rows.numbers(ready)
            by_rank = np.argsort(rank, kind="stable")
            cuts = np.searchsorted(rank[by_rank], np.arange(int(rank.max()) + 2))
            for begin, end in pairwise(cuts):
                part = by_rank[begin:end]
                self._one_tick(ready.rows(part), numbers[part])
        return rows.rows(order[held]) if held.any() else None

    def _one_tick(self, rows: Batch, numbers: Ints) -> None:
        """Judge one tick of some rollouts."""
        kept = np.flatnonzero(self._open[rows.rollout])
        if len(kept) < len(rows):
            rows, numbers = rows.rows(kept), numbers[kept]
        self._tick[rows.rollout] = rows.time
        self._rows.feed(rows, numbers)
        changed = self._roster.settle()
        live = changed[self._tick[changed] > 0]
        if len(live):
            self._decide(live)

    def _decide(self, rollouts: Ints) -> None:
        arms, owner = self._roster.arms_of(rollouts)
        harm, safe, unrest, weights = self._table(arms, owner, len(rollouts))
        log_harm, log_safe = combine(harm, safe, weights)
        now, risk = self._tick[rollouts], self._policy.risk
        hold_back = self._policy.hold_back
        notes = self._notes[rollouts]
        before = self._trace.before(notes, now, hold_back)
        self._trace.note(notes, now, log_harm, hold_back)
        self._notes[rollouts] = notes
        failed = rolls_back(log_harm, false_rollback=np.full(len(rollouts), risk.false_rollback))
        quiet = ~self._silent_rollouts(arms, owner, now)
        passed = promotes(
            log_safe, false_promotion=np.full(len(rollouts), risk.false_promotion), elapsed=now,
            earliest=np.full(len(rollouts), risk.earliest_promotion), reporting=quiet,
            uneasy=uneasy(log_harm, before, unrest.max(axis=1, initial=0.0)),
        )  # fmt: skip
        for place in np.flatnonzero(failed | passed):
            mine = arms[owner == place]
            if failed[place]:
                worst = int(np.argmax(harm[place][: len(mine)]))
                self._conclude(int(rollouts[place]), Verdict.ROLLBACK, log_harm[place], mine, int(mine[worst]))
            else:
                weakest = int(np.argmin(safe[place][: len(mine)]))
                self._conclude(int(rollouts[place]), Verdict.PROMOTE, log_safe[place], mine, int(mine[weakest]))

    def _table(self, arms: Ints, owner: Ints, count: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Evidence of the arms as tables (R, G), and their weights; places without an arm weigh 0."""
        column = np.arange(len(owner)) - np.searchsorted(owner, owner)
        shape = (count, int(column.max(initial=0)) + 1)
        tables = [np.zeros(shape) for _ in range(4)]
        values = (*(self._roster.arms[name][arms] for name in ("harm", "safe", "unrest")), np.ones(len(arms)))
        for table, value in zip(tables, values, strict=True):
            table[owner, column] = value
        return tables[0], tables[1], tables[2], tables[3]

    def _silent_rollouts(self, arms: Ints, owner: Ints, now: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether any guardrail of each rollout lacks recent rows of either track."""
        out = np.zeros(len(now), dtype=np.bool_)
        contests = self._roster.arms["contest"][arms].astype(np.int64)
        cells = self._roster.arms["cell"][arms].astype(np.int64)
        for number in np.unique(contests):
            chosen = contests == number
            contest, mine = self._roster.contests[number], cells[chosen]
            tick = contest.tick(mine)
            for name in ("canary_last", "stable_last"):
                gone = silent(contest.cells[name][mine], now[owner[chosen]], tick)
                np.logical_or.at(out, owner[chosen], gone)
            np.logical_or.at(out, owner[chosen], contest.idle(mine, now[owner[chosen]]))
        return out

    def _undecided(self, rollout: int) -> None:
        """Hold where the data are fine, inconclusive where they are missing or unusable."""
        arms, _ = self._roster.arms_of(np.array([rollout]))
        if not len(arms):
            finding = Finding.absent(self._policy.name)
            self._record(rollout, Verdict.INCONCLUSIVE, 0.0, "", sentence(Verdict.INCONCLUSIVE, finding))
            return
        harm = self._roster.arms["harm"][arms]
        log_harm = float(combine(harm[None], harm[None], np.ones((1, len(arms))))[0][0])
        for arm in arms:
            if self._missing(int(arm), self._last[rollout]):
                self._conclude(rollout, Verdict.INCONCLUSIVE, log_harm, arms, int(arm))
                return
        self._conclude(rollout, Verdict.HOLD, log_harm, arms, int(arms[int(np.argmax(harm))]))

    def _missing(self, arm: int, last: float) -> bool:
        contest, cell = self._roster.place(arm)
        state, cells = self._roster.contests[contest], np.array([cell])
        now, tick = np.array([last]), state.tick(cells)
        canary = silent(state.cells["canary_last"][cells], now, tick)[0] or np.isnan(state.cells["canary_seen"][cell])
        never = np.isnan(state.cells["stable_seen"][cell])
        return bool(canary or never or state.idle(cells, now)[0])

    def _conclude(self, rollout: int, verdict: Verdict, log_value: float, arms: Ints, arm: int) -> None:
        contest, cell = self._roster.place(arm)
        name = self._rows.guardrail_of(arm)
        guardrail = self._policy.guardrail(name)
        state = self._roster.contests[contest]
        at = self._last[rollout] if verdict in (Verdict.HOLD, Verdict.INCONCLUSIVE) else self._tick[rollout]
        evidence = float(np.exp(np.clip(log_value, -700.0, 700.0)))
        finding = Finding.of(guardrail, state, cell, evidence=evidence, elapsed=float(at))
        self._record(rollout, verdict, evidence, name, sentence(verdict, finding), at=float(at))
        for each in arms:
            self._rows.forget(int(each))
            self._roster.drop_arm(int(each))

    def _record(
        self, rollout: int, verdict: Verdict, evidence: float, metric: str, reason: str, at: float | None = None
    ) -> None:
        self._open[rollout] = False
        self._decided[rollout] = OfflineVerdict(
            rollout=self._names[rollout], verdict=verdict, metric=metric, evidence=evidence, reason=reason,
            decided_at=float(self._last[rollout]) if at is None else at,
        )  # fmt: skip


def joined(first: Batch, second: Batch) -> Batch:
    """Rows of one batch, then of the other."""
    return Batch(
        **{name: np.concatenate((getattr(first, name), getattr(second, name))) for name in Batch.__slots__}
    )
