"""Are the canary's requests slower? Conditional label test on histogram buckets.

Given all requests of a tick and their buckets, is the label "canary" tilted towards slow buckets? Two kinds of
alternatives: all latencies times s, and a share of requests moved to the tail (two-mode and tail-only regressions).
The tilt is learnt from stable rows of EARLIER ticks; when it is learnt badly power is lost, validity is not.

Source: exchangeability of labels; the same idea for quantiles in Lindon, Sanden and Shirikian 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints, Mixture, PodReading, Reading
from analysis.sequential.rows import both_usable, usable

SCALES: Final = (1.05, 1.1, 1.18, 1.3, 1.5, 1.9, 2.6)
TAILS: Final = ((0.003, 4.0), (0.01, 4.0), (0.03, 4.0), (0.003, 10.0), (0.01, 10.0), (0.03, 10.0))
SCALE_REFERENCE: Final = 1.2
TAIL_REFERENCE: Final = 0.01
SCALE_SPREADS: Final = (0.0, 0.02, 0.04, 0.07, 0.11, 0.16, 0.24, 0.4)
"""Lasting standard deviations of log latency between equal pods."""
TAIL_SPREADS: Final = (0.0, 0.03, 0.08, 0.16, 0.3, 0.6, 1.2, 2.5)
"""The same for tails, in sizes of a tail of TAIL_REFERENCE."""
MOVED: Final = np.array([0.5, 0.9, 0.95, 0.99, 0.999])
"""Quantiles of which the one that moved most is told."""
RECENT: Final = 400.0
"""Seconds over which the remembered distribution of stable forgets."""
CELLS: Final = 256
PODS: Final = 2048
"""Cells and pods worked on at once: what is worked out of them in between fits the processor's cache."""
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
    bend = np.minimum(np.maximum(slope * width, -12.0), 12.0)
    bend = np.where(np.abs(bend) < 1e-4, 1e-4, bend)
    below = known.cumsum(axis=1) - known
    inside = np.expm1(bend[:, cuts.bucket] * cuts.part) / np.expm1(bend)[:, cuts.bucket]
    reach = below[:, cuts.bucket] + known[:, cuts.bucket] * inside
    shares = np.empty((*reach.shape[:2], reach.shape[2] + 1))
    shares[..., 0], shares[..., -1] = reach[..., 0], 1.0 - reach[..., -1]
    np.subtract(reach[..., 1:], reach[..., :-1], out=shares[..., 1:-1])
    return shares


def label_fit(canary: Floats, both: Floats, canary_share: Floats, tilt: Floats) -> Floats:
    """Log likelihood of one tick's labels when canary requests are tilted by `tilt`, beyond that of "not at all".

    canary, both: (C, B) requests by bucket. canary_share: (C,) canary's share of all requests, in [0, 1].
    tilt: (C, K, B) density of the canary over stable's, per bucket, positive. Returns (C, K).
    Differences are log likelihood ratios. Labels are independent with odds share*tilt/(1-share): with the labels drawn
    under one tilt, the expectation of exp(another's fit - its own) is 1.
    """
    mixed = np.log1p(canary_share[:, None, None] * (tilt - 1.0))
    return along(np.log(tilt), canary) - along(mixed, both)


def along(values: Floats, weights: Floats) -> Floats:
    """Sums (C, K) of values (C, K, B) times weights (C, B) over buckets."""
    return np.asarray(np.matmul(values, weights[:, :, None])[:, :, 0])


