"""How far may equal pods lie apart for good before it is unlikely? The bound that a null of lasting differences gets.

Without a bound any harm could be a lasting difference of a size that equal pods hardly ever have, and a regression of
pods that differ would never be proved. So a part of the risk of a false rollback is taken for differences beyond the
bound, and only those within it must be disproved. It does not say what the spread is (baseline.py).

Where pods differ by factors, a lone canary lies further up than down: the bound is moved by the first term of Cornish
and Fisher's expansion for what is left of the skewness in the difference of two means.

Source: right Haar prior of a scale (Berger 1985, "Statistical Decision Theory", section 6.6): for Gaussian pods without
other noise the bound is then Student's quantile, whatever the spread. Skewness: Cornish and Fisher 1938. Measured, not
proved, for all else.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtr

from analysis.baseline import spread_posterior
from analysis.sequential.base import Floats, Mixture

TYPICAL: Final = 2
"""Which of the spreads, from 0 on, is usual between equal pods: as much explained by smaller ones needs no bound."""
NO_BOUND: Final = 1e9
"""What no difference exceeds."""
_STEPS: Final = 64


class Bounds:
    """Bounds for the spreads (D, Q) of a mixture. It keeps a table and no state."""

    def __init__(self, mixture: Mixture) -> None:
        spreads = mixture.spreads
        widths = np.gradient(np.log(spreads[:, 1:]), axis=1)
        even = np.concatenate((widths[:, :1], widths), axis=1)
        self._even = even / even.sum(axis=1, keepdims=True)
        self._skewed = mixture.skewed
        usual = spreads[:, TYPICAL, None]
        self._worth = mixture.bounded[:, None] * spreads**2 / (spreads**2 + usual**2)
        least, most = spreads[:, 1, None], 5.0 * spreads[:, -1, None]
        self._at = least * (most / least) ** np.linspace(0.0, 1.0, _STEPS)
        with np.errstate(divide="ignore"):
            self._beyond = ndtr(-self._at[:, None] / spreads[:, :, None])

    def part(self, posterior: Floats) -> Floats:
        """Part (C, D) of the risk to take for differences beyond the bound: little where pods are alike.

        posterior: (C, D, Q) weight of each spread.
        """
        return np.asarray((posterior * self._worth).sum(axis=-1))

    def bound(self, fit: Floats, chance: Floats, tilt: Floats) -> Floats:
        """Difference (C, D) that equal pods exceed with a chance (C, D), after their fit (C, D, Q) was seen.

        NO_BOUND where the chance is 0. tilt: (C,) part of a pod's skewness that the difference of both tracks keeps.
        The fit is held against a prior that is even in the logarithm of the spread: what is usual elsewhere must not
        make the bound of a service too narrow. Between the table's steps the logarithm of the chance is linear.
        """
        weights = spread_posterior(fit, self._even)
        tail = np.log(np.maximum(np.matmul(weights.swapaxes(0, 1), self._beyond).swapaxes(0, 1), 1e-300))
        wanted = np.log(np.maximum(chance, 1e-300))[..., None]
        place = np.clip((tail > wanted).sum(axis=-1, keepdims=True), 1, _STEPS - 1)
        above, below = (np.take_along_axis(tail, each, axis=-1) for each in (place - 1, place))
        part = np.clip((above - wanted) / np.maximum(above - below, 1e-300), 0.0, 1.0)
        at = np.broadcast_to(self._at, tail.shape)
        low, high = (np.take_along_axis(at, each, axis=-1) for each in (place - 1, place))
        normal = (low + part * (high - low))[..., 0]
        skewed = normal * (1.0 + self._skewed / 6.0 * tilt[:, None] * normal)
        return np.where(chance > 0, skewed, NO_BOUND)


def tilt(canary: Floats, others: Floats) -> Floats:
    """Skewness (C,) of the difference of two means over that of one of their pods; the canary's side is above.

    canary, others: (C,) pods of each, at least 1. As many on both sides cancel; a lone canary against many keeps all.

    >>> tilt(np.array([1.0, 3.0]), np.array([1e9, 3.0])).round(3).tolist()
    [1.0, 0.0]
    """
    both = 1.0 / canary + 1.0 / others
    return np.maximum((1.0 / canary**2 - 1.0 / others**2) / both**1.5, 0.0)
