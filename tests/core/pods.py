"""Raw samples of a rollout's pods with an error ratio and a latency histogram, and a fleet that takes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec.structs import replace

from guardian.core.fleet import Fleet
from guardian.core.looks import Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, RolloutId, Track
from tests.builders import ERRORS, LATENCY, policy

R = RolloutId("r")
POLICY = replace(policy(), guardrails=(ERRORS, LATENCY))
BOUNDS = (0.1, 0.25, 0.5, 1.0, math.inf)
SHARES = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
STEP = 10.0
BEGAN = 1800.0
"""Sample time of the canary's first row."""
Sample = tuple[SeriesKey, float, float]


def key(track: Track, pod: int, part: Part, le: float = math.nan) -> SeriesKey:
    """A series of rollout R."""
    guardrail = "latency" if part is Part.BUCKET else "errors"
    return SeriesKey(rollout=R, guardrail=guardrail, track=track, pod=f"p{pod}", part=part, le=le)


def scrapes(
    *, canary: int = 2, stable: int = 4, lasts: float = 900.0, history: float = BEGAN, rate: float = 300.0,
    worse: float = 1.0, slower: float = 1.0, bad: float = 0.01, seed: int = 1,
) -> list[Sample]:  # fmt: skip
    """Counters of all pods every ten seconds, by time. worse: times the canary's errors; slower: of its tail."""
    random = np.random.default_rng(seed)
    found: list[Sample] = []
    for track, pods in ((Track.CANARY, canary), (Track.STABLE, stable)):
        first = BEGAN if track is Track.CANARY else BEGAN - history
        times = np.arange(first, BEGAN + lasts + 1.0, STEP)
        shares = SHARES * np.where(np.arange(len(SHARES)) > 1, slower if track is Track.CANARY else 1.0, 1.0)
        share = bad * (worse if track is Track.CANARY else 1.0)
        for pod in range(pods):
            asked = random.poisson(rate, len(times))
            asked[0] = 0
            failed = np.cumsum(random.binomial(asked, share)).astype(np.float64)
            counts = np.array([random.multinomial(each, shares / shares.sum()) for each in asked])
            shown = np.cumsum(np.cumsum(counts, axis=0), axis=1).astype(np.float64)
            for i, time in enumerate(times.tolist()):
                found += [
                    (key(track, pod, Part.TOTAL), time, float(shown[i, -1])),
                    (key(track, pod, Part.BAD), time, float(failed[i])),
                    *(
                        (key(track, pod, Part.BUCKET, le), time, float(v))
                        for le, v in zip(BOUNDS, shown[i], strict=True)
                    ),
                ]
    return sorted(found, key=lambda sample: sample[1])


def opened() -> Fleet:
    """A fleet with R open."""
    fleet = Fleet()
    fleet.open(R, POLICY)
    return fleet


def observe(fleet: Fleet, samples: Sequence[Sample]) -> None:
    """Hand samples over as one delivery."""
    if samples:
        series = np.array([fleet.series(each) for each, _, _ in samples])
        time, value = (np.array([sample[i] for sample in samples], dtype=np.float64) for i in (1, 2))
        fleet.observe(Observed(series=series, time=time, value=value))


def look(fleet: Fleet, now: float = 1e4) -> Look:
    """How R stands."""
    return fleet.look([R], now=Instant(now))[R]


def tick_by_tick(samples: Iterable[Sample]) -> list[Look]:
    """Looks after each time, as in a daemon that polls; in each, deliveries are those of one time."""
    fleet, found, waiting = opened(), [], list[Sample]()
    for sample in samples:
        if waiting and sample[1] != waiting[-1][1]:
            observe(fleet, waiting)
            found.append(look(fleet, waiting[-1][1]))
            waiting = []
        waiting.append(sample)
    observe(fleet, waiting)
    return [*found, look(fleet, waiting[-1][1] if waiting else BEGAN)]
