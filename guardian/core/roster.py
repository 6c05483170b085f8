"""Which guardrails of which rollouts are judged where, and what they say together.

An arm is one participating guardrail of one rollout: a cell of a contest. Contests are shared by all guardrails with
the same rule, of whichever policy, so that thousands of rollouts are worked out at once.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.baseline import sum_by
from analysis.multiplicity import average
from analysis.sequential.base import Floats, Ints, Test
from analysis.sequential.count import CountTest
from analysis.sequential.gauge import GaugeTest, Worse
from analysis.sequential.latency import LatencyTest
from analysis.sequential.ratio import RatioTest
from analysis.users import Users
from guardian.core.columns import Columns
from guardian.core.contest import Contest
from guardian.core.model import Track
from guardian.core.policy import Compare, GaugeSli, Guardrail, HistogramSli, RatioSli

TRACE: Final = 16
"""Readings of the combined evidence kept per rollout, over `hold_back` each."""


def comparison(guardrail: Guardrail, bounds: tuple[float, ...], *, factor: float) -> Test:
    """The test that a guardrail's margins ask for; bounds: upper bounds of its buckets (histogram only)."""
    compare = guardrail.compare
    if compare is None:
        raise ValueError(f"guardrail {guardrail.name!r} compares nothing")
    if isinstance(guardrail.sli, RatioSli):
        return RatioTest(
            relative=compare.rollback.relative, absolute=compare.rollback.absolute,
            promote_relative=compare.promote.relative, promote_absolute=compare.promote.absolute, factor=factor,
        )  # fmt: skip
    if isinstance(guardrail.sli, HistogramSli):
        return LatencyTest(
            bounds=bounds, relative=compare.rollback.relative, tail=compare.tail_rollback,
            promote_relative=compare.promote.relative, promote_tail=compare.tail_promote, factor=factor,
        )  # fmt: skip
    if isinstance(guardrail.sli, GaugeSli):
        return GaugeTest(
            relative=compare.rollback.relative, absolute=compare.rollback.absolute,
            promote_relative=compare.promote.relative, promote_absolute=compare.promote.absolute,
            worse=Worse(guardrail.sli.worse), factor=factor,
        )  # fmt: skip
    return CountTest(relative=compare.rollback.relative, promote_relative=compare.promote.relative, factor=factor)


class Roster:
    """Every arm of every rollout. Rollouts are numbered by whoever owns them."""

    def __init__(self) -> None:
        self.contests: list[Contest] = []
        self._keys: dict[Hashable, int] = {}
        self.arms = Columns(
            {
                "rollout": (), "contest": (), "cell": (), "harm": (), "safe": (), "unrest": (), "in_use": (),
            }
        )  # fmt: skip
        self.rollouts = Columns({"harm": (), "safe": (), "unrest": (), "trace": (TRACE + 1, 2), "traced": ()})
        self._owner: list[dict[int, int]] = []

    def contest(
        self, guardrail: Guardrail, bounds: tuple[float, ...] = (), *, users: Users | None = None,
        baseline: Track = Track.STABLE,
    ) -> int:  # fmt: skip
        """Number of the contest that judges guardrails like this one.

        users: whose requests they are, who stick to a track. baseline: what the canary stands against.
        """
        warm = guardrail.warm_up
        compare: Compare | None = guardrail.compare
        worse = guardrail.sli.worse if isinstance(guardrail.sli, GaugeSli) else ""
        key = (type(guardrail.sli), worse, compare, warm, bounds, users, baseline)
        if key not in self._keys:
            self._keys[key] = len(self.contests)
            self._owner.append({})
            self.contests.append(
                Contest(
                    comparison(guardrail, bounds, factor=1.0),
                    warming=comparison(guardrail, bounds, factor=warm.factor) if warm else None,
                    warm_up=warm.lasts if warm else 0.0,
                    fresh=compare is not None and (compare.fresh_pods or baseline is Track.CONTROL),
                    users=users,
                    baseline=baseline,
                )
            )
        return self._keys[key]

    def add_arm(self, rollout: int, contest: int, *, risk: float) -> int:
        """Make room for one participating guardrail of a rollout and return the arm's number.

        risk: chance of a false rollback that is accepted for this guardrail (`Policy.risk_each`).
        """
        arm = self.arms.add()
        cell = self.contests[contest].add_cell(risk=risk)
        self._owner[contest][cell] = arm
        values = {"rollout": rollout, "contest": contest, "cell": cell, "in_use": 1.0}
        for name, value in values.items():
            self.arms[name][arm] = float(value)
        return arm

    def drop_arm(self, arm: int) -> None:
        """Forget an arm; its number is used again."""
        contest, cell = self.place(arm)
        self.contests[contest].drop(cell)
        del self._owner[contest][cell]
        self.arms.give_back(arm)

    def place(self, arm: int) -> tuple[int, int]:
        """Contest and cell of an arm."""
        return int(self.arms["contest"][arm]), int(self.arms["cell"][arm])

    def begin(self, arms: Ints, began: float) -> None:
        """Say when the canary of these arms' rollout got its first traffic."""
        for arm in arms:
            contest, cell = self.place(int(arm))
            self.contests[contest].begin(cell, began)

    def settle(self) -> Ints:
        """Fold what is complete, everywhere; returns the rollouts whose evidence may have changed, sorted."""
        changed: list[Ints] = []
        for number, contest in enumerate(self.contests):
            cells = contest.settle()
            live = cells[~np.isnan(contest.cells["began"][cells])]
            if not len(live):
                continue
            owner = self._owner[number]
            arms = np.array([owner[int(cell)] for cell in live])
            evidence = contest.evidence(live)
            self.arms["harm"][arms], self.arms["safe"][arms] = evidence.harm, evidence.safe
            self.arms["unrest"][arms] = evidence.unrest
            changed.append(arms)
        if not changed:
            return np.zeros(0, dtype=np.int64)
        return np.unique(self.arms["rollout"][np.concatenate(changed)].astype(np.int64))

    def arms_of(self, rollouts: Ints) -> tuple[Ints, Ints]:
        """Arms in use of rollouts (sorted by rollout, then arm), and the place of each one's rollout."""
        size = self.arms.size
        places = np.full(int(max(self.arms["rollout"][:size].max(initial=0), rollouts.max(initial=0))) + 1, -1)
        places[rollouts] = np.arange(len(rollouts))
        owner = np.where(self.arms["in_use"][:size] > 0, places[self.arms["rollout"][:size].astype(np.int64)], -1)
        arms = np.flatnonzero(owner >= 0)
        arms = arms[np.argsort(owner[arms], kind="stable")]
        return arms, owner[arms]

    def participating(self, arms: Ints) -> npt.NDArray[np.bool_]:
        """Whether stable had a row for the arm before the canary's first traffic."""
        return np.array([self._cell_value(int(arm), "history") > 0 for arm in arms], dtype=np.bool_)

    def _cell_value(self, arm: int, name: str) -> float:
        contest, cell = self.place(arm)
        return float(self.contests[contest].cells[name][cell])


def combine(harm: Floats, safe: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Rollback evidence averaged over guardrails (R,), and the smallest promotion evidence; logs, (R, G) in.

    weights: (R, G), 0 where a guardrail does not participate. Nothing participates: 0 and -inf.
    """
    smallest = np.where(weights > 0, safe, np.inf).min(axis=1, initial=np.inf)
    return average(harm, weights), np.where((weights > 0).any(axis=1), smallest, -np.inf)


__all__ = ["TRACE", "Roster", "combine", "comparison", "sum_by"]
