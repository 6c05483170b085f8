"""Is the canary's share of bad events beyond the margin? Conditional test on the errors of both tracks.

Given the X errors of a tick, the canary's part of them is binomial with q = theta*Nc / (theta*Nc + Ns) when the canary
is theta times as bad, whatever the base rate is at that moment: an incident that hits both tracks cancels. It does not
say whether an error rate is acceptable (slo.py), nor how pods differ (baseline.py).

Source: conditional two-sample Poisson comparison (Lindon and Malek 2022, "Anytime-valid inference for multinomial
count data"); mixtures over alternatives: Robbins 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from analysis.sequential.base import Floats, Ints, Mixture, PodReading, Reading
from analysis.sequential.rows import both_usable, usable

MULTIPLES: Final = np.array([1.15, 1.3, 1.5, 1.8, 2.3, 3.0, 5.0, 10.0])
"""Alternatives, in multiples of the rollback margin."""
TRENDS: Final = np.array([0.6 / 1800.0, 2.0 / 1800.0])
"""Growth of a leak per second, as a share of the margin."""
HEALTHY: Final = np.array([0.0, 0.25, 0.5])
"""Promotion alternatives: as bad as stable, and part of the way from there to the promote margin, in logarithms. The
nearer ones need fewer errors to be told from the margin by a canary that is as good as stable, or nearly."""
RECENT: Final = 600.0
"""Seconds over which the recent base rate forgets."""


def gains(
    canary_bad: Floats, bad: Floats, canary_share: Floats, multiples: Floats, out: Floats | None = None
) -> Floats:
    """Log likelihood ratio of "multiples[k] times the null" against the null, one tick.

    canary_bad, bad: errors of the canary and of both tracks, shape (C,). canary_share: canary's part of the errors
    under the null, shape (C,), in [0, 1]. multiples: shape (K,) or (C, K), positive.
    Returns (C, K); 0 where there was no error.  Under the null the expectation of exp(gain) is exactly 1.

    >>> gains(np.array([3.0]), np.array([4.0]), np.array([0.5]), np.array([2.0])).round(4)
    array([[0.4576]])
    """
    spread = np.multiply(canary_share[:, None], multiples - 1.0, out=out)
    np.log1p(spread, out=spread)
    spread *= -bad[:, None]
    spread += canary_bad[:, None] * np.log(multiples)
    return spread


def null_share(canary: Floats, stable: Floats, theta: Floats) -> Floats:
    """Canary's share of errors when it is theta times as bad; 0 where neither track had requests."""
    weighed = theta * canary
    total = weighed + stable
    return np.divide(weighed, total, out=np.zeros_like(total), where=total > 0)


def rate_of(events: Floats, exposure: Floats) -> Floats:
    """Events per exposure; 0 without any."""
    return np.divide(events, exposure, out=np.zeros_like(exposure), where=exposure > 0)


def beyond_its_part(counts: Floats, track: Floats, past: Floats) -> tuple[Floats, Floats, Floats]:
    """Events of pods beyond their part of their track's, expected ones, and the variance of counting them; each (n,).

    counts, track: (n, 2) exposure and events of a pod and of its track. past: (n,) rate that a lone pod, which is the
    track, is held against instead; a pod whose rate is 0 shows nothing.
    """
    exposure, total = counts[:, 0], track[:, 0]
    alone = exposure >= total
    rate = np.where(alone, past, rate_of(track[:, 1], total))
    expected = exposure * rate
    part = np.divide(exposure, total, out=np.zeros_like(total), where=(total > 0) & ~alone)
    return counts[:, 1] * (rate > 0) - expected, expected, expected * (1.0 - part)


def lower_rate(bad: Floats, requests: Floats, z: float = 1.64) -> Floats:
    """Lower confidence bound of a rate of rare events, never below 0.35 events; 0 without requests.

    Source: Wilson and Hilferty 1931 (cube root of a gamma variable).
    """
    least = np.maximum(bad, 0.35)
    bound = least * np.maximum(1.0 - 1.0 / (9.0 * least) - z / (3.0 * np.sqrt(least)), 0.0) ** 3
    rate: Floats = np.divide(np.maximum(bound, 0.35), requests, out=np.zeros_like(bound), where=requests > 0)
    return rate


def upper_rate(bad: Floats, requests: Floats, z: float = 1.64) -> Floats:
    """Upper confidence bound of a rate of rare events; inf without requests."""
    more = bad + 1.0
    bound = more * (1.0 - 1.0 / (9.0 * more) + z / (3.0 * np.sqrt(more))) ** 3
    return np.divide(bound, requests, out=np.full_like(bound, np.inf), where=requests > 0)


