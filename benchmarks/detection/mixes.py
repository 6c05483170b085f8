"""Services whose requests are of several kinds (zones, endpoints), and canaries that get another mix than stable.

Rows are those of one ratio or histogram guardrail. A line is one pod in one stratum; a pod that serves several strata
has as many lines, and what makes it better or worse than other pods is common to them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.stats import norm

from analysis.sequential.base import Floats, Ints
from analysis.sequential.latency import LatencyTest
from analysis.sequential.ratio import RatioTest
from benchmarks.detection.arena import Fight, fought
from benchmarks.detection.streams import BOUNDS, Flags

TICK: Final = 10.0
HISTORY: Final = 2400.0
LENGTH: Final = 1800.0
ERRORS: Final = RatioTest(relative=1.05, absolute=0.00005, promote_relative=1.5, promote_absolute=0.0005)
SLOWER: Final = LatencyTest(bounds=BOUNDS, relative=1.02, tail=0.001, promote_relative=1.15, promote_tail=0.003)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """One service of G strata.

    base: (G,) error shares, or medians of latency in seconds where `latency`. canary, stable: (G,) requests per second
    of the track in each stratum. pods: of both tracks, in each stratum. spread: whether each pod serves all strata;
    else each stratum has its own pods. pod_sd: log sd of what pods differ by, lastingly. common_sd: of the noise that
    all of a stratum share for a minute or so. effect: (G,) times worse the canary is. named: whether the policy names
    the label; else sums over all strata are compared.
    """

    base: tuple[float, ...]
    canary: tuple[float, ...]
    stable: tuple[float, ...]
    latency: bool = False
    pods: tuple[int, int] = (2, 6)
    spread: bool = False
    pod_sd: float = 0.05
    common_sd: float = 0.2
    effect: tuple[float, ...] = (1.0, 1.0)
    named: bool = True

    @property
    def lines(self) -> tuple[Ints, Ints, Flags]:
        """Pod, stratum and whether it is a canary, of each line (L,)."""
        strata, (canary, stable) = len(self.base), self.pods
        each = canary + stable
        stratum = np.repeat(np.arange(strata), each)
        pod = np.tile(np.arange(each), strata) + (0 if self.spread else each) * stratum
        return pod, stratum, np.tile(np.arange(each) < canary, strata)


def mixed(mix: Mix, *, runs: int, seed: int) -> Fight:
    """Judge runs of a mix."""
    random = np.random.default_rng(seed)
    pod, stratum, canary = mix.lines
    worse = np.exp(mix.pod_sd * random.standard_normal((runs, int(pod.max()) + 1)))[:, pod]
    rates = np.where(canary, np.array(mix.canary)[stratum] / mix.pods[0], np.array(mix.stable)[stratum] / mix.pods[1])
    times = np.arange(-HISTORY + TICK, LENGTH + TICK, TICK)
    noise = np.zeros((runs, len(mix.base)))
    edges = np.array(BOUNDS)

    def rows(number: int) -> tuple[Floats, Flags]:
        live = times[number] > 0
        noise[:] = 0.85 * noise + np.sqrt(1.0 - 0.85**2) * random.standard_normal(noise.shape)
        level = np.array(mix.base) * np.exp(mix.common_sd * noise - 0.5 * mix.common_sd**2)
        level = level[:, stratum] * worse * np.where(canary & live, np.array(mix.effect)[stratum], 1.0)
        asked = random.poisson(np.broadcast_to(rates * TICK * (~canary | live), worse.shape))
        present = np.broadcast_to(~canary | live, worse.shape)
        if not mix.latency:
            bad = random.binomial(asked, np.minimum(level, 1.0))
            return np.stack((asked, bad), axis=2).astype(np.float64), present
        below = norm.cdf(np.log(edges / level[..., None]) / 0.6)
        below[..., -1] = 1.0
        shares = np.diff(below, axis=2, prepend=0.0)
        return random.multinomial(asked, shares).astype(np.float64), present

    within = stratum if mix.named else np.zeros_like(stratum)
    return fought(
        SLOWER if mix.latency else ERRORS, rows, times=times, canary=canary, runs=runs, strata=within, pods=pod
    )


ZONES: Final = Mix(base=(0.002, 0.02), canary=(4.0, 16.0), stable=(144.0, 36.0))
REGIONS: Final = Mix(
    base=(0.05, 0.09), canary=(2.0, 18.0), stable=(90.0, 90.0), latency=True, common_sd=0.02, pod_sd=0.02
)
ALIKE: Final = replace(ZONES, canary=(10.0, 10.0), stable=(90.0, 90.0))
HEALTHY_MIXES: Final = {
    "zones, the canary mostly in the bad one": ZONES,
    "zones, pods 15 % apart": replace(ZONES, pod_sd=0.15),
    "zones, one canary pod each": replace(ZONES, pods=(1, 5)),
    "endpoints, every pod serves both": replace(ZONES, spread=True),
    "endpoints, every pod serves both, 15 % apart": replace(ZONES, spread=True, pod_sd=0.15),
    "a zone where stable is not": replace(ZONES, canary=(10.0, 10.0), stable=(180.0, 0.0)),
    "a zone with two requests a minute": replace(ZONES, canary=(20.0, 0.03), stable=(180.0, 0.03)),
    "regions, the canary mostly in the slow one": REGIONS,
    "the same mix on both": ALIKE,
    "one pod against three, 25 % apart, 20 endpoints": Mix(
        base=(0.02,) * 20,
        canary=(6.0,) * 20,
        stable=(18.0,) * 20,
        pods=(1, 3),
        spread=True,
        pod_sd=0.25,
        effect=(1.0,) * 20,
    ),
}
WORSE_MIXES: Final = {  # and within how many seconds half of them are to be found
    "twice the errors in both zones": (replace(ZONES, effect=(2.0, 2.0)), 300.0),
    "five times in one zone": (replace(ZONES, effect=(1.0, 5.0)), 40.0),
    "endpoints, twice the errors": (replace(ZONES, spread=True, effect=(2.0, 2.0)), 330.0),
    "regions, a quarter slower": (replace(REGIONS, effect=(1.25, 1.25)), 40.0),
    "twice the errors, the same mix on both": (replace(ALIKE, effect=(2.0, 2.0)), 400.0),
}
