"""Was a run right: what happened, compared with the ground truth; and does a scenario pass over many seeds.

The rules are those of docs/scenarios/README.md. Does not run anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from scipy.special import betaincinv

from guardian.core import records as r
from guardian.core.events import NAMES
from guardian.core.model import Seconds, Verdict
from simulator.counted import Harm
from simulator.parameters import Values
from simulator.scenario import LATE, Scenario
from simulator.truth import Happening, Milestone

CONFIDENCE: Final = 0.95
IN_TIME: Final = 0.95
"""Share of seeds that must be within 4 x the deadline."""
_WAITING: Final = frozenset(NAMES[record] for record in (r.Held, r.Paged, r.Awaiting))
"""Events that say why nothing moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Something a run did; `at` in seconds after the traffic shift. of: service and revision, () for the scenario's."""

    at: Seconds
    happening: Happening | None
    event: str
    guardrail: str = ""
    reason: str = ""
    of: tuple[str, ...] = ()

    def is_of(self, name: str | None) -> bool:
        """Whether that service or revision did it; None: the one that the scenario is about."""
        return name in self.of if name is not None else not self.of


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one seed of a scenario came to. decided_at: seconds after the shift; a hold is decided at the end.

    values: what the seed drew for the scenario's parameters.
    """

    scenario: str
    seed: int
    verdict: Verdict
    decided_at: Seconds
    seen: tuple[Seen, ...]
    harm: Harm
    values: Values = field(default_factory=dict)

    def count(self, happening: Happening, before: float = math.inf, of: str | None = None) -> int:
        """Return how often something happened, up to a time; of: to which service or revision, see Seen."""
        return sum(one.happening is happening and one.at < before and one.is_of(of) for one in self.seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run against the truth. lateness: of the worst milestone, 1 = at its deadline, inf = never."""

    run: Run
    expected: Verdict
    wrong: bool
    lateness: float

    @property
    def late(self) -> bool:
        """Whether something that had to happen came after 4 x its deadline, or not at all."""
        return not self.wrong and self.lateness > LATE

    @property
    def ok(self) -> bool:
        """Whether all that had to happen did by 4 x its deadline, and nothing that must not."""
        return not self.wrong and self.lateness <= LATE


def compare(scenario: Scenario, run: Run) -> Outcome:
    """Compare a run with the scenario's ground truth."""
    truth = scenario.spec.truth
    wrong = any(run.count(never.event, never.before, never.of) > never.more_than for never in truth.forbidden)
    lateness = max((_lateness(run, milestone) for milestone in truth.milestones), default=0.0)
    return Outcome(run=run, expected=truth.verdict, wrong=wrong, lateness=lateness)


