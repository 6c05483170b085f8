"""What the fleet of evidence says of one rollout at one look. Made by fleet.py, read by decide.py and explain.py.

Times are sample times (unix seconds in the daemon, seconds since first traffic in `judge`). Evidence is a natural
logarithm of an e-value (or of a calibrated score where dependence was corrected for); NaN where no data came yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from guardian.core.model import Instant, Ratio, RolloutId, Seconds, Share, Track, Value, Weight

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Part(StrEnum):
    """What a series contributes to its guardrail."""

    TOTAL = "total"
    BAD = "bad"
    BUCKET = "bucket"
    VALUE = "value"
    COUNT = "count"

    @property
    def level(self) -> bool:
        """Whether each sample is an observation by itself, and not a count since the process began."""
        return self is Part.VALUE


class SeriesKey(Value, frozen=True, kw_only=True):
    """One series of one guardrail; `labels` is a digest of the labels that make it one series of its pod.

    stratum: values of the labels by which the policy has like compared with like; "" where it names none.
    """

    rollout: RolloutId
    guardrail: str
    track: Track
    pod: str
    part: Part
    le: float = math.nan
    labels: str = ""
    stratum: str = ""


def stratum_of(labels: Mapping[str, str], by: Sequence[str]) -> str:
    """Return the stratum of a series with these labels; by: the labels that tell, "" where there are none.

    >>> stratum_of({"zone": "a", "pod": "p-1"}, ("zone", "endpoint"))
    'zone=a, endpoint='
    """
    return ", ".join(f"{label}={labels.get(label, '')}" for label in by)


class Observed:
    """Raw samples as a metric source has them: in any order, overlaps allowed, nothing differenced or averaged.

    series: ids from Fleet.series, shape (n,). time: sample time. value: counter or gauge reading; the staleness
    marker and other NaN are data errors or ends of a series, never zero. started: process start time, NaN unknown.
    """

    __slots__ = ("series", "started", "time", "value")

    def __init__(self, *, series: Ints, time: Floats, value: Floats, started: Floats | None = None) -> None:
        if not series.shape == time.shape == value.shape:
            raise ValueError(f"unequal shapes: series {series.shape}, time {time.shape}, value {value.shape}")
        self.series, self.time, self.value = series, time, value
        self.started = np.full(series.shape, np.nan) if started is None else started

    def only(self, chosen: npt.NDArray[np.bool_] | Ints) -> Observed:
        """Some of these samples."""
        return Observed(
            series=self.series[chosen], time=self.time[chosen], value=self.value[chosen], started=self.started[chosen]
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Observed)
            and np.array_equal(self.series, other.series)
            and np.array_equal(self.time, other.time)
            and np.array_equal(self.value, other.value, equal_nan=True)
        )

    __hash__ = None  # type: ignore[assignment]


class Breach(StrEnum):
    """How an objective stands; UNKNOWN while its window holds no data."""

    NONE = "none"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class BurnPair(Value, frozen=True, kw_only=True):
    """A long and a short window, in seconds, and how fast the error budget was used up in each.

    limit: burn rate that the data of both must exclude for the pair to say "too fast"; found: whether they do. rates:
    burn rate of the long and the short one, None without events.
    """

    long: Seconds
    short: Seconds
    limit: float
    rates: tuple[float | None, float | None]
    found: bool


class Burn(Value, frozen=True, kw_only=True):
    """How fast a guardrail uses up its error budget, on the objective's scope.

    seen: seconds that are known of it; of a longer window there is no more yet. breach: CRITICAL where a pair says so
    that pages, WARNING where only the slowest does. stable: whether stable burns, or burnt, as fast by itself.
    """

    period: Seconds
    seen: Seconds
    pairs: tuple[BurnPair, ...]
    breach: Breach
    stable: bool


class Allocation(StrEnum):
    """Whether the share seen fits the weight accepted."""

    FITS = "fits"
    SKEWED = "skewed"
    UNKNOWN = "unknown"


class Counted(StrEnum):
    """What the `requests` of a guardrail count: gauges have readings, events without a denominator what was served."""

    REQUESTS = "requests"
    READINGS = "readings"
    WEIGHT = "weight"
    """Seconds of all the service's traffic, where no guardrail counts requests."""


class Side(Value, frozen=True, kw_only=True):
    """Totals of one track since the canary's first traffic, of what `GuardrailLook.counted` says.

    level: error share, quantile, mean of readings, or events per request (per second of all traffic where judged by
    weight). last: sample time of the newest row, with or without traffic. seen: of the newest row with requests in it.
    """

    requests: float = 0.0
    bad: float = 0.0
    level: float | None = None
    pods: int = 0
    last: Instant | None = None
    seen: Instant | None = None


class OnePod(Value, frozen=True, kw_only=True):
    """The one pod of the canary that all evidence against it comes from.

    pods: how many the canary has. level, others, stable: error share or quantile of the pod, of the canary's other
    pods and of what it stands against. without: log evidence of the others alone, not corrected for pods that differ.
    """

    name: str
    pods: int
    level: float | None
    others: float | None
    stable: float | None
    without: float


