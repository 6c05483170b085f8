"""What a policy says, as the core reads it: units resolved, defaults filled in, nothing left to parse.

Written by guardian.config.policy from YAML (CONTRACTS section 5). Durations in seconds, shares in 0..1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np

from analysis.budget import MONTH, PAGES, PAIRS, Pair
from analysis.users import Users
from guardian.core.model import Digest, Mode, Ratio, Seconds, Track, Weight
from guardian.core.strategies import Strategy


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """One section of a policy. Defaults are written out: a later default must not change a journaled policy."""


class Risk(_Part, frozen=True, kw_only=True):
    """Chances accepted for the whole rollout, all guardrails together."""

    false_rollback: Ratio = Ratio(0.01)
    false_promotion: Ratio = Ratio(0.05)
    earliest_promotion: Seconds = Seconds(900.0)


class RatioSli(_Part, frozen=True, tag="ratio", kw_only=True):
    """Bad events among all events; both are metric selectors of cumulative counters."""

    bad: str
    total: str


class HistogramSli(_Part, frozen=True, tag="histogram", kw_only=True):
    """Latencies as cumulative buckets in seconds (`le`)."""

    buckets: str


class GaugeSli(_Part, frozen=True, tag="gauge", kw_only=True):
    """A level, for example memory or queue length; worse: on which side of stable it hurts."""

    value: str
    worse: Literal["above", "below"] = "above"


class CountSli(_Part, frozen=True, tag="count", kw_only=True):
    """Events that have no denominator, for example logins or orders."""

    events: str


Sli = RatioSli | HistogramSli | GaugeSli | CountSli


class Margin(_Part, frozen=True, kw_only=True):
    """p_stable * relative + absolute: how much worse than stable still counts as the same."""

    relative: float
    absolute: float = 0.0


class Compare(_Part, frozen=True, kw_only=True):
    """The change: worse than `rollback` fails, shown to be within `promote` passes.

    tail_rollback, tail_promote: histograms only; share of requests that may become 4 or more times slower.
    fresh_pods: the canary's pods run on machines drawn anew, stable's do not: how much stable's pods differ then says
    nothing of how much the canary's do. strata: labels by whose values like is compared with like.
    """

    rollback: Margin
    promote: Margin
    tail_rollback: Ratio = Ratio(0.001)
    tail_promote: Ratio = Ratio(0.003)
    fresh_pods: bool = False
    strata: tuple[str, ...] = ()


class Level(_Part, frozen=True, kw_only=True):
    """A threshold and how long it must be exceeded."""

    bound: float
    lasts: Seconds


class Scope(StrEnum):
    """Whose users an objective is about."""

    CANARY = "canary"
    SERVICE = "service"


class BurnRate(_Part, frozen=True, kw_only=True):
    """How fast the error budget may be used up: as the pairs of windows of analysis/budget.py say.

    period: what the budget is for.
    """

    period: Seconds = Seconds(MONTH)

    @property
    def limits(self) -> tuple[tuple[Pair, float], ...]:
        """Each pair with the burn rate from which on it says "too fast"; those that page first."""
        return tuple((pair, pair.limit(self.period)) for pair in PAIRS)

    @property
    def pages(self) -> tuple[tuple[Pair, float], ...]:
        """The pairs for which a person would be called."""
        return self.limits[: len(PAGES)]


class Slo(_Part, frozen=True, kw_only=True):
    """The user's pain, judged over a trailing window (default: a level's own `lasts`), and over those of `burn_rate`.

    Ratio: target and bounds are shares of GOOD events, breached below. Histogram: bounds in seconds at `quantile`,
    breached above. Gauge and count: `breached` says which side.
    """

    target: float
    breached: Literal["above", "below"]
    quantile: Ratio | None = None
    warning: Level | None = None
    critical: Level | None = None
    window: Seconds | None = None
    scope: Scope = Scope.CANARY
    burn_rate: BurnRate | None = None

    @property
    def good(self) -> Ratio:
        """Share of events that must be good; the others are the error budget. Means nothing of gauges."""
        return Ratio(self.target) if self.quantile is None else self.quantile

    @property
    def fastest_burn(self) -> float:
        """Burn rate when every event is bad; there must be an error budget."""
        return 1.0 / (1.0 - self.good)


class WarmUp(_Part, frozen=True, kw_only=True):
    """Time after a pod's first row in which up to `factor` times worse is normal."""

    lasts: Seconds
    factor: float


