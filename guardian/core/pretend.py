"""Pretended rollouts: a past in which nothing was released, told as if some of it had been a canary's.

Two kinds: some of stable's pods against the others (whole pods, never requests thinned at random, which would hide how
pods differ), and a stretch of time against the one before it. Errors and delays can be added to the pretended canary.
The rows are those of a samples file; who judges them is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from math import comb
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.model import Seconds, Track
from guardian.core.samples import Batch

LEAST_HISTORY: Final = Seconds(1800.0)
"""Without as much before it, a rollout would be judged uncalibrated: that is another rate than the policy's."""
LONGEST_GAP: Final = Seconds(300.0)
"""Rows may be missing for as long (or ten ticks, if longer); a window with a longer gap is left out."""
PRESENT: Final = 0.5
"""Share of a window's ticks in which a pod must have rows to be a pretended canary."""
ALL_LISTED: Final = 5_000
"""Up to as many ways to split the pods are listed and drawn from."""
_EDGE: Final = 1e-3


class Fault(StrEnum):
    """Why a starting time cannot be used."""

    EMPTY = "no rows"
    SHORT = "less than 30m of history before it"
    GAP = "a gap of more than 5m"
    PODS = "too few pods"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What every pretended rollout looks like. canary_pods None: what the weight of the first step comes to."""

    length: Seconds
    history: Seconds
    weight: float
    canary_pods: int | None = None
    splits: int = 4

    def group(self, pods: int) -> int:
        """How many of so many pods are the canary; 0 where that leaves no other."""
        size = self.canary_pods or max(1, round(self.weight * pods))
        return size if size < pods else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Stable's rows around one starting time; `time` counts from it, `rollout` and `track` mean nothing."""

    parts: tuple[Batch, ...]

    def times(self, shape: Shape) -> Floats:
        """Ends of the ticks that pods against pods would see, rising."""
        found = [np.unique(part.time) for part in self.parts]
        times = np.unique(np.concatenate(found)) if found else np.zeros(0)
        return times[(times > -shape.history) & (times <= shape.length + _EDGE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretence:
    """One pretended rollout: number of its window, and codes of its canary pods; () for time as arms."""

    window: int
    canary: tuple[int, ...] = ()


def fault_of(window: Window, shape: Shape) -> Fault | None:
    """Say why a window cannot be used; None where it can. Pods are looked at apart."""
    times = window.times(shape)
    if not len(times) or times[-1] <= 0:
        return Fault.EMPTY
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    if -times[0] < min(LEAST_HISTORY, shape.history) - step - _EDGE:
        return Fault.SHORT
    bounds = np.concatenate((times, [shape.length]))
    return Fault.GAP if np.diff(bounds).max() > max(LONGEST_GAP, 10.0 * step) + _EDGE else None


def pods_of(window: Window, shape: Shape) -> Ints:
    """Codes of the pods that have rows in at least half of the ticks after the start, in every part where they are."""
    ticks = window.times(shape)
    ticks = ticks[ticks > 0]
    seen: dict[int, float] = {}
    for part in window.parts:
        live = (part.time > 0) & (part.time <= shape.length + _EDGE)
        for pod in np.unique(part.pod):
            share = len(np.unique(part.time[live & (part.pod == pod)])) / max(len(ticks), 1)
            seen[int(pod)] = min(share, seen.get(int(pod), 1.0))
    return np.array(sorted(pod for pod, share in seen.items() if share >= PRESENT), dtype=np.int64)


def candidates(window: Window, shape: Shape) -> Ints | Fault:
    """Codes of the pods that may be the pretended canary of a window; why there can be none."""
    fault = fault_of(window, shape)
    if fault is not None:
        return fault
    pods = pods_of(window, shape)
    return pods if shape.group(len(pods)) else Fault.PODS


def splits(pods: Ints, *, size: int, count: int, chance: np.random.Generator) -> list[tuple[int, ...]]:
    """Up to `count` different groups of `size` of these pods, drawn at random; all there are where these are fewer."""
    ways = comb(len(pods), size)
    if ways <= ALL_LISTED:
        listed = list(combinations(pods.tolist(), size))
        return [listed[number] for number in sorted(chance.permutation(ways)[:count])]
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < count:
        drawn[tuple(sorted(chance.choice(pods, size, replace=False).tolist()))] = None
    return list(drawn)


def has_before(window: Window, shape: Shape) -> bool:
    """Whether rows reach back far enough, without a gap, for time as arms."""
    earlier = Window(parts=tuple(replace(part, time=part.time + shape.length) for part in window.parts))
    return fault_of(earlier, shape) is None


def rows_of(window: Window, pretence: Pretence, shape: Shape) -> Batch:
    """The rows of one pretended rollout, sorted by time; its number is 0."""
    parts = []
    for part in window.parts:
        if pretence.canary:
            chosen = np.isin(part.pod, pretence.canary)
            parts += [_stable(part.rows(np.flatnonzero(~chosen)), shape), _canary(part, chosen, shape)]
        else:
            shifted = replace(part, time=part.time + shape.length)
            parts += [_stable(shifted, shape), _canary(part, np.ones(len(part), dtype=np.bool_), shape)]
    return Batch.in_order(parts)


def _stable(part: Batch, shape: Shape) -> Batch:
    kept = part.rows(np.flatnonzero((part.time > -shape.history) & (part.time <= shape.length + _EDGE)))
    nothing = np.zeros(len(kept), dtype=np.int64)
    return replace(kept, rollout=nothing, track=nothing + Track.STABLE.code)


def _canary(part: Batch, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], shape: Shape) -> Batch:
    """Rows whose whole interval is after the start: a canary has no past."""
    live = (part.time - part.seconds >= -_EDGE) & (part.time > 0) & (part.time <= shape.length + _EDGE)
    kept = part.rows(np.flatnonzero(chosen & live))
    return replace(kept, rollout=np.zeros(len(kept), dtype=np.int64), track=np.full(len(kept), Track.CANARY.code))


def worsened(rows: Batch, *, metric: int, factor: float, chance: np.random.Generator) -> Batch | None:
    """Rows whose canary is `factor` times as bad in this metric; None where nothing can be made worse.

    Ratio: good requests become bad, each with the same chance, until (factor - 1) times the window's share of bad ones
    is added; so the counts of real pods keep their own noise, and what is added is independent. Histogram: every
    request takes `factor` times as long; within a bucket, latencies are taken to be spread evenly on a log scale.
    """
    mine = rows.metric == metric
    if not mine.any():
        return None
    if np.isfinite(rows.bound[mine]).any():
        return _slower(rows, mine & (rows.track == Track.CANARY.code), factor)
    counted = mine & np.isfinite(rows.requests)
    total = float(rows.requests[counted].sum())
    share = float(rows.bad[counted].sum()) / total if total > 0 else 0.0
    if not 0.0 < share < 1.0:
        return None
    at = np.flatnonzero(counted & (rows.track == Track.CANARY.code))
    good = (rows.requests[at] - rows.bad[at]).astype(np.int64)
    bad = rows.bad.copy()
    bad[at] += chance.binomial(good, min(1.0, (factor - 1.0) * share / (1.0 - share)))
    return replace(rows, bad=bad)


def _slower(rows: Batch, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], factor: float) -> Batch | None:
    at = np.flatnonzero(chosen)
    at = at[np.lexsort((rows.bound[at], rows.stratum[at], rows.pod[at], rows.time[at]))]
    bounds = np.unique(rows.bound[at])
    if len(bounds) < 2:
        return None
    changes = [np.diff(each[at]) != 0 for each in (rows.time, rows.pod, rows.stratum)]
    new = np.concatenate(([True], np.any(changes, axis=0)))
    first = np.flatnonzero(new)
    whole = np.diff(np.append(first, len(at))) == len(bounds)
    at = at[np.repeat(whole, np.diff(np.append(first, len(at))))]
    shown = rows.count[at].reshape(-1, len(bounds))
    count = rows.count.copy()
    count[at] = np.floor(shown @ _moved(bounds, factor).T + 1e-6).reshape(-1)  # whole, and still cumulative
    return replace(rows, count=count)


