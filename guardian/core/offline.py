"""Verdicts on a file of samples (CONTRACTS section 6): rows in the file's order in, one verdict a rollout out.

Every rollout is judged in its own time, with nothing from later rows; ticks of many rollouts are worked out together.
What is kept does not grow with the number of ticks. It reads no file and writes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.sequential.base import Ints
from guardian.core.model import Verdict
from guardian.core.offline_rows import RowReader
from guardian.core.offline_words import Finding, sentence
from guardian.core.policy import CountSli, Policy
from guardian.core.roster import Roster
from guardian.core.rulings import Ruling, Rulings
from guardian.core.samples import Batch
from guardian.errors import PolicyError


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineVerdict:
    """What the samples say of one rollout; `evidence` as CONTRACTS section 6 defines it."""

    rollout_id: str
    verdict: Verdict
    decided_at: float
    metric: str
    evidence: float
    reason: str


class Offline:
    """Judges rollouts of one policy; feed it with `take`, in order, then ask for `finish`."""

    def __init__(self, policy: Policy, *, rollouts: Sequence[str], metrics: Sequence[str], pods: Sequence[str]) -> None:
        """rollouts, metrics, pods: the reader's lists of names; they may grow until `finish`."""
        counted = [each for each in policy.participating if isinstance(each.sli, CountSli)]
        if counted and policy.exposing not in policy.participating:
            raise PolicyError(
                f"guardrail '{counted[0].name}': nothing says how much each track served",
                where=f"policy {policy.name}",
                remedy="add a ratio or a histogram that is compared: events of samples are judged by its requests",
            )
        self._policy, self._names = policy, rollouts
        self._roster = Roster()
        self._rows = RowReader(policy, self._roster, metrics, pods)
        self._rulings = Rulings(policy, self._roster)
        self._decided: dict[int, OfflineVerdict] = {}
        self._last = np.zeros(0)
        self._carry: Batch | None = None
        self._waiting: list[Batch] = []

    def take(self, batch: Batch) -> None:
        """Judge what these rows complete; the last tick of each rollout waits for the next rows."""
        self._rulings.grow(len(self._names))
        self._last = np.concatenate((self._last, np.full(len(self._names) - len(self._last), -np.inf)))
        np.maximum.at(self._last, batch.rollout, batch.time)
        self._waiting.append(self._rows.wanted(batch, self._rulings.open))
        if sum(map(len, self._waiting)) >= (len(self._carry) if self._carry is not None else 0):
            self._work_off(last=False)  # with fewer rows, those that still wait would be looked through too often

    def finish(self) -> list[OfflineVerdict]:
        """Judge the rest; returns one verdict a rollout, in the order in which the rollouts appeared."""
        self._work_off(last=True)
        for rollout in np.flatnonzero(self._rulings.open):
            self._record(self._rulings.undecided(int(rollout), float(self._last[rollout])))
        return [self._decided[rollout] for rollout in sorted(self._decided)]

    def refuse_open_ended(self) -> None:
        """Raise SamplesError where a histogram has no bucket +Inf; ask after `finish`."""
        self._rows.refuse_open_ended()

    def _work_off(self, *, last: bool) -> None:
        """Work through all complete ticks of what was taken; rows of ticks that may go on are carried over."""
        parts = [part for part in (self._carry, *self._waiting) if part is not None and len(part)]
        self._carry, self._waiting = None, []
        if not parts:
            return
        rows = Batch.joined(parts)
        del parts  # here and below: a batch is let go before the next copy of it is made
        order, rank, held = _by_tick(rows, last=last)
        self._carry = rows.rows(held) if len(held) else None
        rows = rows.rows(order)
        if len(rows):
            numbers = self._rows.numbers(rows)
            for begin, end in pairwise(np.searchsorted(rank, np.arange(int(rank[-1]) + 2)).tolist()):
                self._one_tick(rows.rows(slice(begin, end)), numbers[begin:end])

    def _one_tick(self, rows: Batch, numbers: Ints) -> None:
        """Judge one tick of some rollouts."""
        still = self._rulings.open[rows.rollout]
        if not still.all():
            kept = np.flatnonzero(still)
            rows, numbers = rows.rows(kept), numbers[kept]
        self._rows.feed(rows, numbers)
        for ruling in self._rulings.settle(rows.rollout, rows.time):
            self._record(ruling)

    def _record(self, ruling: Ruling) -> None:
        """Put a ruling into words, and forget what led to it."""
        evidence = float(np.exp(np.clip(ruling.log_evidence, -700.0, 700.0))) if ruling.arm >= 0 else 0.0
        finding, name = Finding.absent(self._policy.name), ""
        if ruling.arm >= 0:
            name = self._rows.guardrail_of(ruling.arm)
            contest, cell = self._roster.place(ruling.arm)
            finding = Finding.of(
                self._policy.guardrail(name), self._roster.contests[contest], cell,
                evidence=evidence, elapsed=ruling.at,
            )  # fmt: skip
        self._decided[ruling.rollout] = OfflineVerdict(
            rollout_id=self._names[ruling.rollout], verdict=ruling.verdict, decided_at=ruling.at, metric=name,
            evidence=evidence, reason=sentence(ruling.verdict, finding),
        )  # fmt: skip
        for arm in self._roster.arms_of(np.array([ruling.rollout]))[0]:
            self._rows.forget(int(arm))
            self._roster.drop_arm(int(arm))


def _by_tick(rows: Batch, *, last: bool) -> tuple[Ints, Ints, Ints]:
    """Rows of complete ticks: the first tick of every rollout, then the second of each; the rank of these ticks.

    And the rows of each rollout's last tick, which may go on; none of them where these rows are the last.
    """
    order = np.argsort(rows.rollout, kind="stable")
    rollout, time = rows.rollout[order], rows.time[order]
    fresh = np.concatenate(([True], rollout[1:] != rollout[:-1]))
    tick = np.cumsum(fresh | np.concatenate(([True], time[1:] != time[:-1])))
    first = np.flatnonzero(fresh)
    sizes = np.diff(np.append(first, len(order)))
    rank: Ints = tick - np.repeat(tick[first], sizes)
    final = np.repeat(tick[np.append(first[1:], len(order)) - 1], sizes)
    held = np.zeros(len(order), dtype=np.bool_) if last else tick == final
    ready = np.flatnonzero(~held)
    ready = ready[np.argsort(rank[ready], kind="stable")]
    return order[ready], rank[ready], order[held]
