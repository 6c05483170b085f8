"""A group-sequential design: the classical way to look often, planned beforehand, against the policy's margin.

Source: O'Brien and Fleming 1979; Lan and DeMets 1983 (spending); Jennison and Turnbull 2000, chapter 19 (boundaries by
recursive numerical integration; table for five looks at one-sided 2.5 % in the tests). It assumes independent requests
and a normal statistic, and it must know in advance when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.detection.rules.base import Calls, Signal, Watch, at_the_end, first
from benchmarks.detection.rules.moments import moments
from benchmarks.detection.streams import Floats

LOOK: Final = 60.0
STEP: Final = 0.04
LOWEST: Final = -8.0


def spent(alpha: float, fraction: Floats) -> Floats:
    """One-sided error spent until each fraction of the information, as O'Brien and Fleming's boundaries do."""
    return np.asarray(2.0 * norm.sf(norm.isf(alpha / 2.0) / np.sqrt(fraction)))


@lru_cache
def boundaries(looks: int, alpha: float) -> Floats:
    """Standardised upper boundaries of equally spaced looks, (looks,).

    The density of the statistic of those that went on is carried from look to look on a grid (trapezoid rule).
    """
    fraction = np.arange(1, looks + 1) / looks
    spend = np.diff(spent(alpha, fraction), prepend=0.0)
    found = [float(norm.isf(spend[0]))]
    # Brownian motion at the looks: the grid is in its own scale, sqrt(information) times the statistic.
    top = found[0] * np.sqrt(fraction[0])
    grid = np.linspace(LOWEST * np.sqrt(fraction[0]), top, _size(fraction[0], top))
    density = norm.pdf(grid, scale=np.sqrt(fraction[0]))
    for look in range(1, looks):
        scale = np.sqrt(fraction[look] - fraction[look - 1])
        root = np.sqrt(fraction[look])
        weight = density * _weights(grid)

        def excess(z: float, *, root: float = root, scale: float = scale, grid: Floats = grid, weight: Floats = weight,
                   wanted: float = spend[look]) -> float:  # fmt: skip
            return float(weight @ norm.sf(z * root, loc=grid, scale=scale)) - wanted

        found.append(float(brentq(excess, 0.0, 40.0)))
        after = np.linspace(LOWEST * root, found[-1] * root, _size(fraction[look], found[-1] * root))
        density = norm.pdf(after[:, None], loc=grid[None, :], scale=scale) @ weight
        grid = after
    return np.array(found)


def _size(fraction: float, top: float) -> int:
    """Points of a grid that is fine against the increments that are to come."""
    return int((top - LOWEST * np.sqrt(fraction)) / STEP) + 2


def _weights(grid: Floats) -> Floats:
    """Weights of the trapezoid rule."""
    step = grid[1] - grid[0]
    weights = np.full(len(grid), step)
    weights[[0, -1]] = step / 2.0
    return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSequential:
    """Tests "beyond the rollback margin" every minute of the time planned."""

    name: str = "o'brien"
    source: str = "O'Brien and Fleming 1979; Lan and DeMets 1983; Jennison and Turnbull 2000, chapter 19"
    parameters: str = (
        "every 60 s since the start, equal information planned; one-sided at the policy's risk (1 %, shared by its "
        "guardrails) against the policy's rollback margin; promoted at the end"
    )

    def judge(self, watch: Watch) -> Calls:
        """Roll back at the first boundary that is crossed."""
        tracks = watch.tracks
        back = np.full(tracks.runs, np.inf)
        for signal in watch.signals:
            found = moments(tracks, signal, every=LOOK)
            (n, mean, variance), (other, usual, spread) = found.sides()
            guardrail = watch.guardrail(signal)
            if guardrail is None or guardrail.compare is None or not len(found.at):
                continue
            margin = guardrail.compare.rollback
            absolute = margin.absolute if signal is Signal.ERRORS else 0.0
            with np.errstate(invalid="ignore", divide="ignore"):
                worse = mean - margin.relative * usual - absolute
                z = worse / np.sqrt(variance / n + margin.relative**2 * spread / other)
            z = np.where(np.isfinite(z), z, -np.inf)
            edges = boundaries(len(found.at), watch.alpha / len(watch.signals))
            back = np.minimum(back, first(found.at, z > edges))
        return at_the_end(tracks.length, rolled_back=back)
