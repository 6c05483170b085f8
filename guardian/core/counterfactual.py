"""What would have changed the verdict on recorded samples: the same samples with a few requests changed, judged anew.

Every number here was tried: with it the judge says something else, with one less it does not. The judge is not
monotone in every detail, so a smaller change of another shape may exist; only the shape said here is searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.model import Track, Value, Verdict
from guardian.core.offline import OfflineVerdict
from guardian.core.policy import Policy, RatioSli, with_margins
from guardian.core.replay import Recording, judged
from guardian.core.samples import Batch

VARIANTS: Final = 32
"""Variants judged at once; together they cost about twice what one does."""
MARGIN_STEP: Final = 0.01
LARGEST_MARGIN: Final = 100.0


class Change(Value, frozen=True, kw_only=True):
    """The smallest change found. requests: bad requests more (or, < 0, fewer) of the canary, spread evenly.

    before: the verdict as it was, not after `until`. after: the verdict with the change, by then. of: the canary's
    requests up to then, and `bad` those that failed.
    """

    guardrail: str
    requests: int
    before: Verdict
    after: Verdict
    of: int
    bad: int
    until: float


class MarginChange(Value, frozen=True, kw_only=True):
    """The rollback margin (relative, in steps of 0.01) nearest to the policy's at which the verdict is another."""

    guardrail: str
    policy: float
    margin: float
    before: Verdict
    after: Verdict


def changes(recording: Recording, policy: Policy, verdict: OfflineVerdict) -> tuple[Change, ...]:
    """Return what more or fewer bad requests of the canary would have made of the verdict, per error ratio."""
    return tuple(_changes(recording, policy, verdict))


def _changes(recording: Recording, policy: Policy, verdict: OfflineVerdict) -> Iterator[Change]:
    rows = until(recording.rows, verdict)
    for guardrail in policy.participating:
        if not isinstance(guardrail.sli, RatioSli) or guardrail.name not in recording.metrics:
            continue
        metric = recording.metrics.index(guardrail.name)
        for wanted in _questions(verdict.verdict):
            found = _smallest(recording, policy, rows, metric, fewer=verdict.verdict is Verdict.ROLLBACK, wanted=wanted)
            if found is not None:
                requests, bad = canary_totals(rows, metric)
                yield Change(
                    guardrail=guardrail.name, requests=found[0], before=verdict.verdict, after=found[1],
                    of=requests, bad=bad, until=verdict.decided_at,
                )  # fmt: skip


Wanted = Callable[[Verdict], bool]


def _questions(verdict: Verdict) -> tuple[Wanted, ...]:
    if verdict is Verdict.PROMOTE:
        return (lambda found: found is not Verdict.PROMOTE, lambda found: found is Verdict.ROLLBACK)
    if verdict is Verdict.ROLLBACK:
        return (lambda found: found is not Verdict.ROLLBACK,)
    return (lambda found: found is Verdict.ROLLBACK,)


def until(rows: Batch, verdict: OfflineVerdict) -> Batch:
    """The rows that the verdict rests on: a change may not be judged by what came after."""
    return rows.rows(np.flatnonzero(rows.time <= verdict.decided_at))


def _counted(rows: Batch, metric: int) -> Ints:
    """Places of the canary's rows that count requests of an error ratio."""
    usable = np.isfinite(rows.requests) & np.isfinite(rows.bad) & (rows.seconds > 0) & (rows.time > 0)
    return np.flatnonzero(usable & (rows.track == Track.CANARY.code) & (rows.metric == metric))


def canary_totals(rows: Batch, metric: int) -> tuple[int, int]:
    """Return the canary's requests and bad requests."""
    mine = _counted(rows, metric)
    return int(rows.requests[mine].sum()), int(rows.bad[mine].sum())