def _lateness(run: Run, milestone: Milestone) -> float:
    """Return how late it first happened after its time began, in units of its deadline."""
    waits = [
        one.at - milestone.after
        for one in run.seen
        if one.happening is milestone.event and one.at >= milestone.after and one.is_of(milestone.of)
    ]
    return min(waits) / milestone.within if waits else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A scenario over its seeds.

    median, p95: seconds from onset to verdict (hold: in units of the deadline). hurt: failed requests of a
    mean run. caution: what a scenario that passes does not say, "" where nothing.
    """

    scenario: Scenario
    runs: int
    wrong: int
    late: int
    median: float
    p95: float
    deadline: float
    bound: Seconds | None
    hurt: float
    failures: tuple[str, ...] = field(default=())
    caution: str = ""

    @property
    def right(self) -> int:
        """Return how many runs came out right in time."""
        return self.runs - self.wrong - self.late

    @property
    def passed(self) -> bool:
        """Whether the scenario comes out right as docs/scenarios says."""
        return not self.failures


def summarise(scenario: Scenario, outcomes: Sequence[Outcome], *, bound: Seconds | None = None) -> Summary:
    """Judge a scenario over its seeds. bound: seconds that no method could do without, None where not known."""
    truth = scenario.spec.truth
    deadline = truth.within if truth.within is not None else 1.0
    lateness = sorted(math.inf if one.wrong else one.lateness for one in outcomes)
    wrong, late = sum(one.wrong for one in outcomes), sum(one.late for one in outcomes)
    median, p95 = _quantile(lateness, 0.5), _quantile(lateness, IN_TIME)
    failures, waited = [], _waited(outcomes)
    least = lower_limit(wrong, len(outcomes))
    if least > scenario.risk:
        share = f"{wrong} of {len(outcomes)} wrong, at least {least:.1%}"
        failures.append(f"{share}; the policy accepts {scenario.risk:.1%}")
    reachable = bound is None or bound <= deadline
    if median > 1.0 and reachable:
        took = f"takes {median:.2f} of its deadline" if math.isfinite(median) else "never comes to it"
        failures.append(f"the median run {took}{waited}")
    if p95 > LATE and (bound is None or bound <= LATE * deadline):
        failures.append(f"{late + wrong} of {len(outcomes)} seeds are not right within {LATE:g} x the deadline")
        failures[-1] += waited if len(failures) == 1 else ""
    return Summary(
        scenario=scenario,
        runs=len(outcomes),
        wrong=wrong,
        late=late,
        median=median * deadline,
        p95=p95 * deadline,
        deadline=deadline,
        bound=bound,
        hurt=sum(one.run.harm.bad for one in outcomes) / max(len(outcomes), 1),
        failures=tuple(failures),
        caution=_held_at_verdict(outcomes),
    )


def _held_at_verdict(outcomes: Sequence[Outcome]) -> str:
    """Say that rollouts were held when their evidence said promote: they would not have gone on by then."""
    promoted = [one.run for one in outcomes if one.run.verdict is Verdict.PROMOTE]
    held = [(run.seed, seen) for run in promoted if (seen := _standing_hold(run)) is not None]
    if not held:
        return ""
    seed, seen = held[0]
    return (
        f"{len(held)} of {len(promoted)} rollouts were held when the verdict was promote: their weight does not move "
        f"until that ends; seed {seed}: {seen.reason}"
    )


def _standing_hold(run: Run) -> Seen | None:
    """Return what the rollout is held by at its verdict; resumed and advanced end a hold."""
    ends = frozenset(NAMES[record] for record in (r.Held, r.Resumed, r.Advanced))
    known = [one for one in run.seen if one.event in ends and one.at <= run.decided_at and not one.of]
    return known[-1] if known and known[-1].event == NAMES[r.Held] else None


def _waited(outcomes: Sequence[Outcome]) -> str:
    """Return what late runs were told to wait for last, where most failing runs are late; "" where none was told.

    Reasons hold numbers of their run, so runs are counted by event and guardrail, and the first of them speaks.
    """
    late = [one.run for one in outcomes if one.late]
    if 2 * len(late) < sum(not one.ok for one in outcomes):
        return ""
    told = [(run.seed, seen) for run in late if (seen := _last_wait(run)) is not None]
    if not told:
        return ""
    (event, guardrail), _ = Counter((seen.event, seen.guardrail) for _, seen in told).most_common(1)[0]
    seed, seen = next(pair for pair in told if (pair[1].event, pair[1].guardrail) == (event, guardrail))
    alone = " (nobody answers in a simulation)" if event == NAMES[r.Awaiting] else ""
    return f"; seed {seed}: {event}: {seen.reason}{alone}"


def _last_wait(run: Run) -> Seen | None:
    return next((one for one in reversed(run.seen) if one.event in _WAITING and one.reason), None)


def _quantile(rising: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of them do not exceed; NaN of none."""
    return rising[max(math.ceil(share * len(rising)) - 1, 0)] if rising else math.nan


def lower_limit(count: int, runs: int) -> float:
    """Return the lower 95 % limit of a share.  Source: Clopper and Pearson 1934."""
    return 0.0 if count == 0 else float(betaincinv(count, runs - count + 1, 1 - CONFIDENCE))


def upper_limit(count: int, runs: int) -> float:
    """Return the upper 95 % limit of a share.  Source: Clopper and Pearson 1934."""
    return 1.0 if count == runs else float(betaincinv(count + 1, runs - count, CONFIDENCE))
