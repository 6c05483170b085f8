"""One track before and after a change: levels that wander by themselves, and changes that are worse.

Arrays over (ticks, runs); numbers only depend on the seed. Times in seconds after the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.sequential.base import Floats
from analysis.sequential.past import PastWatch
from benchmarks.detection.streams import NO_CHANGE, Curve, Timeline, always, correlated, since

WATCH: Final = PastWatch(relative=1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track(Timeline):
    """Bad requests of one service. noise, rho: sd of the log rate and its correlation from tick to tick.

    walk: sd of the log rate's random walk over one minute. trend: growth of the log rate per hour. daily: size of a
    wave of the log rate over a day, at any time of it. cluster: variance over mean of the rate's gamma factor. burst:
    chance of a tick with 30 % errors. missing: chance of a tick without data. effect: times as many errors after.
    """

    rps: float = 200.0
    base: float = 0.005
    noise: float = 0.0
    rho: float = 0.0
    walk: float = 0.0
    trend: float = 0.0
    daily: float = 0.0
    cluster: float = 0.0
    burst: float = 0.0
    missing: float = 0.0
    effect: Curve = NO_CHANGE
    history: float = 7200.0
    length: float = 1200.0


def drawn(track: Track, *, runs: int, seed: int) -> Floats:
    """Counts (ticks, runs, 2): bad requests and all; NaN where there is no data."""
    random, times = np.random.default_rng(seed), track.times
    shape = (len(times), runs)
    log_rate = np.full(shape, np.log(track.base)) + track.trend * times[:, None] / 3600.0
    log_rate += track.noise * correlated(random, (runs, len(times), 1), track.rho)[:, :, 0].T
    log_rate += track.walk * np.sqrt(track.tick / 60.0) * np.cumsum(random.standard_normal(shape), axis=0)
    log_rate += track.daily * np.sin(2.0 * np.pi * (times[:, None] / 86400.0 + random.random(runs)))
    rate = np.exp(log_rate) * np.where(times > 0, track.effect(times), 1.0)[:, None]
    if track.cluster:
        rate *= random.gamma(1.0 / track.cluster, track.cluster, shape)
    rate = np.where(random.random(shape) < track.burst, np.maximum(rate, 0.3), rate)
    asked = random.poisson(track.rps * track.tick, shape)
    bad = random.binomial(asked, np.clip(rate, 0.0, 1.0))
    counts = np.stack((bad, asked), axis=-1).astype(np.float64)
    counts[random.random(shape) < track.missing] = np.nan
    return counts


def watched(track: Track, *, runs: int, seed: int, watch: PastWatch = WATCH) -> Floats:
    """Seconds after the change at which it was found worse (runs,); inf where it was not."""
    memory = np.zeros((runs, watch.remembered))
    found = np.full(runs, np.inf)
    for time, counts in zip(track.times, drawn(track, runs=runs, seed=seed), strict=True):
        watch.take(memory, counts, seconds=np.full(runs, track.tick), live=np.full(runs, time > 0))
        if time > 0:
            found[watch.standing(memory).found[:, 0] & np.isinf(found)] = time
    return found


def _healthy() -> dict[str, Track]:
    found = {
        "independent": Track(),
        "independent, 2000 rps": Track(rps=2000.0),
        "independent, 2 rps": Track(rps=2.0, base=0.01),
        "base 0.01 %": Track(base=1e-4),
        "at the margin": Track(effect=always(1.1)),
        "clustered": Track(cluster=1.0),
        "bursts": Track(burst=0.002),
        "gaps": Track(missing=0.3, noise=0.3, rho=0.9),
        "trend of x2 an hour": Track(trend=float(np.log(2.0))),
        "daily wave": Track(daily=1.0),
        "no history": Track(history=10.0),
        "two minutes of history": Track(history=120.0, noise=0.4, rho=0.95),
        "errors begin with the history": Track(base=1e-6, rps=20.0),
    }
    for rho in (0.3, 0.9, 0.95, 0.99):
        for history in (2400.0, 7200.0):
            name = f"correlation {rho:g}, {history / 60.0:.0f} min of history"
            found[name] = Track(noise=0.4, rho=rho, history=history)
    for walk in (0.05, 0.1, 0.2):
        for history in (2400.0, 7200.0):
            found[f"walk {walk:.0%}, {history / 60.0:.0f} min of history"] = Track(walk=walk, history=history)
    return found


HEALTHY_PAST: Final[Mapping[str, Track]] = _healthy()
WORSE_PAST: Final[Mapping[str, tuple[Track, float, float]]] = {
    "x2": (Track(effect=always(2.0)), 90.0, 0.01),
    "x3, correlation 0.9": (Track(effect=always(3.0), noise=0.2, rho=0.9), 90.0, 0.03),
    "x3, correlation 0.95, 40 min of history": (
        Track(effect=always(3.0), noise=0.2, rho=0.95, history=2400.0), 120.0, 0.10,
    ),
    "x5, walk 5 %": (Track(effect=always(5.0), walk=0.05), 90.0, 0.05),
    "x2 after 5 min": (Track(effect=since(300.0, 2.0)), 480.0, 0.05),
    "x10, 2 rps": (Track(effect=always(10.0), rps=2.0, base=0.01), 120.0, 0.01),
}  # fmt: skip
"""Track, seconds within which half of the runs must be found, and the share that may be missed."""