def changed(rows: Batch, metric: int, requests: int) -> Batch:
    """The rows with that many good requests of the canary turned bad (< 0: bad ones turned good), spread evenly.

    Raises ValueError when there are not so many.
    """
    mine = _counted(rows, metric)
    room: Floats = rows.bad[mine] if requests < 0 else rows.requests[mine] - rows.bad[mine]
    total = room.sum()
    if abs(requests) > total:
        raise ValueError(f"{requests} requests are to change, there are {total:.0f}")
    upto = np.floor(abs(requests) * np.cumsum(room) / max(total, 1.0))
    bad = rows.bad.copy()
    bad[mine] += math.copysign(1.0, requests) * np.diff(upto, prepend=0.0)
    return replace(rows, bad=bad)


def _smallest(
    recording: Recording, policy: Policy, rows: Batch, metric: int, *, fewer: bool, wanted: Wanted
) -> tuple[int, Verdict] | None:
    """Smallest number of changed requests and the verdict it gives; None when not even all of them change it."""
    asked, bad = canary_totals(rows, metric)
    sign, low, high = (-1, 0, bad) if fewer else (1, 0, asked - bad)
    grid = np.unique(np.geomspace(1, high, VARIANTS).round().astype(np.int64)) if high >= 1 else np.zeros(0, np.int64)
    after: Verdict | None = None
    while len(grid):
        found = _verdicts(recording, policy, rows, metric, sign * grid)
        hit = next((place for place, verdict in enumerate(found) if wanted(verdict)), None)
        if hit is None:
            if after is None:
                return None
            low = int(grid[-1])
        else:
            high, after = int(grid[hit]), found[hit]
            low = int(grid[hit - 1]) if hit else low
        grid = np.unique(np.linspace(low, high, VARIANTS + 2).round().astype(np.int64))[1:-1]
    return None if after is None else (sign * high, after)


def _verdicts(recording: Recording, policy: Policy, rows: Batch, metric: int, requests: Ints) -> list[Verdict]:
    parts = []
    for copy, number in enumerate(requests.tolist()):
        part = changed(rows, metric, number)
        parts.append(replace(part, rollout=np.full(len(part), copy, dtype=np.int64)))
    if not parts:
        return []
    return [found.verdict for found in judged(recording, policy, Batch.joined(parts), copies=len(requests))]


def margin_change(recording: Recording, policy: Policy, verdict: OfflineVerdict) -> MarginChange | None:
    """Return at which rollback margin of the guardrail behind the verdict it is another one; None: at none.

    A rollback asks for a wider margin, all else for a narrower one that rolls back.
    """
    guardrail = next((one for one in policy.participating if one.name == verdict.metric), None)
    if guardrail is None or guardrail.compare is None:
        return None
    rows = until(recording.rows, verdict)
    rolled = verdict.verdict is Verdict.ROLLBACK
    now = guardrail.compare.rollback.relative

    def at(steps: int) -> tuple[float, Verdict]:
        margin = round(now + (steps if rolled else -steps) * MARGIN_STEP, 4)
        (found,) = judged(recording, with_margins(policy, {guardrail.name: margin}), rows)
        return margin, found.verdict

    most = int((LARGEST_MARGIN - now if rolled else now - 1.0) / MARGIN_STEP + 1e-9)
    if most < 1:
        return None
    steps = sorted({*(min(2**power, most) for power in range(most.bit_length() + 1))} - {0})
    for low, high in pairwise((0, *steps)):
        margin, after = at(high)
        if (after is Verdict.ROLLBACK) != rolled:
            return _nearest(guardrail.name, now, verdict.verdict, (low, high, margin, after), at)
    return None


def _nearest(
    name: str, now: float, before: Verdict, known: tuple[int, int, float, Verdict],
    at: Callable[[int], tuple[float, Verdict]],
) -> MarginChange:  # fmt: skip
    low, high, margin, after = known
    while high - low > 1:
        middle = (low + high) // 2
        tried, found = at(middle)
        if (found is Verdict.ROLLBACK) != (before is Verdict.ROLLBACK):
            high, margin, after = middle, tried, found
        else:
            low = middle
    return MarginChange(guardrail=name, policy=now, margin=margin, before=before, after=after)