class Past(Value, frozen=True, kw_only=True):
    """A service since the rollout has all its traffic, against the service before: weaker than a stable track.

    log_evidence: that its level is beyond the promote margin. stands: it is enough. calibrated: enough history was seen
    to know how the level moves by itself; otherwise nothing is found. before, since: share of bad requests, None
    without any.
    """

    log_evidence: float
    stands: bool
    calibrated: bool
    before: float | None
    since: float | None


class GuardrailLook(Value, frozen=True, kw_only=True):
    """One guardrail at one look.

    participates: it compares, and stable has history. log_harm, log_safe: evidence that the canary is beyond the
    rollback margin, and that it is within the promote margin. comparable: both tracks gave rows lately.
    step_requests, needed: canary requests in this step (warm rows only), and how many the step rule asks for; 0 for
    gauges, unless the policy says: how much they tell depends on how much pods differ, not on how many readings come.
    breach, stable_breach: the objective on its scope, and on stable (now, or already before the rollout); the worse of
    its levels and of its burn rate. burn: the latter, None where it is not asked.
    moved: quantile whose latency moved most, None where that is not the question. anomalies: rows refused as
    impossible, by kind. calibrated: enough stable-against-stable history was seen. one_pod: the pod that all evidence
    against the canary comes from, None where there is no such pod or little evidence. flatterer: pod of stable without
    which the promotion evidence would not be there, "" where there is no such pod or not enough evidence.
    control: what the canary stands against where the policy names a control track, None elsewhere; its pods are those
    of the canary's age, `older` those that are not and count as stable's.
    refused: share of a track's rows that were impossible, the larger of both: what is left is no fair sample.
    unmatched: share of the canary's requests in strata in which stable serves next to nothing.
    open_ended: pod of a histogram none of whose buckets is +Inf, so that nothing can be judged; "" where there is none.
    past: how it stands against the service's own past; None before all traffic is on the canary, without history, and
    where that is not asked.
    """

    name: str
    participates: bool
    log_harm: float = math.nan
    log_safe: float = math.nan
    comparable: bool = False
    counted: Counted = Counted.REQUESTS
    canary: Side = Side()
    stable: Side = Side()
    control: Side | None = None
    older: int = 0
    step_requests: float = 0.0
    needed: float = 0.0
    breach: Breach = Breach.NONE
    stable_breach: bool = False
    calibrated: bool = False
    moved: Ratio | None = None
    anomalies: dict[str, int] = {}  # noqa: RUF012  (msgspec copies it)
    one_pod: OnePod | None = None
    flatterer: str = ""
    refused: float = 0.0
    unmatched: float = 0.0
    open_ended: str = ""
    past: Past | None = None
    burn: Burn | None = None

    @property
    def baseline(self) -> Side:
        """What the canary stands against: control's pods of its age where the policy names them, else stable."""
        return self.stable if self.control is None else self.control


class Look(Value, frozen=True, kw_only=True):
    """One rollout at one look.

    at: newest sample time used. began: sample time of the canary's first traffic, None before it. log_harm: evidence
    combined over guardrails, valid at any number of looks. rising: log_harm above 0 and higher than `hold_back` ago, or
    evidence since one late start stands out.
    log_safe: the smallest over participating guardrails. worst, weakest: guardrail that contributes most to harm, and
    the one with the smallest log_safe. observed: canary share of requests since the step began.
    canary_last, stable_last: newest row of each track over all guardrails; None before the first.
    overlapping, left_out: rollouts whose time may yet be left out of the evidence, and those whose was. Each of these
    ways of counting has half of the chance that is left, so log_safe is less by log 2 for each.
    """

    rollout: RolloutId
    at: Instant
    began: Instant | None
    log_harm: float
    log_safe: float
    rising: bool
    worst: str
    weakest: str
    guardrails: tuple[GuardrailLook, ...]
    allocation: Allocation
    observed: Share | None
    canary_last: Instant | None
    stable_last: Instant | None
    drained: bool = True
    overlapping: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def of(self, name: str) -> GuardrailLook:
        """Return the look at that guardrail; KeyError when there is none."""
        for look in self.guardrails:
            if look.name == name:
                return look
        raise KeyError(name)


def evidence(log_value: float) -> float:
    """Return exp(log_value), finite and >= 0; 0 where no data came yet.

    >>> round(evidence(5.42), 1), evidence(float("nan")), evidence(1e9) < float("inf")
    (225.9, 0.0, True)
    """
    return 0.0 if math.isnan(log_value) else math.exp(min(log_value, 700.0))


__all__ = [
    "Allocation", "Breach", "Burn", "BurnPair", "Counted", "Floats", "GuardrailLook", "Ints", "Look", "Observed",
    "OnePod", "Part", "Past", "Seconds", "SeriesKey", "Side", "Weight", "evidence", "stratum_of",
]  # fmt: skip
