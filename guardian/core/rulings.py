"""First verdict of each of many rollouts, in their own time: the rule of verdicts.py over the roster's evidence.

Whoever feeds rows to the contests calls `settle` after each tick. It knows rollouts as numbers and writes no text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.model import Verdict
from guardian.core.policy import Policy
from guardian.core.roster import TRACE, Roster, combine
from guardian.core.strata import MOST_UNMATCHED
from guardian.core.verdicts import Flags, Trace, promotes, rolls_back, silent, uneasy


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """One rollout's verdict. arm: the guardrail behind it, -1 for none. log_evidence as CONTRACTS section 6 says."""

    rollout: int
    verdict: Verdict
    at: float
    arm: int
    log_evidence: float


class Rulings:
    """Judges the rollouts of one policy; each is open until its first rollback or promotion."""

    def __init__(self, policy: Policy, roster: Roster) -> None:
        self._policy, self._roster = policy, roster
        self._trace = Trace(TRACE)
        self._notes = np.zeros((0, TRACE, 2))
        self.open = np.zeros(0, dtype=np.bool_)
        self.tick = np.zeros(0)

    def grow(self, count: int) -> None:
        """Make room for rollouts 0..count-1."""
        more = count - len(self.open)
        if more > 0:
            self.tick = np.concatenate((self.tick, np.full(more, -np.inf)))
            self.open = np.concatenate((self.open, np.ones(more, dtype=np.bool_)))
            self._notes = np.concatenate((self._notes, np.full((more, TRACE, 2), -np.inf)))

    def settle(self, rollouts: Ints, time: Floats) -> list[Ruling]:
        """Fold what is complete after a tick of these rollouts, each at its own time; returns the new verdicts."""
        self.tick[rollouts] = time
        changed = self._roster.settle()
        live = changed[(self.tick[changed] > 0) & self.open[changed]]
        return self._decide(live) if len(live) else []

    def _decide(self, rollouts: Ints) -> list[Ruling]:
        arms, owner = self._roster.arms_of(rollouts)
        harm, safe, unrest, weights = self._table(arms, owner, len(rollouts))
        log_harm, log_safe = combine(harm, safe, weights)
        now, risk, hold_back = self.tick[rollouts], self._policy.risk, self._policy.hold_back
        notes = self._notes[rollouts]
        before = self._trace.before(notes, now, hold_back)
        self._trace.note(notes, now, log_harm, hold_back)
        self._notes[rollouts] = notes
        failed = rolls_back(log_harm, false_rollback=np.full(len(rollouts), risk.false_rollback))
        passed = promotes(
            log_safe, false_promotion=np.full(len(rollouts), risk.false_promotion), elapsed=now,
            earliest=np.full(len(rollouts), risk.earliest_promotion),
            reporting=~self._silent(arms, owner, now),
            uneasy=uneasy(log_harm, before, unrest.max(axis=1, initial=0.0)),
        )  # fmt: skip
        passed[passed] = [self._matched(arms[owner == place]) for place in np.flatnonzero(passed)]
        return [
            self._rule(int(rollouts[place]), arms[owner == place], failed=bool(failed[place]))
            for place in np.flatnonzero(failed | passed)
        ]

    def _matched(self, arms: Ints) -> bool:
        """Whether stable serves what the canary does, in every guardrail of a rollout."""
        placed = (self._roster.place(int(arm)) for arm in arms)
        shares = (self._roster.contests[number].panel.strata.unmatched(cell) for number, cell in placed)
        return all(share <= MOST_UNMATCHED for share in shares)

    def _rule(self, rollout: int, arms: Ints, *, failed: bool) -> Ruling:
        harm, safe = (self._roster.arms[name][arms] for name in ("harm", "safe"))
        log_harm, log_safe = combine(harm[None], safe[None], np.ones((1, len(arms))))
        self.open[rollout] = False
        return Ruling(
            rollout=rollout,
            verdict=Verdict.ROLLBACK if failed else Verdict.PROMOTE,
            at=float(self.tick[rollout]),
            arm=int(arms[np.argmax(harm) if failed else np.argmin(safe)]),
            log_evidence=float(log_harm[0] if failed else log_safe[0]),
        )

    def _table(self, arms: Ints, owner: Ints, count: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Evidence of the arms as tables (R, G), and their weights; places without an arm weigh 0."""
        column = np.arange(len(owner)) - np.searchsorted(owner, owner)
        shape = (count, int(column.max(initial=0)) + 1)
        tables = [np.zeros(shape) for _ in range(4)]
        values = (*(self._roster.arms[name][arms] for name in ("harm", "safe", "unrest")), np.ones(len(arms)))
        for table, value in zip(tables, values, strict=True):
            table[owner, column] = value
        return tables[0], tables[1], tables[2], tables[3]

    def _silent(self, arms: Ints, owner: Ints, now: Floats) -> Flags:
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

    def undecided(self, rollout: int, last: float) -> Ruling:
        """Hold where the data are fine, inconclusive where they are missing or unusable; last: time of its last row."""
        self.open[rollout] = False
        arms, _ = self._roster.arms_of(np.array([rollout]))
        if not len(arms):
            return Ruling(rollout=rollout, verdict=Verdict.INCONCLUSIVE, at=last, arm=-1, log_evidence=-np.inf)
        harm = self._roster.arms["harm"][arms]
        log_harm = float(combine(harm[None], harm[None], np.ones((1, len(arms))))[0][0])
        missing = next((int(arm) for arm in arms if self._missing(int(arm), last)), None)
        return Ruling(
            rollout=rollout,
            verdict=Verdict.HOLD if missing is None else Verdict.INCONCLUSIVE,
            at=last,
            arm=int(arms[int(np.argmax(harm))]) if missing is None else missing,
            log_evidence=log_harm,
        )

    def _missing(self, arm: int, last: float) -> bool:
        """Whether the canary stopped reporting, or a track never had a request; stable may end at weight 100 %."""
        number, cell = self._roster.place(arm)
        contest, cells = self._roster.contests[number], np.array([cell])
        now = np.array([last])
        gone = silent(contest.cells["canary_last"][cells], now, contest.tick(cells))[0]
        never = np.isnan(contest.cells["stable_seen"][cell]) or not contest.served(cell)
        return bool(gone or never or contest.idle(cells, now)[0])
