"""A service of two zones, of which canary and stable serve different parts, as a fleet watches it."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from guardian.config.comparison import RATIO
from guardian.core.fleet import Fleet
from guardian.core.looks import Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, RolloutId, Track
from guardian.core.policy import Policy, Slo, WarmUp
from tests.builders import ERRORS, policy

R = RolloutId("r")
STEP, BEGAN, END = 10.0, 1800.0, 3000.0
ZONES = {"zone=a": 0.002, "zone=b": 0.02}
"""Error share of each."""
MIXES = {Track.CANARY: {"zone=a": 40.0, "zone=b": 160.0}, Track.STABLE: {"zone=a": 1440.0, "zone=b": 360.0}}
"""Requests in ten seconds."""
PODS = {Track.CANARY: 2, Track.STABLE: 4}


def rules(*labels: str) -> Policy:
    """A policy of one ratio that names these labels."""
    errors = replace(ERRORS, compare=replace(ERRORS.compare or RATIO, strata=labels))
    return replace(policy(), guardrails=(errors,))


class Service:
    """A fleet that watches one service with two zones; spread: every pod serves both.

    broken: tracks of which zone b fails one request in ten since the canary's first traffic.
    """

    def __init__(
        self, *, named: bool = True, spread: bool = False, worse: float = 1.0, seed: int = 1,
        broken: tuple[Track, ...] = (), objective: Slo | None = None, warm_up: WarmUp | None = None,
    ) -> None:  # fmt: skip
        self.policy = rules(*("zone",) * named)
        (errors,) = self.policy.guardrails
        self.policy = replace(self.policy, guardrails=(replace(errors, objective=objective, warm_up=warm_up),))
        self._broken = broken
        self.fleet = Fleet()
        self.fleet.open(R, self.policy)
        self._named, self._spread, self._worse = named, spread, worse
        self._random = np.random.default_rng(seed)
        self._sums: dict[tuple[Track, str, int], list[float]] = {}

    def scrape(self, time: float) -> None:
        """What all pods show at one time."""
        keys, values = [], []
        for track, count in PODS.items():
            if track is Track.CANARY and time < BEGAN:
                continue
            for zone, share in ZONES.items():
                for pod in range(count):
                    sums = self._sums.setdefault((track, zone, pod), [0.0, 0.0])
                    asked = self._random.poisson(MIXES[track][zone] / count)
                    sums[0] += asked
                    fails = share * (self._worse if track is Track.CANARY else 1.0)
                    if track in self._broken and zone == "zone=b" and time > BEGAN:
                        fails = 0.1
                    sums[1] += self._random.binomial(asked, fails)
                    name = f"p{pod}" if self._spread else f"{zone[-1]}{pod}"
                    stratum = zone if self._named else ""
                    for part, value in zip((Part.TOTAL, Part.BAD), sums, strict=True):
                        keys.append(
                            SeriesKey(
                                rollout=R, guardrail="errors", track=track, pod=name, part=part, stratum=stratum,
                                labels=zone,
                            )
                        )  # fmt: skip
                        values.append(value)
        series = np.array([self.fleet.series(key) for key in keys])
        self.fleet.observe(Observed(series=series, time=np.full(len(keys), time), value=np.array(values)))

    def until(self, end: float, *, restarts: bool = False) -> Look:
        """How the rollout stands after all scrapes up to `end`."""
        for time in np.arange(0.0, end + 1.0, STEP).tolist():
            self.scrape(time)
            self.fleet.settle()
            if restarts and time % 300.0 == 0.0:
                again = Fleet()
                again.restore(R, self.policy, self.fleet.checkpoint(R))
                self.fleet = again
        return self.fleet.look([R], now=Instant(end))[R]