class Guardrail(_Part, frozen=True, kw_only=True):
    """A metric that may fail a rollout. `compare` None: it has its objective only and does not participate.

    units: what its metric counts; users, each once, are independent of each other.
    """

    name: str
    sli: Sli
    compare: Compare | None = None
    objective: Slo | None = None
    warm_up: WarmUp | None = None
    min_requests: int | None = None
    page_after: Seconds = Seconds(600.0)
    units: Literal["requests", "users"] = "requests"

    @property
    def strata(self) -> tuple[str, ...]:
        """Labels within whose values it compares; none where it does not."""
        return self.compare.strata if self.compare is not None else ()


class OnAlert(StrEnum):
    """What a matching alert does to the rollout."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    PAGE = "page"
    IGNORE = "ignore"


class AlertRule(_Part, frozen=True, kw_only=True):
    """Which alerts touch a rollout of this policy, and what they do.

    match: label -> exact value. service, track: the alert's label that names it ("" = not named).
    """

    match: dict[str, str]
    service: str = "service"
    track: str = "track"
    on_firing: OnAlert = OnAlert.HOLD
    on_resolved: Literal["resume", "ignore"] = "resume"


class Match(_Part, frozen=True, kw_only=True):
    """Which rollouts the policy is for; environment "" is any."""

    service: str
    environment: str = ""


class Labels(_Part, frozen=True, kw_only=True):
    """Metric labels that tell service, track and pod, and the values that mean each track.

    control: of the old revision on pods as young as the canary's, with which the canary is compared then; "" is none.
    """

    service: str = "service"
    track: str = "track"
    pod: str = "pod"
    stable: str = "stable"
    canary: str = "canary"
    control: str = ""


class Adapter(_Part, frozen=True, kw_only=True):
    """A router, workload or probe by its name in the catalog, with the options its adapter reads."""

    kind: str
    options: dict[str, str | int | float | bool | list[str] | dict[str, str]] = {}


class Concurrency(StrEnum):
    """What happens to an earlier rollout of the same place."""

    QUEUE = "queue"
    SUPERSEDE = "supersede"
    REJECT = "reject"


class Attribution(_Part, frozen=True, kw_only=True):
    """What happens when something else than this revision is probably to blame.

    limit: how long a rollback is put off while a dependency's rollout is suspected. one_pod: what evidence does that
    comes from a single pod of the canary.
    """

    limit: Seconds = Seconds(300.0)
    one_pod: Literal["hold", "rollback"] = "hold"


class Affinity(_Part, frozen=True, kw_only=True):
    """Users stay on the track they were given: requests are no independent draws (analysis/users.py).

    session: how long a user stays on its track. requests: mean number it makes in that time, within `visit`.
    variation: sd of that number between users, over its mean. correlation: intraclass correlation of failure.
    """

    requests: float
    session: Seconds
    visit: Seconds
    variation: float = 2.0
    correlation: Ratio = Ratio(0.1)

    @property
    def users(self) -> Users:
        """What is assumed of users."""
        return Users(
            requests=self.requests, visit=self.visit, variation=self.variation, correlation=self.correlation
        )  # fmt: skip


class Policy(_Part, frozen=True, dict=True, kw_only=True):
    """Everything a rollout is judged by; a running rollout keeps the one it began with."""

    name: str
    match: Match
    strategy: Strategy
    guardrails: tuple[Guardrail, ...]
    risk: Risk = Risk()
    mode: Mode = Mode.ENFORCE
    alerts: tuple[AlertRule, ...] = ()
    labels: Labels = Labels()
    router: Adapter | None = None
    workload: Adapter | None = None
    probes: tuple[Adapter, ...] = ()
    concurrency: Concurrency = Concurrency.SUPERSEDE
    on_undecided: Literal["hold", "rollback"] = "hold"
    first_release: Literal["hold", "remove"] = "hold"
    hold_back: Seconds = Seconds(300.0)
    drain: Seconds = Seconds(30.0)
    unready: Seconds = Seconds(60.0)
    skew: Seconds = Seconds(300.0)
    refuse_for: Seconds = Seconds(86400.0)
    history: Seconds = Seconds(2400.0)
    interval: Seconds = Seconds(10.0)
    depends_on: tuple[str, ...] = ()
    attribution: Attribution = Attribution()
    affinity: Affinity | None = None

    @cached_property
    def digest(self) -> Digest:
        """Short SHA-256 of the whole policy; equal policies have equal digests."""
        return Digest(hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16])

    @cached_property
    def participating(self) -> tuple[Guardrail, ...]:
        """The guardrails that compare canary with stable; none where these never have users at the same time."""
        return self._comparing if self.strategy.splits else ()

    @cached_property
    def _comparing(self) -> tuple[Guardrail, ...]:
        return tuple(guardrail for guardrail in self.guardrails if guardrail.compare is not None)

    @cached_property
    def exposing(self) -> Guardrail | None:
        """The guardrail by whose requests events without a denominator are judged; None where none counts requests.

        The first ratio, else the first histogram: of those that compare, else of the others.
        """
        ranked = [
            guardrail
            for known in (self.participating, self.guardrails)
            for kind in (RatioSli, HistogramSli)
            for guardrail in known
            if isinstance(guardrail.sli, kind)
        ]
        return ranked[0] if ranked else None

    def users_of(self, guardrail: Guardrail) -> Users | None:
        """Users whose failures come together in what a guardrail counts; None: its events count one by one.

        Levels of pods are no user's, and users who are counted once are units themselves.
        """
        if self.affinity is None or guardrail.units == "users" or isinstance(guardrail.sli, GaugeSli):
            return None
        return self.affinity.users

    def dispersion(self, guardrail: Guardrail) -> float:
        """How many requests count as one for evidence, once users were seen for all of their visit; 1 or more."""
        users = self.users_of(guardrail)
        return 1.0 if users is None else float(users.dispersion(np.array(np.inf)))

    @property
    def baseline(self) -> Track:
        """The track that the canary is compared with: control's pods of its age where it is named, else stable's."""
        return Track.CONTROL if self.labels.control else Track.STABLE

    @property
    def risk_each(self) -> float:
        """Chance of a false rollback that is accepted for each guardrail that compares."""
        return self.risk.false_rollback / max(len(self._comparing), 1)

    @property
    def moves_traffic(self) -> bool:
        """Whether the guardian itself sets weights under this policy."""
        return self.router is not None and self.mode is not Mode.OBSERVE

    def guardrail(self, name: str) -> Guardrail:
        """Return the guardrail of that name; KeyError when there is none."""
        for guardrail in self.guardrails:
            if guardrail.name == name:
                return guardrail
        raise KeyError(name)


def with_margins(policy: Policy, relative: Mapping[str, float]) -> Policy:
    """The policy with other relative rollback margins, by guardrail; a promote margin below one is raised to it."""

    def changed(guardrail: Guardrail) -> Guardrail:
        compare = guardrail.compare
        if compare is None or guardrail.name not in relative:
            return guardrail
        margin = relative[guardrail.name]
        rollback = msgspec.structs.replace(compare.rollback, relative=margin)
        promote = msgspec.structs.replace(compare.promote, relative=max(margin, compare.promote.relative))
        return msgspec.structs.replace(
            guardrail, compare=msgspec.structs.replace(compare, rollback=rollback, promote=promote)
        )

    return msgspec.structs.replace(policy, guardrails=tuple(map(changed, policy.guardrails)))


def full(weight: Weight) -> bool:
    """Whether no stable traffic is left at this weight."""
    return weight >= 1.0
