"""What an earlier canary did is not held against the next release."""

from __future__ import annotations

import math

import numpy as np

from guardian.core.fleet import Fleet
from guardian.core.looks import Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, RolloutId, Track
from tests.builders import policy

ROLLOUT = RolloutId("checkout-1")
STARTED = Instant(10_000.0)
BEFORE, AFTER = 600, 30
"""Seconds of samples before and after the start, one a second."""


def seen(*, since: Instant) -> Look:
    """A canary that failed half of its requests before the start and none since, beside a stable that never fails."""
    fleet, rules = Fleet(), policy()
    fleet.open(ROLLOUT, rules, since=since)
    times = np.arange(STARTED - BEFORE, STARTED + AFTER + 1)
    grown = 10.0 * np.arange(len(times))
    counters = {
        (Track.STABLE, Part.TOTAL): 10.0 * grown,
        (Track.STABLE, Part.BAD): np.zeros(len(times)),
        (Track.CANARY, Part.TOTAL): grown,
        (Track.CANARY, Part.BAD): np.minimum(grown, grown[BEFORE]) / 2.0,
    }
    for (track, part), values in counters.items():
        key = SeriesKey(
            rollout=ROLLOUT, guardrail=rules.guardrails[0].name, track=track, pod=f"{track}-0", part=part, le=math.nan
        )
        series = np.full(len(times), fleet.series(key))
        fleet.observe(Observed(series=series, time=times.astype(np.float64), value=values))
    return fleet.look([ROLLOUT], now=Instant(STARTED + AFTER))[ROLLOUT]


def test_rows_from_before_the_rollout_count_for_nothing() -> None:
    """Within the forty minutes of history a former canary's errors would roll every successor back."""
    side = seen(since=STARTED).guardrails[0].canary
    assert (side.requests, side.bad) == (10.0 * AFTER, 0.0)


def test_the_rollout_begins_with_its_own_traffic() -> None:
    """Not with a former canary's: `earliest_promotion` counts from there."""
    assert seen(since=STARTED).began == STARTED


def test_without_a_start_all_rows_count() -> None:
    """A file of samples has one release and no clock."""
    assert seen(since=Instant(-math.inf)).guardrails[0].canary.bad > 0
