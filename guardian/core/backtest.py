"""How often a policy would have rolled back releases that never were.

Pretended rollouts of the past are judged by the offline judge, the one of `guardian judge`. All is measured, nothing
proved: the shares are of this service, these pods and this stretch of time. Pods of a new revision are younger than
any pod of the past, which no history can show (docs/statistics.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import msgspec
import numpy as np

from analysis import scoring
from analysis.clusters import share_over_groups
from analysis.scoring import quantile_with_misses
from guardian.core.foresight import WORSE
from guardian.core.model import Seconds, Verdict
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import CountSli, GaugeSli, Policy, full, with_margins
from guardian.core.pretend import (
    LEAST_HISTORY,
    Fault,
    Pretence,
    Shape,
    Window,
    candidates,
    has_before,
    rows_of,
    splits,
    worsened,
)
from guardian.core.samples import Batch
from guardian.errors import ThinHistory

LEAST_LENGTH: Final = Seconds(1800.0)
"""Shortest length of a pretended rollout where none is asked for."""
ROWS: Final = 600_000
"""Rows that are judged at once; bounds memory."""
MARGINS: Final = (1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0)
"""Relative margins that are tried, the smallest first."""

Share = scoring.Share
"""Share of pretended rollouts with its 95 % limits, which count starting times."""


class Arms(StrEnum):
    """What stands for canary and stable in a pretended rollout."""

    PODS = "pods"
    TIME = "time"


class Finding(StrEnum):
    """Whether false rollbacks fit the risk: the share's upper limit is within, its lower one beyond, or neither."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of some pretended rollouts, all healthy. promoted_after: median seconds, inf: most were not."""

    arms: Arms
    windows: int
    rolled_back: Share
    finding: Finding
    promoted: Share
    promoted_after: float
    by_guardrail: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How often a canary `worse` times as bad was rolled back. delay: median seconds, inf: most were not."""

    guardrail: str
    worse: float
    found: Share
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Smallest relative rollback margin at which the policy stays within its risk; None: none that was tried."""

    guardrail: str
    given: float
    suggested: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the past offers. pods: fewest and most in a window. group: canary pods, fewest and most."""

    pretences: tuple[Pretence, ...]
    before: tuple[Pretence, ...]
    windows: int
    left_out: dict[Fault, int]
    pods: tuple[int, int]
    group: tuple[int, int]


def as_planned(policy: Policy) -> Policy:
    """The policy with no promotion before the plan's steps with stable traffic are over, and without a control track.

    Until then a rollout may be rolled back, whatever the evidence for its promotion is. The past has no control pods.
    """
    compared = sum(step.bake for step in policy.strategy.steps() if not full(step.weight))
    earliest = Seconds(max(policy.risk.earliest_promotion, compared))
    return msgspec.structs.replace(
        policy,
        risk=msgspec.structs.replace(policy.risk, earliest_promotion=earliest),
        labels=msgspec.structs.replace(policy.labels, control=""),
    )


def shape_of(policy: Policy, *, length: Seconds | None = None, canary_pods: int | None = None, splits: int) -> Shape:
    """What pretended rollouts of a policy look like; by default twice as long as its promotion takes at least."""
    return Shape(
        length=Seconds(length or max(LEAST_LENGTH, 2.0 * policy.risk.earliest_promotion)),
        history=Seconds(max(policy.history, LEAST_HISTORY)), weight=float(policy.strategy.steps()[0].weight),
        canary_pods=canary_pods, splits=splits,
    )  # fmt: skip


def survey(windows: Sequence[Window], shape: Shape, *, seed: int, where: str) -> Survey:
    """Say which pretended rollouts these windows give. Raises ThinHistory where there is none."""
    faults: Counter[Fault] = Counter()
    pretences: list[Pretence] = []
    before: list[Pretence] = []
    sizes: list[tuple[int, int]] = []
    for number, window in enumerate(windows):
        pods = candidates(window, shape)
        if (not isinstance(pods, Fault) or pods is Fault.PODS) and has_before(window, shape):
            before.append(Pretence(window=number))
        if isinstance(pods, Fault):
            faults[pods] += 1
            continue
        size = shape.group(len(pods))
        sizes.append((len(pods), size))
        drawn = splits(pods, size=size, count=shape.splits, chance=np.random.default_rng((seed, number)))
        pretences += [Pretence(window=number, canary=canary) for canary in drawn]
    if not pretences:
        raise _thin(faults, len(windows), shape, where)
    pods_seen, groups = zip(*sizes, strict=True)
    return Survey(
        pretences=tuple(pretences), before=tuple(before), windows=len(sizes), left_out=dict(faults),
        pods=(min(pods_seen), max(pods_seen)), group=(min(groups), max(groups)),
    )  # fmt: skip


def _thin(faults: Counter[Fault], windows: int, shape: Shape, where: str) -> ThinHistory:
    worst = faults.most_common(1)[0][0] if faults else Fault.EMPTY
    need = f"{(shape.history + shape.length) / 60:.0f}m"
    remedies = {
        Fault.EMPTY: "check the guardrails' names and selectors, and that stable reports",
        Fault.SHORT: f"give a longer past: one pretended rollout needs {need}",
        Fault.GAP: "give a stretch without gaps, or a shorter --length",
        Fault.PODS: f"it takes {(shape.canary_pods or 1) + 1} pods with rows of their own: check the pod label, or "
        "lower --canary-pods",
    }
    said = ", ".join(f"{count} with {fault}" for fault, count in faults.most_common()) or "none at all"
    return ThinHistory(
        f"no starting time can be used ({windows} looked at: {said})", where=where, remedy=remedies[worst]
    )


class Court:
    """Judges pretended rollouts of some windows, by any policy. heard: told how many more were judged."""

    def __init__(
        self, windows: Sequence[Window], shape: Shape, *, metrics: Sequence[str], pods: Sequence[str], seed: int,
        heard: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._windows, self.shape, self._seed, self._heard = windows, shape, seed, heard
        self._metrics, self._pods = metrics, pods

    def judge(self, policy: Policy, pretences: Sequence[Pretence]) -> list[OfflineVerdict]:
        """One verdict for each pretended rollout, in their order."""
        rows = (rows_of(self._windows[one.window], one, self.shape) for one in pretences)
        return list(self._verdicts(policy, rows))

    def judge_worse(
        self, policy: Policy, pretences: Sequence[Pretence], *, guardrail: str, worse: float
    ) -> tuple[list[OfflineVerdict], list[Pretence]]:
        """The same with a canary `worse` times as bad in one guardrail; those that could be made worse, with them."""
        kept: list[Pretence] = []
        metric = self._metrics.index(guardrail)

        def rows() -> Iterator[Batch]:
            for number, one in enumerate(pretences):
                chance = np.random.default_rng((self._seed, number, int(100 * worse)))
                healthy = rows_of(self._windows[one.window], one, self.shape)
                changed = worsened(healthy, metric=metric, factor=worse, chance=chance)
                if changed is not None:
                    kept.append(one)
                    yield changed

        return list(self._verdicts(policy, rows())), kept

    def _verdicts(self, policy: Policy, rollouts: Iterator[Batch]) -> Iterator[OfflineVerdict]:
        waiting: list[Batch] = []
        for rows in rollouts:
            waiting.append(replace(rows, rollout=np.full(len(rows), len(waiting), dtype=np.int64)))
            if sum(map(len, waiting)) >= ROWS:
                yield from self._sitting(policy, waiting)
                waiting = []
        if waiting:
            yield from self._sitting(policy, waiting)

    def _sitting(self, policy: Policy, rollouts: list[Batch]) -> list[OfflineVerdict]:
        names = [str(number) for number in range(len(rollouts))]
        offline = Offline(policy, rollouts=names, metrics=self._metrics, pods=self._pods)
        offline.take(Batch.joined(rollouts))
        found = offline.finish()
        self._heard(len(rollouts))
        return found


def outcome(arms: Arms, verdicts: Sequence[OfflineVerdict], pretences: Sequence[Pretence], *, risk: float) -> Outcome:
    """What became of healthy pretended rollouts; limits count windows, since splits of one share their time."""
    group = np.array([one.window for one in pretences], dtype=np.int64)
    rolled = np.array([one.verdict is Verdict.ROLLBACK for one in verdicts], dtype=np.bool_)
    promoted = np.array([one.verdict is Verdict.PROMOTE for one in verdicts], dtype=np.bool_)
    after = np.array([one.decided_at if one.verdict is Verdict.PROMOTE else np.inf for one in verdicts])
    share = share_over_groups(rolled, group)
    return Outcome(
        arms=arms, windows=len(np.unique(group)), rolled_back=share, finding=_finding(share, risk),
        promoted=share_over_groups(promoted, group), promoted_after=quantile_with_misses(after, 0.5),
        by_guardrail=dict(Counter(one.metric for one in verdicts if one.verdict is Verdict.ROLLBACK).most_common()),
    )  # fmt: skip


def _finding(share: Share, risk: float) -> Finding:
    if share.upper <= risk:
        return Finding.ACCEPTED
    return Finding.REJECTED if share.lower > risk else Finding.UNDECIDED


def power(court: Court, policy: Policy, pretences: Sequence[Pretence], guardrails: Sequence[str]) -> Iterator[Power]:
    """Yield how often canaries x1.5 and x2 as bad in one guardrail are rolled back.

    Left out is what cannot be made worse: no bad event in the past; gauges and counts.
    """
    for guardrail in policy.participating:
        if guardrail.name not in guardrails or isinstance(guardrail.sli, GaugeSli | CountSli):
            continue
        for worse in WORSE:
            verdicts, kept = court.judge_worse(policy, pretences, guardrail=guardrail.name, worse=worse)
            if not kept:
                continue
            rolled = np.array([one.verdict is Verdict.ROLLBACK for one in verdicts], dtype=np.bool_)
            delay = np.array([one.decided_at if one.verdict is Verdict.ROLLBACK else np.inf for one in verdicts])
            group = np.array([one.window for one in kept], dtype=np.int64)
            yield Power(
                guardrail=guardrail.name, worse=worse, found=share_over_groups(rolled, group),
                delay=quantile_with_misses(delay, 0.5),
            )  # fmt: skip


def suggest(
    court: Court, policy: Policy, pretences: Sequence[Pretence], guardrails: Sequence[str]
) -> tuple[tuple[Suggestion, ...], Outcome | None]:
    """Relative margins, as small as the past allows for all guardrails together, and what becomes of it with them.

    All begin at the smallest; while more than `risk` is rolled back, the guardrail with the most rollbacks gets the
    next margin. None for one that is at the largest and still rolls back too many: then there is no outcome either.
    """
    at = {each.name: 0 for each in policy.participating if each.name in guardrails}
    given = {each.name: each.compare.rollback.relative for each in policy.participating if each.compare is not None}
    while True:
        tried = with_margins(policy, {name: MARGINS[step] for name, step in at.items()})
        seen = outcome(Arms.PODS, court.judge(tried, pretences), pretences, risk=policy.risk.false_rollback)
        if seen.rolled_back.share <= policy.risk.false_rollback:
            return tuple(Suggestion(guardrail=n, given=given[n], suggested=MARGINS[i]) for n, i in at.items()), seen
        worst = next(iter(seen.by_guardrail))
        if at[worst] + 1 == len(MARGINS):
            return tuple(
                Suggestion(guardrail=n, given=given[n], suggested=None if n == worst else MARGINS[i])
                for n, i in at.items()
            ), None
        at[worst] += 1
