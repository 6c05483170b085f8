"""The situations in which decision rules are compared: every healthy family, and regressions of every kind.

A case is what happens and what the policy is; how rules fare in it is counted by comparison.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as replaced
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from benchmarks.detection.bounds import margin_bound
from benchmarks.detection.families import ERRORS_ONLY, HEALTHY_ERRORS, HEALTHY_LATENCY, LATENCY_ONLY, POLICY
from benchmarks.detection.streams import Situation, always, ramp, since
from guardian.core.model import Seconds
from guardian.core.policy import Policy

INDEPENDENT: Final = ("pod_sd", "noise_sd", "cluster", "burst", "missing", "latency_pod_sd", "latency_noise_sd")


class Kind(StrEnum):
    """Which verdict is right."""

    HEALTHY = "healthy"
    WORSE = "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One situation. onset: seconds after the first canary traffic at which it becomes worse.

    promoted: share of runs in which ours may promote it; more where the policy itself allows the change.
    """

    name: str
    kind: Kind
    situation: Situation
    policy: Policy
    onset: float = 0.0
    promoted: float = 0.05

    @property
    def bound(self) -> float | None:
        """Least mean delay of any method, seconds; None where no simple bound is known."""
        situation = self.situation
        late = self.onset > 0 or "leak" in self.name or bool(situation.tail_share(situation.times).any())
        if self.kind is Kind.HEALTHY or late or any(getattr(situation, name) for name in INDEPENDENT):
            return None
        if len(self.policy.participating) != 1:
            return None
        compare = self.policy.participating[0].compare
        if compare is None:
            return None
        return margin_bound(situation, compare.rollback, alpha=float(self.policy.risk.false_rollback))


def promoting_from(policy: Policy, minutes: float) -> Policy:
    """The same policy, promoting no sooner than this."""
    return replace(policy, risk=replace(policy.risk, earliest_promotion=Seconds(60.0 * minutes)))


HOUR: Final = promoting_from(ERRORS_ONLY, 60.0)
HALF_HOUR: Final = promoting_from(ERRORS_ONLY, 30.0)


def _healthy() -> Iterator[Case]:
    for signal, families in (("errors", HEALTHY_ERRORS), ("latency", HEALTHY_LATENCY)):
        for name, (situation, policy) in families.items():
            yield Case(name=f"{signal}: {name}", kind=Kind.HEALTHY, situation=situation, policy=policy)
    allowed = Situation(effect=always(1.05), rps=2000.0, length=3600.0)
    gone = Situation(vanish=600.0)
    yield Case(name="errors: canary's metrics vanish", kind=Kind.HEALTHY, situation=gone, policy=ERRORS_ONLY)
    yield Case(name="errors: +5 %, allowed, 2000 rps, 60 min", kind=Kind.HEALTHY, situation=allowed, policy=HOUR)


def _errors(name: str, situation: Situation, policy: Policy = ERRORS_ONLY, *, promoted: float = 0.05) -> Case:
    return Case(name=name, kind=Kind.WORSE, situation=situation, policy=policy, promoted=promoted)


def _worse() -> Iterator[Case]:
    for times, rps in ((1.5, 200.0), (2.0, 200.0), (3.0, 200.0), (5.0, 200.0), (2.0, 2000.0), (5.0, 2000.0)):
        # The policy's own promote margin is x1.6 here: promoting x1.5 is no fault of the rule.
        situation = Situation(effect=always(times), rps=rps)
        yield _errors(f"errors x{times:g}, {rps:g} rps", situation, promoted=0.1 if times < 1.6 else 0.05)
    small = Situation(effect=always(1.2), rps=2000.0, length=3600.0)
    yield _errors("errors x1.2, 2000 rps, 60 min", small, HOUR, promoted=0.5)
    yield _errors("errors x1.2, 2000 rps", replaced(small, length=1800.0), promoted=0.6)
    for rho in (0.9, 0.95):
        noisy = Situation(effect=always(2.0), rps=2000.0, noise_sd=0.4, noise_rho=rho)
        yield _errors(f"errors x2, correlation {rho:g}, 2000 rps", noisy)
    for sd in (0.1, 0.15, 0.3):
        yield _errors(f"errors x2, pods differ {sd:.0%}", Situation(effect=always(2.0), rps=2000.0, pod_sd=sd))
    wide = Situation(effect=always(2.0), rps=2000.0, pod_sd=0.3, canary_pods=3)
    yield _errors("errors x2, pods differ 30%, 3 against 6", wide)
    for rps in (200.0, 2000.0):
        leak = Situation(effect=ramp(0.0, 1800.0, 1.0, 3.0), rps=rps)
        yield _errors(f"leak to x3 in 30 min, {rps:g} rps", leak, HALF_HOUR)
    late = Situation(effect=since(600.0, 2.0))
    yield Case(
        name="errors x2 after 10 min, 200 rps",
        kind=Kind.WORSE,
        situation=late,
        policy=ERRORS_ONLY,
        onset=600.0,
        promoted=0.15,
    )
    slow = {
        "latency +10 %": Situation(latency=True, slower=always(1.1)),
        "latency +20 %": Situation(latency=True, slower=always(1.2)),
        "latency +10 %, pods differ 3 %": Situation(latency=True, slower=always(1.1), latency_pod_sd=0.03),
        "0.5 % of requests 6x slower": Situation(latency=True, tail_share=always(0.005)),
        "20 % of requests 3x slower": Situation(latency=True, tail_share=always(0.2), tail_scale=3.0),
    }
    for name, situation in slow.items():
        yield _errors(name, situation, LATENCY_ONLY)
    broken = Situation(effect=always(3.0), latency=True, slower=always(0.5))
    yield _errors("errors x3 and twice as fast", broken, POLICY)


CASES: Final[Mapping[str, Case]] = {case.name: case for case in (*_healthy(), *_worse())}
