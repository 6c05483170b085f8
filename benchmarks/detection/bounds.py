"""How quickly any method could roll a regression back: what the requests tell against a canary on the margin.

E[delay] >= ln(1/alpha) / I with I = rate * [w * kl(truth of the canary, m_c) + (1 - w) * kl(truth of stable, m_s)], for
the pair (m_c, m_s) on the rollback margin that is hardest to tell from the truth. Wald 1945. For regressions that are
there from the start and for independent requests; with pods that differ there is no bound that is as simple.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from benchmarks.detection.streams import Floats, Situation, bucket_shares
from guardian.core.policy import Margin

NARROW: Final = 4.0
"""The margin's stable side is sought within a factor of this around the truth."""


def divergence(p: Floats, q: Floats) -> float:
    """Kullback-Leibler divergence of q from p, nats; both sum to 1, q > 0 where p > 0."""
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())


def margin_bound(situation: Situation, margin: Margin, *, alpha: float) -> float:
    """Least mean delay in seconds; inf where the canary is within the margin at the first tick."""
    start = np.array([situation.tick])
    weight, rate = float(situation.weight(start)[0]), situation.rps * float(situation.traffic(start)[0])
    harm = float((situation.slower if situation.latency else situation.effect)(start)[0])
    if harm <= margin.relative:
        return math.inf

    def separation(log_scale: float) -> float:
        scale = math.exp(log_scale)
        if situation.latency:
            canary, stable = bucket_shares(np.array(harm)), bucket_shares(np.array(1.0))
            canary_null, stable_null = bucket_shares(np.array(margin.relative * scale)), bucket_shares(np.array(scale))
        else:
            null = situation.base * scale
            canary, stable = _odds(situation.base * harm), _odds(situation.base)
            canary_null, stable_null = _odds(null * margin.relative + margin.absolute), _odds(null)
        return weight * divergence(canary, canary_null) + (1.0 - weight) * divergence(stable, stable_null)

    within = (-math.log(NARROW), math.log(NARROW))
    least = float(minimize_scalar(separation, bounds=within, method="bounded", options={"xatol": 1e-6}).fun)
    return math.log(1.0 / alpha) / (rate * least)


def _odds(share: float) -> Floats:
    return np.array([share, 1.0 - share])
