"""Synthetic rollouts for calibration: healthy ones with every kind of noise, and worse ones with every kind of fault.

Many rollouts of one situation at once, as arrays over (runs, ticks, pods). Numbers only depend on the seed. Nothing
here is thinned from a common stream: pods draw for themselves, so that what they share is only what is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from guardian.core.model import Track

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Curve = Callable[[Floats], Floats]

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))
"""Default buckets of the Prometheus client libraries, seconds."""
MEDIAN: Final = 0.15
SPREAD: Final = 0.6


def always(value: float) -> Curve:
    """The same value at all times."""
    return lambda t: np.full(np.shape(t), value)


def since(onset: float, value: float) -> Curve:
    """1 before the onset (seconds after the first canary traffic), then `value`."""
    return lambda t: np.where(t > onset, value, 1.0)


def ramp(begin: float, end: float, first: float, last: float) -> Curve:
    """From `first` to `last` between two times, in a straight line of the logarithm."""
    span = np.log(last / first)
    return lambda t: first * np.exp(span * np.clip((t - begin) / (end - begin), 0.0, 1.0))


NO_CHANGE: Final = always(1.0)
TENTH: Final = always(0.1)
NOTHING: Final = always(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Ticks of a run: seconds of history before and of `length` after the change."""

    tick: float = 10.0
    history: float = 1800.0
    length: float = 1800.0

    @property
    def times(self) -> Floats:
        """Ends of the ticks."""
        first, last = round(-self.history / self.tick), round(self.length / self.tick)
        return np.asarray(np.arange(first + 1, last + 1) * self.tick, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks(Timeline):
    """Pods on two tracks or three: the canary's first, then control's, then stable's."""

    canary_pods: int = 2
    stable_pods: int = 6
    control_pods: int = 0

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The track of each pod."""
        counts = {Track.CANARY: self.canary_pods, Track.CONTROL: self.control_pods, Track.STABLE: self.stable_pods}
        return tuple(track for track, count in counts.items() for _ in range(count))

    @property
    def canary(self) -> Flags:
        """Which pods are the canary's."""
        return self.on(Track.CANARY)

    def on(self, track: Track) -> Flags:
        """Which pods are on a track."""
        return np.array([each is track for each in self.tracks])


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation(Tracks):
    """What the world does; times in seconds after the first canary traffic, curves of time.

    pod_sd: lasting sd of the log error rate between pods. noise_sd, noise_rho: passing noise of the log error rate,
    sd and correlation from tick to tick, of each pod or (`noise_of_track`) of each track. cluster: variance over mean
    of the rate's gamma factor per pod and tick. burst: chance that a pod has a burst of errors in a tick. missing:
    chance that a pod's scrape is missed. effect: times as many canary errors. shared: times as many errors everywhere.
    latency: whether there are histograms too; latency_*: the same for log latency; slower: canary latency times;
    tail_share, tail_scale: share of canary requests that takes that many times as long. burst_canary: canary errors
    come in bursts of one tick, with the mean given by effect. vanish: time after which the canary's rows stop.
    merged: whether a track's one series stands for all its pods (no pod names).
    """

    rps: float = 200.0
    base: float = 0.005
    weight: Curve = TENTH
    traffic: Curve = NO_CHANGE
    pod_sd: float = 0.0
    noise_sd: float = 0.0
    noise_rho: float = 0.0
    noise_of_track: bool = False
    cluster: float = 0.0
    burst: float = 0.0
    missing: float = 0.0
    effect: Curve = NO_CHANGE
    shared: Curve = NO_CHANGE
    latency: bool = False
    latency_pod_sd: float = 0.0
    latency_noise_sd: float = 0.0
    latency_noise_rho: float = 0.0
    slower: Curve = NO_CHANGE
    tail_share: Curve = NOTHING
    tail_scale: float = 6.0
    tail_pod_sd: float = 0.0
    shared_slower: Curve = NO_CHANGE
    vanish: float = float("inf")
    merged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Runs of one situation. requests, bad: (runs, ticks, pods); buckets: (runs, ticks, pods, B) or None.

    present: (runs, ticks, pods) whether the row is there; what a missing row counted is in the next one.
    """

    situation: Situation
    requests: Floats
    bad: Floats
    buckets: Floats | None
    present: Flags


def generate(situation: Situation, *, runs: int, seed: int) -> Streams:
    """Draw runs of a situation."""
    rng = np.random.default_rng(seed)
    lam = _loads(situation)
    shape = (runs, *lam.shape)
    requests = rng.poisson(np.broadcast_to(lam, shape)).astype(np.float64)
    rate = _rates(situation, rng, shape)
    bad = rng.binomial(requests.astype(np.int64), np.clip(rate, 0.0, 1.0)).astype(np.float64)
    buckets = _latencies(situation, rng, requests) if situation.latency else None
    present = rng.random(shape) >= situation.missing
    times, canary = situation.times, situation.canary
    present &= ~(canary[None, None, :] & (times <= 0)[None, :, None])
    present &= ~(canary[None, None, :] & (times > situation.vanish)[None, :, None])
    for counts in (requests, bad) if buckets is None else (requests, bad, buckets):
        _carry(counts, present)
    return Streams(situation=situation, requests=requests, bad=bad, buckets=buckets, present=present)


def _loads(situation: Situation) -> Floats:
    """Expected requests (ticks, pods)."""
    times, canary = situation.times, situation.canary
    weight = np.where(times > 0, situation.weight(times), 0.0)
    total = situation.rps * situation.tick * situation.traffic(times)
    part = np.where(canary, weight[:, None] / situation.canary_pods, (1.0 - weight)[:, None] / situation.stable_pods)
    return np.asarray(total[:, None] * part)


def correlated(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> Floats:
    """Standard normal noise over (runs, ticks, series), correlated from tick to tick."""
    fresh = rng.standard_normal(shape)
    out = np.empty(shape)
    out[:, 0] = fresh[:, 0]
    keep = np.sqrt(1.0 - rho * rho)
    for i in range(1, shape[1]):
        out[:, i] = rho * out[:, i - 1] + keep * fresh[:, i]
    return out


def _rates(situation: Situation, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    times, canary = situation.times, situation.canary
    rate = np.full(shape, situation.base) * situation.shared(times)[None, :, None]
    rate *= np.where(canary[None, :], situation.effect(times)[:, None], 1.0)[None]
    if situation.pod_sd:
        lasting = rng.standard_normal((shape[0], 1, shape[2])) * situation.pod_sd
        rate *= np.exp(lasting - situation.pod_sd**2 / 2.0)
    if situation.noise_sd:
        series = 2 if situation.noise_of_track else shape[2]
        noise = correlated(rng, (shape[0], shape[1], series), situation.noise_rho) * situation.noise_sd
        if situation.noise_of_track:
            noise = noise[:, :, np.where(canary, 0, 1)]
        rate *= np.exp(noise - situation.noise_sd**2 / 2.0)
    if situation.cluster:
        rate *= rng.gamma(1.0 / situation.cluster, situation.cluster, shape)
    if situation.burst:
        rate = np.where(rng.random(shape) < situation.burst, np.maximum(rate, 0.3), rate)
    return rate


def bucket_shares(scale: Floats) -> Floats:
    """Shares of lognormal latencies per bucket (..., B); scale multiplies the median."""
    logs = np.log(np.array(BOUNDS[:-1])) - np.log(MEDIAN)
    below = ndtr((logs - np.log(scale)[..., None]) / SPREAD)
    return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def _latencies(situation: Situation, rng: np.random.Generator, requests: Floats) -> Floats:
    times, canary = situation.times, situation.canary
    runs, _, pods = requests.shape
    scale = np.broadcast_to(situation.shared_slower(times)[None, :, None], requests.shape).copy()
    scale *= np.where(canary[None, :], situation.slower(times)[:, None], 1.0)[None]
    if situation.latency_pod_sd:
        scale *= np.exp(rng.standard_normal((runs, 1, pods)) * situation.latency_pod_sd)
    if situation.latency_noise_sd:
        noise = correlated(rng, requests.shape, situation.latency_noise_rho)
        scale *= np.exp(noise * situation.latency_noise_sd)
    shares = bucket_shares(scale)
    tail = np.where(canary[None, :], situation.tail_share(times)[:, None], 0.0)[None] * np.ones(requests.shape)
    if situation.tail_pod_sd:
        tail += 0.003 * np.exp(rng.standard_normal((runs, 1, pods)) * situation.tail_pod_sd)
    if tail.any():
        shares = (1.0 - tail)[..., None] * shares + tail[..., None] * bucket_shares(scale * situation.tail_scale)
    return rng.multinomial(requests.astype(np.int64), shares).astype(np.float64)


def _carry(counts: Floats, present: Flags) -> None:
    """Move what a missed row counted into the next one that is there, in place; history's canary counts nothing."""
    if present.all():
        return
    waiting = np.zeros(counts[:, 0].shape)
    extra = counts.ndim - present.ndim
    for i in range(counts.shape[1]):
        here = present[:, i].reshape(present[:, i].shape + (1,) * extra)
        total = counts[:, i] + waiting
        counts[:, i] = np.where(here, total, 0.0)
        waiting = np.where(here, 0.0, total)