_WEIGHTS: Final = np.array([1.2, 1.4, 1.4, 1.2, 1.0, 0.6, 0.4, 0.8, 1.0, 0.6, 0.6, 0.6, 0.4])
MIXTURE: Final = Mixture(
    harm_weights=_WEIGHTS / _WEIGHTS.sum(),
    harm_direction=np.array([0] * len(SCALES) + [1] * 3 + [2] * 3),
    partner=np.concatenate((np.arange(len(SCALES)), len(SCALES) + len(TAILS) + np.arange(len(TAILS)))),
    safe_weights=np.array([0.5, 0.25, 0.25, 0.5, 0.5]),
    safe_direction=np.array([0, 0, 0, 1, 1]),
    spreads=np.array([SCALE_SPREADS, TAIL_SPREADS, TAIL_SPREADS]),
    prior=np.array([[0.36, 0.10, 0.10, 0.11, 0.12, 0.10, 0.07, 0.04]] * 3),
    lone_prior=np.array([[0.22, 0.14, 0.14, 0.18, 0.16, 0.10, 0.045, 0.015]] * 3),
    merged_prior=np.array([[0.93, 0.035, 0.018, 0.009, 0.005, 0.002, 0.0007, 0.0003]] * 3),
    freedom=np.array([1.0, 0.5, 0.5]),
    bounded=np.array([0.8, 0.0, 0.0]),
    skewed=np.zeros(3),
)


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
    mixture: ClassVar[Mixture] = MIXTURE
    mixing: Floats = field(init=False)
    cleared: Ints = field(init=False)
    cuts: Cuts = field(init=False)
    reference_maps: tuple[Floats, Cuts] = field(init=False)
    edges: tuple[Floats, Floats] = field(init=False)

    def __post_init__(self) -> None:
        """Fix the alternatives as linear maps of the stable distribution, and their weights."""
        bounds = np.array(self.bounds)
        maps = self._maps()
        scales = sorted({scale for each in maps for scale in each})
        mixing = np.array([[each.get(scale, 0.0) for scale in scales] for each in maps])
        cuts = Cuts.of(bounds, np.array(scales))
        tails = 1 + len(SCALES) + np.arange(len(TAILS))
        references = mixing[-3:]  # one a direction
        referred = np.asarray(references.any(axis=0))
        setters = {
            "columns": len(bounds),
            "remembered": len(bounds),
            "mixing": mixing,
            "cleared": np.append(tails, len(maps) + np.array([-6, -2, -1])),  # of promotion, then the references
            "cuts": cuts,
            "reference_maps": (references[:, referred], cuts.rows(referred)),
            "edges": bucket_edges(bounds),
        }
        for name, value in setters.items():
            object.__setattr__(self, name, value)

    def _maps(self) -> list[dict[float, float]]:
        """What each alternative, margin and reference makes of latencies: scale -> share of requests."""
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
        return maps + [_moved(margin, TAIL_REFERENCE, scale) for scale in (4.0, 10.0)]

    def densities(self, memory: Floats, *, references: bool = False) -> tuple[Floats, Floats]:
        """Stable's distribution (C, B) and every mapped one over it (C, maps, B); or the reference ones only."""
        known = memory + PSEUDO
        known = known / known.sum(axis=1, keepdims=True)
        mixing, cuts = self.reference_maps if references else (self.mixing, self.cuts)
        mapped = np.matmul(mixing, scaled(known, cuts, *self.edges))
        tilt = np.maximum(mapped, 1e-9) / known[:, None, :]
        cleared = self.cleared[-2:] - len(self.mixing) if references else self.cleared
        tilt[:, cleared] = _cleared(tilt[:, cleared], tilt[:, -3], known)
        if not references:
            tilt[:, 1 + len(SCALES) : 1 + len(SCALES) + len(TAILS)] *= tilt[:, :1]
        return known, tilt

    def read(self, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:  # noqa: ARG002
        """Read one tick; see base.Test. A cell with a count that is not finite, or below 0, gains nothing."""
        canary, stable = both_usable(canary, stable)
        parts = [self._read(canary[some], stable[some], memory[some]) for some in _blocks(len(canary), CELLS)]
        if len(parts) == 1:
            return parts[0]
        return Reading(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Reading.__slots__})

    def _read(self, canary: Floats, stable: Floats, memory: Floats) -> Reading:
        known, tilt = self.densities(memory)
        ours, theirs = canary.sum(axis=1), stable.sum(axis=1)
        used = ((ours > 0) & (theirs > 0) & (memory.sum(axis=1) > 0)).astype(np.float64)[:, None]
        ours_used, both = canary * used, (canary + stable) * used
        total = ours + theirs
        share = np.divide(ours, total, out=np.zeros_like(total), where=total > 0)
        count = 1 + len(SCALES) + 2 * len(TAILS)
        fit = label_fit(ours_used, both, share, tilt)
        edges, healthy = fit[:, count : count + 3], fit[:, count + 3 : count + 5]
        references = tilt[:, -len(MIXTURE.spreads) :]
        scores = np.log(references)
        lean = along((references - 1.0) * scores, known) / self.units()
        score, information = _score(ours_used, both, share, tilt[:, [0, count, count + 1]], scores)
        safe_information = np.zeros_like(score)
        for d in (0, 1):
            safe_information[:, d] = information[:, 1 + d, d]
        return Reading(
            harm=fit[:, 1:count] - fit[:, :1],
            safe=np.concatenate((-edges[:, :1], healthy - edges[:, :1], -edges[:, 1:]), axis=1),
            score=score,
            harm_information=information[:, 0],
            safe_information=safe_information,
            lean=lean * (share * (1.0 - share) * total * used[:, 0])[:, None],
        )

    def units(self) -> Floats:
        """Size of the reference alternative of each direction in the units of `spreads`."""
        return np.array([np.log(SCALE_REFERENCE), 1.0, 1.0])

    def pods(self, counts: Floats, track: Floats, memory: Floats, cell: Ints) -> PodReading:
        """Mean score of a pod beyond its track's; a lone pod is held against the recent past."""
        seen = [self._past(memory[some]) for some in _blocks(len(memory), CELLS)]
        past, logs, effect = seen[0] if len(seen) == 1 else (np.concatenate(each) for each in zip(*seen, strict=True))
        parts = [_pods(counts[r], track[r], past, logs, effect, cell[r]) for r in _blocks(len(counts), PODS)]
        if len(parts) == 1:
            return parts[0]
        names = PodReading.__slots__
        return PodReading(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def _past(self, memory: Floats) -> tuple[Floats, Floats, Floats]:
        """Stable's distribution (C, B), scores of the reference alternatives (C, D, B) and their mean effect (C, D)."""
        past, reference = self.densities(memory, references=True)
        logs = np.log(reference)
        effect = along((reference - 1.0) * logs, past) / self.units()
        effect *= (memory.sum(axis=1) > 0)[:, None]
        return past, logs, effect

    def remember(self, memory: Floats, stable: Floats, *, seconds: Floats, history: bool) -> None:  # noqa: ARG002
        """Add stable's requests by bucket; see base.Test."""
        memory *= np.exp(-np.minimum(seconds, 10.0 * RECENT) / RECENT)[:, None]
        memory += np.where(usable(stable)[:, None], stable, 0.0)

    def requests(self, counts: Floats) -> Floats:
        """Requests in each row of counts."""
        return np.asarray(counts.sum(axis=-1))


def _pods(counts: Floats, track: Floats, past: Floats, logs: Floats, effect: Floats, cell: Ints) -> PodReading:
    """Mean score of pods (S, B) beyond their track's; past, logs, effect: of the cells, as `_past` gave them."""
    known, scores = past[cell], logs[cell]
    requests, total = counts.sum(axis=1), track.sum(axis=1)
    alone = (requests >= total)[:, None]
    mean = np.divide(track, total[:, None], out=np.zeros_like(track), where=total[:, None] > 0)
    mean = np.where(alone, known, mean)
    part = np.divide(requests, total, out=np.zeros_like(total), where=(total > 0) & ~alone[:, 0])
    centre = along(scores, mean)
    variance = np.maximum(along(scores**2, mean) - centre**2, 0.0)
    seen = (effect > 0)[cell]
    return PodReading(
        drift=(along(scores, counts) - requests[:, None] * centre) * seen,
        exposure=requests[:, None] * effect[cell],
        noise=requests[:, None] * variance * (1.0 - part)[:, None] * seen,
    )


def _blocks(count: int, size: int) -> list[slice]:
    """Slices of at most `size` rows, one at least."""
    return [slice(begin, begin + size) for begin in range(0, max(count, 1), size)]


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
    part = along(tilt - 1.0, weighed) / np.maximum(size, 1e-12)
    return np.asarray(np.maximum(tilt - part[:, :, None] * (scale - 1.0)[:, None], 0.02))


def _score(canary: Floats, both: Floats, share: Floats, nulls: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Score (C, D) of the canary's labels at the first of nulls (C, N, B), and its variance (C, N, D) at each."""
    odds = share[:, None, None] * nulls
    chance = odds / (odds + (1.0 - share[:, None, None]))
    weight = both[:, None] * chance * (1.0 - chance)
    total = np.maximum(weight.sum(axis=2), 1e-300)[:, :, None]
    mean = np.matmul(weight, scores.swapaxes(1, 2)) / total
    centred = scores[:, None] - mean[..., None]
    variance = np.matmul(centred**2, weight[..., None])[..., 0]
    return along(centred[:, 0], canary - both * chance[:, 0]), np.asarray(variance)


def moved_quantile(canary: Floats, stable: Floats, bounds: tuple[float, ...]) -> Floats:
    """Which of the quantiles 50, 90, 95, 99, 99.9 % moved up most; (C,), NaN where none did or a track is empty.

    canary, stable: (C, B) requests by bucket since the first canary traffic.
    """
    logs = _log_quantiles(np.concatenate((canary, stable)), *bucket_edges(np.array(bounds)))
    change = logs[: len(canary)] - logs[len(canary) :]
    change[np.isnan(change)] = -np.inf
    best = change.argmax(axis=1)
    return np.where(change.max(axis=1) > 0, MOVED[best], np.nan)


def _log_quantiles(counts: Floats, lower: Floats, upper: Floats) -> Floats:
    """Logs of the quantiles MOVED (n, 5) of rows of counts (n, B); NaN for a row without requests."""
    total, reach = counts.sum(axis=1)[:, None], counts.cumsum(axis=1)
    wanted = MOVED * total
    index = (reach[:, None, :] < np.maximum(wanted, 1e-300)[:, :, None]).sum(axis=2)
    index = np.minimum(index, counts.shape[1] - 1)
    row = np.arange(len(counts))[:, None]
    inside = counts[row, index]
    part = (wanted - (reach[row, index] - inside)) / np.maximum(inside, 1e-300)
    value = lower[index] + np.minimum(np.maximum(part, 0.0), 1.0) * (upper - lower)[index]
    return np.where(total > 0, value, np.nan)
