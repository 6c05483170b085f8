"""Has the canary too many, or too few, events (logins, orders, matches) for its share of the work? Two-sided test.

Events without a denominator: each row carries an exposure beside them, the pod's requests in that tick (of any
guardrail that counts them) or, where none does, its observed share of traffic. Given all events of a tick the canary's
part is binomial with q = theta*Nc / (theta*Nc + Ns), as for errors (ratio.py); here both theta above `relative` and
theta below 1 / `relative` are findings: a canary that serves everything and sells nothing is broken. No events on
either track, for however long, say nothing. It does not say whether the service as a whole has too few (past.py).

Source: conditional comparison of two Poisson counts: Przyborowski and Wilenski 1940; at any number of looks: Lindon and
Malek 2022; mixtures over alternatives: Robbins 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from analysis.sequential.base import Floats, Ints, Mixture, PodReading, Reading
from analysis.sequential.ratio import beyond_its_part, gains, null_share, rate_of
from analysis.sequential.rows import both_usable, usable

MANY: Final = np.array([1.15, 1.35, 1.7, 2.5, 5.0, 15.0])
"""Alternatives, in multiples of the upper margin."""
FEW: Final = np.array([0.87, 0.74, 0.55, 0.3, 0.1, 0.01])
"""The same in multiples of the lower margin."""
HEALTHY: Final = np.array([0.87, 1.0, 1.15])
"""Promotion alternatives: events per exposure, in multiples of stable's."""

_WEIGHTS: Final = np.tile([1.4, 1.8, 2.0, 1.6, 1.0, 0.6], 2)
_LONE: Final = [0.70, 0.14, 0.08, 0.05, 0.02, 0.008, 0.0015, 0.0005]
MIXTURE: Final = Mixture(
    harm_weights=_WEIGHTS / _WEIGHTS.sum(),
    harm_direction=np.repeat([0, 1], [len(MANY), len(FEW)]),
    safe_weights=np.full(2 * len(HEALTHY), 1.0 / len(HEALTHY)),
    safe_direction=np.repeat([0, 1], len(HEALTHY)),
    spreads=np.array([[0.0, 0.05, 0.1, 0.15, 0.22, 0.32, 0.5, 0.8]] * 2),
    prior=np.array([[0.40, 0.12, 0.11, 0.10, 0.09, 0.09, 0.06, 0.03]] * 2),
    freedom=np.array([0.9, 0.9]),
    bounded=np.array([0.8, 0.8]),
    skewed=np.zeros(2),
    partner=np.arange(len(_WEIGHTS)),
    merged_prior=np.array([_LONE] * 2),
    lone_prior=np.array([_LONE] * 2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTest:
    """Events without a denominator; counts are (exposure, events).

    relative: rollback margin: more than `relative` times, or less than 1 / `relative` times the events that stable has
    at the same exposure. promote_relative: the same for promotion. factor: as many times wider while warming.
    Directions: 0 too many, 1 too few. Memory: exposure and events of stable's history, for a lone pod.
    """

    relative: float
    promote_relative: float
    factor: float = 1.0
    columns: ClassVar[int] = 2
    remembered: ClassVar[int] = 2
    mixture: ClassVar[Mixture] = MIXTURE

    def read(self, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:  # noqa: ARG002
        """Read one tick; see base.Test. A cell with a value that is not finite, or below 0, gains nothing."""
        canary, stable = both_usable(canary, stable)
        compared = (canary[:, 0] > 0) & (stable[:, 0] > 0)
        canary, stable = (np.where(compared[:, None], side, 0.0) for side in (canary, stable))
        ours, both = canary[:, 1], canary[:, 1] + stable[:, 1]
        margin = self.relative * self.factor
        harm, safe, score, information, safe_information = [], [], [], [], []
        for sign, edge, edge_safe, alternatives in (
            (1.0, margin, self.promote_relative, MANY), (-1.0, 1.0 / margin, 1.0 / self.promote_relative, FEW)
        ):  # fmt: skip
            share = null_share(canary[:, 0], stable[:, 0], np.full(len(both), edge))
            safe_share = null_share(canary[:, 0], stable[:, 0], np.full(len(both), edge_safe))
            healthy = HEALTHY / edge_safe
            healthy = np.minimum(healthy, 1.0) if sign > 0 else np.maximum(healthy, 1.0)
            harm.append(gains(ours, both, share, alternatives))
            safe.append(gains(ours, both, safe_share, healthy))
            score.append(sign * (ours - both * share))
            information.append(both * share * (1.0 - share))
            safe_information.append(both * safe_share * (1.0 - safe_share))
        return Reading(
            harm=np.concatenate(harm, axis=1),
            safe=np.concatenate(safe, axis=1),
            score=np.stack(score, axis=1),
            harm_information=np.stack(information, axis=1),
            safe_information=np.stack(safe_information, axis=1),
            lean=np.stack(information, axis=1),
        )

    def pods(self, counts: Floats, track: Floats, memory: Floats, cell: Ints) -> PodReading:
        """Events of a pod beyond its share of the track's; a lone pod is held against history."""
        drift, expected, noise = beyond_its_part(counts, track, rate_of(memory[:, 1], memory[:, 0])[cell])
        return PodReading(
            drift=np.stack((drift, -drift), axis=1),
            exposure=np.stack((expected, expected), axis=1),
            noise=np.stack((noise, noise), axis=1),
        )

    def remember(self, memory: Floats, stable: Floats, *, seconds: Floats, history: bool) -> None:  # noqa: ARG002
        """Add stable's exposure and events of history; see base.Test. What is not usable is left out."""
        if history:
            memory += np.where(usable(stable)[:, None], stable, 0.0)

    def requests(self, counts: Floats) -> Floats:
        """Exposure in each row of counts."""
        return np.asarray(counts[..., 0])


def shared_exposure(requests: Floats, weight: Floats, seconds: Floats) -> Floats:
    """Exposure (..., 2) of canary and stable in a tick: their requests, or their parts of the weight times its length.

    requests: (..., 2) of both tracks, NaN where no guardrail counts them. weight: (...) observed canary share, 0..1,
    NaN where it is not known. seconds: (...). Neither known: 0, and the tick is not compared. One unit per rollout:
    where requests are known in some ticks only, the weight must be used for all of them.

    >>> shared_exposure(np.array([[np.nan, np.nan]]), np.array([0.1]), np.array([10.0])).round(9).tolist()
    [[1.0, 9.0]]
    """
    known = np.isfinite(requests).all(axis=-1, keepdims=True)
    parts = np.stack((weight, 1.0 - weight), axis=-1) * np.asarray(seconds)[..., None]
    sound = np.isfinite(parts).all(axis=-1, keepdims=True) & (parts >= 0).all(axis=-1, keepdims=True)
    return np.where(known, np.maximum(requests, 0.0), np.where(sound, parts, 0.0))
