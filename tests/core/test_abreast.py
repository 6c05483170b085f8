"""A track whose metrics come by a longer way is waited for; one that is silent is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from guardian.core.abreast import LONGEST, Abreast
from guardian.core.looks import Look
from guardian.core.model import Track
from tests.core.pods import BEGAN, STEP, Sample, look, observe, opened, scrapes
from tests.core.test_deliveries import restarted

ROLLBACK = math.log(100.0)
Lag = Callable[[Sample], float]


def told(samples: list[Sample], lag: Lag, *, restarts: bool = False) -> Look:
    """Deliver samples `lag` seconds after their time, with a look every ten seconds; then what is still under way."""
    fleet = opened()
    when = np.array([sample[1] + lag(sample) for sample in samples])
    for edge in np.arange(BEGAN - 60.0, samples[-1][1] + 130.0, STEP):
        observe(fleet, [samples[place] for place in np.flatnonzero((when > edge - STEP) & (when <= edge))])
        if edge == BEGAN - 60.0:
            observe(fleet, [samples[place] for place in np.flatnonzero(when <= edge - STEP)])
        look(fleet)
        if restarts and edge in {BEGAN + 200.0, BEGAN + 370.0}:
            fleet = restarted(fleet)
    return look(fleet)


def of(track: Track, seconds: float) -> Lag:
    """Samples of one track come so late once the canary is there."""
    return lambda sample: seconds if sample[0].track is track and sample[1] >= BEGAN else 0.0


@pytest.mark.parametrize(
    ("track", "seconds", "restarts"),
    [
        (Track.CANARY, 25.0, False),
        (Track.CANARY, 100.0, True),
        (Track.STABLE, 25.0, True),
        (Track.STABLE, 100.0, False),
    ],
)
def test_a_track_that_is_always_late_loses_nothing(track: Track, seconds: float, *, restarts: bool) -> None:
    """Same counts as without any delay but for what stable brought before the canary was seen, and the same verdict."""
    samples = scrapes(lasts=400.0, rate=60.0, worse=3.0)
    late, prompt = told(samples, of(track, seconds), restarts=restarts), told(samples, of(track, 0.0))
    for mine, whole in zip(late.guardrails, prompt.guardrails, strict=True):
        assert (mine.canary.requests, mine.canary.bad) == (whole.canary.requests, whole.canary.bad)
        before = seconds + STEP if track is Track.CANARY else 0.0
        assert whole.stable.requests - mine.stable.requests <= before * 4 * 60.0 / STEP * 1.2
    assert late.log_harm >= ROLLBACK
    assert prompt.log_harm >= ROLLBACK


def test_nobody_waits_for_a_track_that_is_silent() -> None:
    """Stable's samples go on counting at once when the canary's end."""
    samples = [
        sample for sample in scrapes(lasts=300.0) if sample[0].track is Track.STABLE or sample[1] < BEGAN + 100.0
    ]
    fleet = opened()
    for end in (BEGAN + 90.0, BEGAN + 120.0, BEGAN + 150.0):
        observe(fleet, [sample for sample in samples if sample[1] <= end])
        last = look(fleet).of("errors").stable.last
        assert last == end


def test_a_track_beyond_the_longest_delay_is_not_waited_for() -> None:
    """Two minutes are the longest, as for a track that is silent."""
    abreast = Abreast()
    abreast.open(0, tick=STEP)
    for pod, track in ((0, Track.STABLE), (1, Track.CANARY)):
        abreast.add_pod(pod, group=0, track=track.code)
    step = np.full(2, STEP)
    for lag, waits in ((5.0, False), (10.9, False), (11.1, True), (LONGEST, True), (LONGEST + 1.0, False)):
        at = BEGAN + 1000.0 * lag
        ahead = abreast.ahead(np.array([0, 1]), np.array([at, at - lag]), step)
        assert ahead.tolist() == [waits, False]
