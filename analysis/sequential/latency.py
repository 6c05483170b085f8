"""Are the canary's requests slower? Conditional label test on histogram buckets.

Given all requests of a tick and their buckets, is the label "canary" tilted towards slow buckets? Two kinds of
alternatives: all latencies times s, and a share of requests moved to the tail (two-mode and tail-only regressions).
The tilt is learnt from stable rows of EARLIER ticks; when it is learnt badly power is lost, validity is not.

Source: exchangeability of labels; the same idea for quantiles in Lindon, Sanden and Shirikian 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints, PodReading, Reading
from analysis.sequential.rows import both_usable, usable

SCALES: Final = (1.05, 1.1, 1.18, 1.3, 1.5, 1.9, 2.6)
TAILS: Final = ((0.003, 4.0), (0.01, 4.0), (0.03, 4.0), (0.003, 10.0), (0.01, 10.0), (0.03, 10.0))
SCALE_REFERENCE: Final = 1.2
TAIL_REFERENCE: Final = 0.01
SCALE_SPREADS: Final = (0.0, 0.02, 0.04, 0.07, 0.11, 0.16, 0.24, 0.4)
"""Lasting standard deviations of log latency between equal pods."""
TAIL_SPREADS: Final = (0.0, 0.03, 0.08, 0.16, 0.3, 0.6, 1.2, 2.5)
"""The same for tails, in sizes of a tail of TAIL_REFERENCE."""
RECENT: Final = 400.0
"""Seconds over which the remembered distribution of stable forgets."""
PSEUDO: Final = 0.5
"""Requests added to every bucket of the remembered distribution: no alternative is ever certain."""


def bucket_edges(bounds: Floats) -> tuple[Floats, Floats]:
    """Logarithms of lower and upper ends of the buckets; the first and the last, open ones are given a factor of 4."""
    finite = bounds[:-1]
    upper = np.log(np.append(finite, finite[-1] * 4.0))
    lower = np.concatenate(([upper[0] - np.log(4.0)], upper[:-1]))
    return lower, upper


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Where the bounds lie after all latencies were multiplied by a scale: bucket (M, B) and part below (M, B)."""

    bucket: Ints
    part: Floats

    @classmethod
    def of(cls, bounds: Floats, scales: Floats) -> Self:
        """Cuts for each scale (M,)."""
        lower, upper = bucket_edges(bounds)
        cuts = np.log(bounds[:-1]) - np.log(scales)[:, None]
        bucket = np.minimum(np.searchsorted(upper, cuts), len(bounds) - 1)
        part = np.clip((cuts - lower[bucket]) / (upper - lower)[bucket], 0.0, 1.0)
        return cls(bucket=bucket, part=part)

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Cuts:
        """The same for some of the scales."""
        return Cuts(bucket=self.bucket[chosen], part=self.part[chosen])


def scaled(known: Floats, cuts: Cuts, lower: Floats, upper: Floats) -> Floats:
    """Shares per bucket (C, M, B) when the latencies behind `known` (C, B) are multiplied by each scale.

    Within a bucket the density of log latency is exponential, its slope taken from the neighbours: buckets are wide
    and tails fall steeply; a flat density would put too many requests next to the upper bound.
    """
    width, centre = upper - lower, (upper + lower) / 2.0
    density = np.log(np.maximum(known, 1e-12) / width)
    slope = np.empty_like(density)
    slope[:, 1:-1] = (density[:, 2:] - density[:, :-2]) / (centre[2:] - centre[:-2])
    slope[:, 0] = (density[:, 1] - density[:, 0]) / (centre[1] - centre[0])
    slope[:, -1] = (density[:, -1] - density[:, -2]) / (centre[-1] - centre[-2])
    bend = np.clip(slope * width, -12.0, 12.0)
    bend = np.where(np.abs(bend) < 1e-4, 1e-4, bend)
    below = np.concatenate((np.zeros((len(known), 1)), np.cumsum(known, axis=1)[:, :-1]), axis=1)
    inside = np.expm1(bend[:, cuts.bucket] * cuts.part) / np.expm1(bend)[:, cuts.bucket]
    reach = below[:, cuts.bucket] + known[:, cuts.bucket] * inside
    shares = np.empty((*reach.shape[:2], reach.shape[2] + 1))
    shares[..., 0], shares[..., -1] = reach[..., 0], 1.0 - reach[..., -1]
    np.subtract(reach[..., 1:], reach[..., :-1], out=shares[..., 1:-1])
    return shares