_WEIGHTS: Final = np.array([1.2, 2.2, 2.6, 2.4, 2.0, 1.4, 0.8, 0.5, 0.8, 0.8])
MIXTURE: Final = Mixture(
    harm_weights=_WEIGHTS / _WEIGHTS.sum(),
    harm_direction=np.zeros(len(_WEIGHTS), dtype=np.int64),
    safe_weights=np.array([0.2, 0.3, 0.5]),
    safe_direction=np.zeros(len(HEALTHY), dtype=np.int64),
    spreads=np.array([[0.0, 0.05, 0.1, 0.15, 0.22, 0.32, 0.5, 0.8]]),
    prior=np.array([[0.40, 0.12, 0.11, 0.10, 0.09, 0.09, 0.06, 0.03]]),
    freedom=np.array([0.9]),
    bounded=np.array([0.8]),
    skewed=np.zeros(1),
    partner=np.arange(len(_WEIGHTS)),
    merged_prior=np.array([[0.70, 0.14, 0.08, 0.05, 0.02, 0.008, 0.0015, 0.0005]]),
    lone_prior=np.array([[0.70, 0.14, 0.08, 0.05, 0.02, 0.008, 0.0015, 0.0005]]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioTest:
    """Errors among requests; counts are (requests, bad).

    relative, absolute: rollback margin p_stable * relative + absolute. promote_relative, promote_absolute: the same
    for promotion. factor: how many times worse a warming pod may be.
    Memory: bad and requests of history, then both again with RECENT forgetting.
    """

    relative: float
    absolute: float
    promote_relative: float
    promote_absolute: float
    factor: float = 1.0
    columns: ClassVar[int] = 2
    remembered: ClassVar[int] = 4
    mixture: ClassVar[Mixture] = MIXTURE

    def margins(self, memory: Floats) -> tuple[Floats, Floats]:
        """Rollback and promote margins (C,) as multiples of the stable rate, from earlier ticks only."""
        bad, requests = memory[:, 0::2], memory[:, 1::2]  # of history, and recently
        fresh = requests[:, :1] == 0  # what was not there before: a new endpoint
        bad, requests = np.where(fresh, bad[:, 1:], bad), np.where(fresh, requests[:, 1:], requests)
        low = np.fmin.reduce(lower_rate(bad, requests), axis=1)
        high = np.fmax.reduce(upper_rate(bad, requests), axis=1)
        known = (requests > 0).all(axis=1) & (low > 0)
        extra = np.divide(self.absolute, low, out=np.zeros_like(low), where=known)
        harm = np.where(known | (self.absolute == 0), (self.relative + extra) * self.factor, np.inf)
        more = np.divide(self.promote_absolute, high, out=np.zeros_like(high), where=np.isfinite(high))
        return harm, np.asarray(self.promote_relative + more)

    def read(self, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:
        """Read one tick; see base.Test. A cell with a count that is not finite, or below 0, gains nothing."""
        canary, stable = both_usable(canary, stable)
        harm_theta, safe_theta = self.margins(memory)
        known = np.isfinite(harm_theta)
        used = np.where(known & (canary[:, 0] > 0) & (stable[:, 0] > 0), 1.0, 0.0)
        canary_bad, bad = used * canary[:, 1], used * (canary[:, 1] + stable[:, 1])
        share = null_share(canary[:, 0], stable[:, 0], np.where(known, harm_theta, 1.0))
        multiples = np.empty((len(share), len(_WEIGHTS)))
        multiples[:, : len(MULTIPLES)] = MULTIPLES
        multiples[:, len(MULTIPLES) :] = 1.0 + TRENDS * np.minimum(np.maximum(elapsed[:, None], 0.0), 7200.0)
        safe_share = null_share(canary[:, 0], stable[:, 0], safe_theta)
        healthy = safe_theta[:, None] ** (HEALTHY - 1.0)
        information = bad * share * (1.0 - share)
        return Reading(
            harm=gains(canary_bad, bad, share, multiples),
            safe=gains(canary_bad, bad, safe_share, healthy),
            score=(canary_bad - bad * share)[:, None],
            harm_information=information[:, None],
            safe_information=(bad * safe_share * (1.0 - safe_share))[:, None],
            lean=information[:, None],
        )

    def pods(self, counts: Floats, track: Floats, memory: Floats, cell: Ints) -> PodReading:
        """Errors of a pod beyond its share of the track's; a lone pod is held against the recent past."""
        drift, expected, noise = beyond_its_part(counts, track, rate_of(memory[:, 0], memory[:, 1])[cell])
        return PodReading(drift=drift[:, None], exposure=expected[:, None], noise=noise[:, None])

    def remember(self, memory: Floats, stable: Floats, *, seconds: Floats, history: bool) -> None:
        """Add stable's errors and requests; see base.Test. What is not usable is left out."""
        stable = np.where(usable(stable)[:, None], stable, 0.0)
        keep = np.exp(-np.minimum(seconds, 10.0 * RECENT) / RECENT)
        memory[:, 2:] *= keep[:, None]
        memory[:, 2] += stable[:, 1]
        memory[:, 3] += stable[:, 0]
        if history:
            memory[:, 0] += stable[:, 1]
            memory[:, 1] += stable[:, 0]

    def requests(self, counts: Floats) -> Floats:
        """Requests in each row of counts."""
        return np.asarray(counts[..., 0])
