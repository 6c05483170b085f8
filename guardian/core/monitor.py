"""The false rollbacks a service would have seen lately: windows of its past, judged stable against stable.

Windows lie on a grid of absolute times, one pretended rollout each, its canary drawn by the window's own time: whoever
counts anew, after a restart or on another machine, counts the same. It asks nothing and knows no clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np

from analysis.scoring import share_of
from guardian.core.backtest import Court, as_planned, shape_of
from guardian.core.model import Instant, Ratio, Seconds, Verdict
from guardian.core.policy import CountSli, Policy
from guardian.core.pretend import Fault, Pretence, Shape, Window, candidates, in_order_of_names, splits
from guardian.core.sentences import duration, share

SETTLED: Final = Seconds(300.0)
"""A window is judged as long after its end: late samples are there then."""
UNUSABLE: Final = "rows that cannot be judged"
"""Why a window is left out whose verdict is inconclusive."""
_DAYS: Final = 2 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """What a window came to. fault: why it could not be judged. guardrail: the one that rolled back; "" for none."""

    fault: str = ""
    guardrail: str = ""


_HEALTHY: Final = Ruled()
_UNUSABLE: Final = Ruled(fault=UNUSABLE)  # one value for most of the hundreds that each service has


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Stable against stable at one place, under one policy, over a trailing span.

    lower, upper: limits at 95 % of the chance of a false rollback (Clopper and Pearson); None without a window.
    since, newest: begin of the oldest and end of the newest window judged. left_out: windows that could not be judged.
    guardrails: false rollbacks by the guardrail that caused them. complete: the whole span has been judged once.
    exceeded: so it has, and `lower` is above `risk`, the policy's false_rollback. problem: why it is not known, or not
    up to date.
    """

    windows: int = 0
    false_rollbacks: int = 0
    lower: float | None = None
    upper: float | None = None
    left_out: int = 0
    guardrails: dict[str, int] = {}
    since: Instant | None = None
    newest: Instant | None = None
    risk: Ratio
    complete: bool = False
    exceeded: bool = False
    problem: str = ""

    @property
    def sentence(self) -> str:
        """Say it in the words of an operator; promises nothing that was not measured."""
        if self.lower is None or self.upper is None or self.since is None or self.newest is None:
            return f"not measured at this service, stable against stable: {self.problem or 'no window is judged yet'}"
        span = self.newest - self.since
        limits = f"{share(self.lower)} to" if self.false_rollbacks else "at most"
        text = (
            f"measured at this service, stable against stable: {self.false_rollbacks} of {self.windows} windows "
            f"(95 %: {limits} {share(self.upper)}; {f'{span / 86400:.0f} days' if span >= _DAYS else duration(span)})"
        )
        if self.exceeded:
            text = (
                f"this service's pods differ more than the evidence allows for (false_rollback {share(self.risk)}): "
                f"{text}; `guardian backtest` suggests margins"
            )
        if self.problem:
            return f"{text}; not up to date: {self.problem}"
        return text if self.complete else f"{text}, so far"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The windows judged so far of one place under one policy, by starting time. over: seconds of the trailing span.

    complete: the whole span has been judged once; before that limits would be looked at again with each window.
    """

    policy: Policy
    shape: Shape
    over: Seconds
    ruled: Mapping[Instant, Ruled]
    complete: bool = False

    @classmethod
    def of(cls, policy: Policy, over: Seconds) -> Tally:
        """Return the empty tally of rollouts that look like those of this policy."""
        planned = as_planned(policy)
        return cls(policy=planned, shape=shape_of(planned, splits=1), over=over, ruled={})

    @property
    def obstacle(self) -> str:
        """Why no window can be judged, whatever the past holds; "" where nothing is in the way."""
        kinds = [guardrail for guardrail in self.policy.participating if isinstance(guardrail.sli, CountSli)]
        if kinds and self.policy.exposing not in self.policy.participating:
            return f"no guardrail that compares counts the requests that the events of '{kinds[0].name}' are judged by"
        if self.shape.weight >= 1.0 and self.shape.canary_pods is None:
            return "no step of this policy has traffic on both tracks"
        if self.over < self.shape.length:
            lasts = duration(self.shape.length)
            return f"monitor.over ({duration(self.over)}) is shorter than one rollout of this policy ({lasts})"
        return ""

    def due(self, now: Instant) -> tuple[Instant, ...]:
        """Starting times of the span that are still to be judged, the newest first."""
        length = self.shape.length
        first = math.ceil((now - self.over) / length)
        last = math.floor((now - SETTLED) / length) - 1
        times = (Instant(number * length) for number in range(last, first - 1, -1))
        return () if self.obstacle else tuple(at for at in times if at not in self.ruled)

    def grown(self, ruled: Mapping[Instant, Ruled], now: Instant) -> Tally:
        """Return the tally with these windows, without those that the span has left behind."""
        kept = {at: one for at, one in {**self.ruled, **ruled}.items() if at >= now - self.over}
        found = replace(self, ruled=kept)
        return replace(found, complete=self.complete or not found.due(now))

    def standing(self, *, problem: str = "") -> Standing:
        """Return what it comes to. problem: why no more could be read."""
        judged = [at for at, one in self.ruled.items() if not one.fault]
        left_out = Counter(one.fault for one in self.ruled.values() if one.fault)
        known = problem or self.obstacle or (_thin(left_out) if self.complete and not judged else "")
        found = Standing(
            left_out=left_out.total(), risk=self.policy.risk.false_rollback, complete=self.complete, problem=known
        )
        if not judged:
            return found
        blamed = Counter(one.guardrail for one in self.ruled.values() if one.guardrail)
        seen = share_of(blamed.total(), len(judged))
        return msgspec.structs.replace(
            found, windows=len(judged), false_rollbacks=blamed.total(), lower=seen.lower, upper=seen.upper,
            guardrails=dict(blamed.most_common()), since=min(judged), newest=Instant(max(judged) + self.shape.length),
            exceeded=self.complete and seen.lower > found.risk,
        )  # fmt: skip


def _thin(left_out: Counter[str]) -> str:
    said = ", ".join(f"{count} with {fault}" for fault, count in left_out.most_common()) or "none in the span"
    return f"no window of its past can be judged ({said})"


def rule(tally: Tally, windows: Mapping[Instant, Window], pods: Mapping[str, int]) -> dict[Instant, Ruled]:
    """Judge windows by their starting times; each has one group of its pods for canary. Takes a while.

    pods: names with their codes. Raises PolicyError where the policy cannot be judged by past samples.
    """
    ordered, names = in_order_of_names(list(windows.values()), pods)
    found: dict[Instant, Ruled] = {}
    drawn: dict[Instant, Pretence] = {}
    for number, (start, window) in enumerate(zip(windows, ordered, strict=True)):
        able = candidates(window, tally.shape)
        if isinstance(able, Fault):
            found[start] = Ruled(fault=able.value)
            continue
        chance = np.random.default_rng(round(start))
        [canary] = splits(able, size=tally.shape.group(len(able)), count=1, chance=chance)
        drawn[start] = Pretence(window=number, canary=canary)
    metrics = [guardrail.name for guardrail in tally.policy.participating]
    court = Court(ordered, tally.shape, metrics=metrics, pods=names, seed=0, heard=lambda _: None)
    for start, verdict in zip(drawn, court.judge(tally.policy, list(drawn.values())), strict=True):
        if verdict.verdict is Verdict.ROLLBACK:
            found[start] = Ruled(guardrail=verdict.metric)
        else:
            found[start] = _UNUSABLE if verdict.verdict is Verdict.INCONCLUSIVE else _HEALTHY
    return found