def label_gains(canary: Floats, both: Floats, canary_share: Floats, tilt: Floats, null: Floats) -> Floats:
    """Log likelihood ratio of "canary requests are tilted by `tilt`" against "by `null`", one tick.

    canary, both: (C, B) requests by bucket. canary_share: (C,) canary's share of all requests, in [0, 1].
    tilt: (C, K, B), null: (C, B): density of the canary over stable's, per bucket, positive.
    Returns (C, K).  Under the null labels are independent with odds share*null/(1-share): expectation of exp is 1.
    """
    share = canary_share[:, None]
    base = np.log1p(share * (null - 1.0))
    gain = np.einsum("cb,ckb->ck", canary, np.log(tilt)) - (canary * np.log(null)).sum(axis=1)[:, None]
    mixed = np.log1p(share[:, :, None] * (tilt - 1.0))
    return np.asarray(gain - np.einsum("cb,ckb->ck", both, mixed) + (both * base).sum(axis=1)[:, None])


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTest:
    """Latencies as histogram buckets; counts are requests per bucket (NOT cumulative over buckets).

    bounds: upper bounds in seconds, rising, the last one inf. relative: rollback margin on the scale of all
    latencies, tail: share that may become 4 times slower; promote_relative, promote_tail: the same for promotion.
    Directions: 0 all requests, 1 the tail at 4 times, 2 the tail at 10 times.
    """

    bounds: tuple[float, ...]
    relative: float
    tail: float
    promote_relative: float
    promote_tail: float
    factor: float = 1.0
    columns: int = field(init=False)
    remembered: int = field(init=False)
    harm_weights: Floats = field(init=False)
    harm_direction: Ints = field(init=False)
    safe_weights: Floats = field(init=False)
    safe_direction: Ints = field(init=False)
    spreads: Floats = field(init=False)
    prior: Floats = field(init=False)
    lone_prior: Floats = field(init=False)
    merged_prior: Floats = field(init=False)
    freedom: Floats = field(init=False)
    partner: Ints = field(init=False)
    mixing: Floats = field(init=False)
    cuts: Cuts = field(init=False)
    reference_maps: tuple[Floats, Cuts] = field(init=False)
    edges: tuple[Floats, Floats] = field(init=False)

    def __post_init__(self) -> None:
        """Fix the alternatives as linear maps of the stable distribution, and their weights."""
        bounds = np.array(self.bounds)
        margin = {1.0: 1.0}
        null = _moved(_times(margin, self.relative * self.factor), min(self.tail * self.factor, 0.5), 4.0)
        maps = [null]
        maps += [_times(margin, self.relative * self.factor * s) for s in SCALES]
        maps += [_moved(margin, share, scale) for share, scale in TAILS]
        maps += [_moved(null, share, scale) for share, scale in TAILS]
        maps += [_times(margin, self.promote_relative), _moved(margin, self.promote_tail, 4.0)]
        maps += [_moved(margin, self.promote_tail, 4.0)]
        maps += [_times(margin, s) for s in (0.95, min(1.05, self.promote_relative**0.4))]
        maps += [_times(margin, SCALE_REFERENCE)]
        maps += [_moved(margin, TAIL_REFERENCE, scale) for scale in (4.0, 10.0)]
        scales = sorted({scale for each in maps for scale in each})
        mixing = np.array([[each.get(scale, 0.0) for scale in scales] for each in maps])
        weights = np.array([1.2, 1.4, 1.4, 1.2, 1.0, 0.6, 0.4, 0.8, 1.0, 0.6, 0.6, 0.6, 0.4])
        cuts = Cuts.of(bounds, np.array(scales))
        references = mixing[-3:]  # one a direction
        referred = np.asarray(references.any(axis=0))
        setters = {
            "columns": len(bounds),
            "remembered": len(bounds),
            "mixing": mixing,
            "cuts": cuts,
            "reference_maps": (references[:, referred], cuts.rows(referred)),
            "edges": bucket_edges(bounds),
            "harm_weights": weights / weights.sum(),
            "harm_direction": np.array([0] * len(SCALES) + [1] * 3 + [2] * 3),
            "safe_weights": np.array([0.5, 0.25, 0.25, 0.5, 0.5]),
            "safe_direction": np.array([0, 0, 0, 1, 1]),
            "spreads": np.array([SCALE_SPREADS, TAIL_SPREADS, TAIL_SPREADS]),
            "prior": np.array([[0.36, 0.10, 0.10, 0.11, 0.12, 0.10, 0.07, 0.04]] * 3),
            "lone_prior": np.array([[0.22, 0.14, 0.14, 0.18, 0.16, 0.10, 0.045, 0.015]] * 3),
            "merged_prior": np.array([[0.93, 0.035, 0.018, 0.009, 0.005, 0.002, 0.0007, 0.0003]] * 3),
            "partner": np.concatenate((np.arange(len(SCALES)), len(SCALES) + len(TAILS) + np.arange(len(TAILS)))),
            "freedom": np.array([1.0, 0.5, 0.5]),
        }
        for name, value in setters.items():
            object.__setattr__(self, name, value)

    def densities(self, memory: Floats, *, references: bool = False) -> tuple[Floats, Floats]:
        """Stable's distribution (C, B) and every mapped one over it (C, maps, B); or the reference ones only."""
        known = memory + PSEUDO
        known = known / known.sum(axis=1, keepdims=True)
        mixing, cuts = self.reference_maps if references else (self.mixing, self.cuts)
        mapped = np.einsum("ms,csb->cmb", mixing, scaled(known, cuts, *self.edges))
        tilt = np.maximum(mapped, 1e-9) / known[:, None, :]
        scale = tilt[:, -3]
        tilt[:, -2:] = _cleared(tilt[:, -2:], scale, known)
        if not references:
            first, last = 1 + len(SCALES), 1 + len(SCALES) + len(TAILS)
            edge = last + len(TAILS) + 1
            tilt[:, first:last] = _cleared(tilt[:, first:last], scale, known) * tilt[:, :1]
            tilt[:, edge + 1 : edge + 2] = _cleared(tilt[:, edge + 1 : edge + 2], scale, known)
        return known, tilt

    def read(self, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:  # noqa: ARG002
        """Read one tick; see base.Test. A cell with a count that is not finite, or below 0, gains nothing."""
        canary, stable = both_usable(canary, stable)
        known, tilt = self.densities(memory)
        ours, theirs = canary.sum(axis=1), stable.sum(axis=1)
        used = ((ours > 0) & (theirs > 0) & (memory.sum(axis=1) > 0)).astype(np.float64)[:, None]
        ours_used, both = canary * used, (canary + stable) * used
        total = ours + theirs
        share = np.divide(ours, total, out=np.zeros_like(total), where=total > 0)
        count = 1 + len(SCALES) + 2 * len(TAILS)
        null, harm_tilt = tilt[:, 0], tilt[:, 1:count]
        healthy = np.concatenate((np.ones_like(tilt[:, :1]), tilt[:, count + 3 : count + 5]), axis=1)
        safe = label_gains(ours_used, both, share, healthy, tilt[:, count])
        same = np.ones_like(tilt[:, :1])
        tails = [label_gains(ours_used, both, share, same, tilt[:, count + i]) for i in (1, 2)]
        references = tilt[:, -len(self.spreads) :]
        scores = np.log(references)
        lean = (known[:, None, :] * (references - 1.0) * scores).sum(axis=2) / self.units()
        edges = np.stack((tilt[:, count], tilt[:, count + 1]), axis=1)
        score, information = _score(ours_used, both, share, null, scores)
        safe_parts = [_score(ours_used, both, share, edges[:, d], scores[:, d : d + 1])[1] for d in (0, 1)]
        return Reading(
            harm=label_gains(ours_used, both, share, harm_tilt, null),
            safe=np.concatenate((safe, *tails), axis=1),
            score=score,
            harm_information=information,
            safe_information=np.concatenate((*safe_parts, np.zeros_like(safe_parts[0])), axis=1),
            lean=lean * (share * (1.0 - share) * total * used[:, 0])[:, None],
        )

    def units(self) -> Floats:
        """Size of the reference alternative of each direction in the units of `spreads`."""
        return np.array([np.log(SCALE_REFERENCE), 1.0, 1.0])

    def pods(self, counts: Floats, track: Floats, memory: Floats, cell: Ints) -> PodReading:
        """Mean score of a pod beyond its track's; a lone pod is held against the recent past."""
        past, reference = self.densities(memory, references=True)
        logs = np.log(reference)
        known, scores = past[cell], logs[cell]
        requests, total = counts.sum(axis=1), track.sum(axis=1)
        alone = (requests >= total)[:, None]
        mean = np.divide(track, total[:, None], out=np.zeros_like(track), where=total[:, None] > 0)
        mean = np.where(alone, known, mean)
        part = np.divide(requests, total, out=np.zeros_like(total), where=(total > 0) & ~alone[:, 0])
        centre = np.einsum("sb,sdb->sd", mean, scores)
        variance = np.maximum(np.einsum("sb,sdb->sd", mean, scores**2) - centre**2, 0.0)
        effect = (past[:, None, :] * (reference - 1.0) * logs).sum(axis=2) / self.units()
        effect *= (memory.sum(axis=1) > 0)[:, None]
        seen = (effect > 0)[cell]
        return PodReading(
            drift=(np.einsum("sb,sdb->sd", counts, scores) - requests[:, None] * centre) * seen,
            exposure=requests[:, None] * effect[cell],
            noise=requests[:, None] * variance * (1.0 - part)[:, None] * seen,
        )

    def remember(self, memory: Floats, stable: Floats, *, seconds: Floats, history: bool) -> None:  # noqa: ARG002
        """Add stable's requests by bucket; see base.Test."""
        memory *= np.exp(-np.minimum(seconds, 10.0 * RECENT) / RECENT)[:, None]
        memory += np.where(usable(stable)[:, None], stable, 0.0)

    def requests(self, counts: Floats) -> Floats:
        """Requests in each row of counts."""
        return np.asarray(counts.sum(axis=-1))


def _times(parts: Mapping[float, float], scale: float) -> dict[float, float]:
    """A mixture of scales (scale -> share), all multiplied by one more."""
    return {round(each * scale, 12): share for each, share in parts.items()}


def _moved(parts: Mapping[float, float], share: float, scale: float) -> dict[float, float]:
    """The same mixture after a share of all requests takes `scale` times as long."""
    out = {each: part * (1.0 - share) for each, part in parts.items()}
    for each, part in _times(parts, scale).items():
        out[each] = out.get(each, 0.0) + part * share
    return out


def _cleared(tilt: Floats, scale: Floats, known: Floats) -> Floats:
    """Tail alternatives (C, K, B) without what a change of scale explains: pods that differ in scale move no tail.

    scale: (C, B) density of the reference scale over `known` (C, B). What is left is not monotone: by itself it would
    take a faster canary for one with a tail, so each of these alternatives has a plain one as its partner.
    """
    score = np.log(scale)
    weighed = known * (score - (known * score).sum(axis=1)[:, None])
    size = (weighed * (scale - 1.0)).sum(axis=1)[:, None]
    part = np.einsum("cb,ckb->ck", weighed, tilt - 1.0) / np.maximum(size, 1e-12)
    return np.asarray(np.maximum(tilt - part[:, :, None] * (scale - 1.0)[:, None], 0.02))


def _score(canary: Floats, both: Floats, share: Floats, null: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Score of the canary's labels in each direction and its variance at the null; (C, D) each."""
    odds = share[:, None] * null
    chance = odds / (odds + (1.0 - share[:, None]))
    weight = both * chance * (1.0 - chance)
    total = np.maximum(weight.sum(axis=1), 1e-300)[:, None]
    centred = scores - (np.einsum("cb,cdb->cd", weight, scores) / total)[:, :, None]
    score = np.einsum("cb,cdb->cd", canary - both * chance, centred)
    return np.asarray(score), np.einsum("cb,cdb->cd", weight, centred**2)


def moved_quantile(canary: Floats, stable: Floats, bounds: tuple[float, ...]) -> Floats:
    """Which of the quantiles 50, 90, 95, 99, 99.9 % moved up most; (C,), NaN where none did or a track is empty.

    canary, stable: (C, B) requests by bucket since the first canary traffic.
    """
    lower, upper = bucket_edges(np.array(bounds))
    levels = np.array([0.5, 0.9, 0.95, 0.99, 0.999])
    logs = [_quantiles(side, lower, upper, levels) for side in (stable, canary)]
    change = np.where(np.isfinite(logs[0]) & np.isfinite(logs[1]), logs[1] - logs[0], -np.inf)
    best = np.argmax(change, axis=1)
    rose = change[np.arange(len(best)), best] > 0
    return np.where(rose, levels[best], np.nan)


def _quantiles(counts: Floats, lower: Floats, upper: Floats, levels: Floats) -> Floats:
    total = counts.sum(axis=1)
    reach = np.cumsum(counts, axis=1)
    index = (reach[:, None, :] < (levels * np.maximum(total, 1e-300)[:, None])[:, :, None]).sum(axis=2)
    index = np.minimum(index, counts.shape[1] - 1)
    row = np.arange(len(counts))[:, None]
    inside = counts[row, index]
    part = (levels * total[:, None] - (reach[row, index] - inside)) / np.maximum(inside, 1e-300)
    value = lower[index] + np.clip(part, 0.0, 1.0) * (upper - lower)[index]
    return np.where((total > 0)[:, None], value, np.nan)