def _moved(bounds: Floats, factor: float) -> Floats:
    """Matrix (B, B) from counts <= each bound to what they are when all takes `factor` times as long."""
    matrix = np.zeros((len(bounds), len(bounds)))
    for row, bound in enumerate(bounds):
        wanted = bound / factor
        upper = int(np.searchsorted(bounds, wanted))
        lower = bounds[upper - 1] if upper and bounds[upper - 1] > 0 else bounds[upper] / 4.0
        part = 1.0
        if wanted < bounds[upper]:
            part = float(np.clip(np.log(wanted / lower) / np.log(bounds[upper] / lower), 0.0, 1.0))
        matrix[row, upper] = part
        if upper:
            matrix[row, upper - 1] += 1.0 - part
    return matrix


def starts(times: Floats, *, wanted: int, shape: Shape) -> Floats:
    """Up to `wanted` starting times among rising `times`, evenly spread, their rollouts not overlapping."""
    fit: Floats = times[(times - times[0] >= shape.history - _EDGE) & (times <= times[-1] - shape.length + _EDGE)]
    if not len(fit):
        return np.zeros(0)
    count = int(max(1, min(wanted, (fit[-1] - fit[0]) // shape.length + 1)))
    found = np.searchsorted(fit, np.linspace(fit[0], fit[-1], count) - _EDGE)
    return np.asarray(fit[np.unique(np.minimum(found, len(fit) - 1))])


def cut(rows: Sequence[Batch], start: float, shape: Shape) -> Window:
    """The window around one starting time of rows sorted by time."""
    parts = []
    for part in rows:
        begin, end = np.searchsorted(part.time, (start - shape.history - shape.length, start + shape.length + _EDGE))
        inside = part.rows(np.arange(begin, end))
        parts.append(replace(inside, time=inside.time - start))
    return Window(parts=tuple(parts))


def in_order_of_names(windows: Sequence[Window], pods: Mapping[str, int]) -> tuple[tuple[Window, ...], tuple[str, ...]]:
    """Windows whose codes of pods follow the names, and the names: the same past then gives the same splits.

    pods: names with their codes so far, 0 up to the number of names.
    """
    code = np.argsort(np.argsort(np.array(list(pods), dtype=np.str_)))
    ordered = (Window(parts=tuple(replace(part, pod=code[part.pod]) for part in one.parts)) for one in windows)
    return tuple(ordered), tuple(sorted(pods))
