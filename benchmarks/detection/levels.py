"""Gauges and counts of synthetic rollouts: healthy ones with every kind of noise, and worse ones.

Arrays over (runs, pods), one tick at a time; numbers only depend on the seed. Times in seconds after the first canary
traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analysis.readings import REMEMBERED, reading_rows
from analysis.sequential.base import Floats
from analysis.sequential.count import CountTest
from analysis.sequential.gauge import GaugeTest
from benchmarks.detection.arena import Fight, fought
from benchmarks.detection.streams import NO_CHANGE, Curve, Flags, Tracks, always, ramp, since

GAUGE: Final = GaugeTest(relative=1.1, absolute=0.0, promote_relative=1.5, promote_absolute=0.0)
QUARTER: Final = always(0.25)
COUNT: Final = CountTest(relative=1.1, promote_relative=1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class World(Tracks):
    """What equal pods do, and what the canary's do otherwise.

    level: of a gauge; rate: events per second of the whole service. noise, rho: sd of the log of a reading (of the
    rate) and its correlation from tick to tick. pod_sd: lasting sd of its log between pods. load_sd: sd, with
    correlation 0.97, of the log of what all pods share. shared: times as much everywhere. missing: chance that a pod's
    row is missed. effect: times as much on the canary. additive: noise is added to the level, and may cross 0. weight:
    canary share of the traffic.
    """

    level: float = 100.0
    rate: float = 20.0
    noise: float = 0.05
    rho: float = 0.0
    pod_sd: float = 0.1
    load_sd: float = 0.0
    shared: Curve = NO_CHANGE
    missing: float = 0.0
    effect: Curve = NO_CHANGE
    additive: bool = False
    weight: Curve = QUARTER


class Weather:
    """Noise of one world, tick by tick: how many times its usual level each pod (runs, pods) has."""

    def __init__(self, world: World, *, runs: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self._world, shape = world, (runs, len(world.canary))
        self._lasting = np.exp(self.random.standard_normal(shape) * world.pod_sd)
        self._passing = self.random.standard_normal(shape)
        self._load = self.random.standard_normal((runs, 1))

    def next(self, time: float) -> tuple[Floats, Floats, Flags]:
        """Levels without noise, noise of sd `world.noise`, and which pods report."""
        world, fresh = self._world, self.random.standard_normal(self._passing.shape)
        self._passing = world.rho * self._passing + np.sqrt(1.0 - world.rho**2) * fresh
        self._load = 0.97 * self._load + np.sqrt(1.0 - 0.97**2) * self.random.standard_normal(self._load.shape)
        here = np.array([time])
        effect = np.where(world.canary, world.effect(here)[0] if time > 0 else 1.0, 1.0)
        level = self._lasting * effect * world.shared(here)[0] * np.exp(self._load * world.load_sd)
        present = (self.random.random(level.shape) >= world.missing) & (~world.canary | (time > 0))
        return level, self._passing * world.noise, present


def gauges(world: World, *, runs: int, seed: int, test: GaugeTest = GAUGE) -> Fight:
    """Judge gauges of a world; every pod is read once a tick."""
    weather, times = Weather(world, runs=runs, seed=seed), world.times
    memory = np.zeros((runs * len(world.canary), REMEMBERED))

    def rows(number: int) -> tuple[Floats, Flags]:
        time = float(times[number])
        level, noise, present = weather.next(time)
        value = world.level * (level + noise if world.additive else level * np.exp(noise - world.noise**2 / 2.0))
        begins = np.full(value.size, 0.0 < time <= world.tick)
        read = np.where(present, value, np.nan).ravel()
        found = reading_rows(read, np.full(value.size, time), memory, anew=begins)
        return found.reshape(*value.shape, -1), present

    return fought(test, rows, times=times, canary=world.canary, runs=runs)


def counts(world: World, *, runs: int, seed: int, test: CountTest = COUNT) -> Fight:
    """Judge events without a denominator; exposure is the pod's requests, ten for every event."""
    weather, times = Weather(world, runs=runs, seed=seed), world.times

    def rows(number: int) -> tuple[Floats, Flags]:
        time = float(times[number])
        level, noise, present = weather.next(time)
        weight = world.weight(np.array([time]))[0] if time > 0 else 0.0
        part = np.where(world.canary, weight / world.canary_pods, (1.0 - weight) / world.stable_pods)
        expected = world.rate * world.tick * part
        exposure = weather.random.poisson(np.broadcast_to(10.0 * expected, level.shape))
        events = weather.random.poisson(expected * level * np.exp(noise - world.noise**2 / 2.0))
        return np.stack((exposure, events), axis=-1).astype(np.float64), present

    return fought(test, rows, times=times, canary=world.canary, runs=runs)


def _shapes() -> dict[str, dict[str, Any]]:
    pairs = ((2, 6), (1, 9), (3, 3), (1, 3))
    return {f"{canary} against {stable}": {"canary_pods": canary, "stable_pods": stable} for canary, stable in pairs}


def _healthy_gauges() -> dict[str, World]:
    found = {
        "independent": World(pod_sd=0.0),
        "independent, at the margin": World(pod_sd=0.0, effect=always(1.1)),
        "one pod a track": World(canary_pods=1, stable_pods=1),
        "one pod a track, correlation 0.9": World(canary_pods=1, stable_pods=1, pod_sd=0.05, rho=0.9, noise=0.2),
        "hardly any noise": World(noise=0.002),
        "heavy tails": World(noise=0.9),
        "crosses zero": World(noise=1.5, additive=True),
        "load wanders": World(load_sd=0.3),
        "load wanders, pods differ 15 %": World(load_sd=0.3, pod_sd=0.15, canary_pods=1, stable_pods=3),
        "ramp to x3": World(shared=ramp(0.0, 1800.0, 1.0, 3.0)),
        "ramp to a third": World(shared=ramp(-600.0, 1200.0, 1.0, 1.0 / 3.0)),
        "step on both": World(shared=since(300.0, 2.0)),
        "gaps": World(missing=0.2),
        "gaps, correlation 0.9": World(missing=0.2, rho=0.9, noise=0.2),
    }
    for rho in (0.3, 0.9, 0.95):
        found[f"correlation {rho:g}"] = World(noise=0.2, rho=rho)
    for sd in (0.1, 0.15, 0.3):
        found |= {f"pods differ {sd:.0%}, {name}": World(pod_sd=sd, **shape) for name, shape in _shapes().items()}
    return found


def _healthy_counts() -> dict[str, World]:
    calm: dict[str, Any] = {"noise": 0.0, "pod_sd": 0.0}
    found = {
        "independent": World(**calm),
        "independent, at the upper margin": World(effect=always(1.1), **calm),
        "independent, at the lower margin": World(effect=always(1.0 / 1.1), **calm),
        "one event a minute": World(rate=1.0 / 60.0, **calm),
        "an hour without events": World(rate=1e-9, length=3600.0, **calm),
        "one pod a track": World(canary_pods=1, stable_pods=1, **calm),
        "incident on both": World(shared=since(300.0, 5.0), pod_sd=0.0, noise=0.0),
        "ramp to x8": World(shared=ramp(0.0, 1800.0, 1.0, 8.0)),
        "weight ramp, pods differ 15 %": World(weight=ramp(0.0, 1200.0, 0.05, 0.75), pod_sd=0.15),
        "gaps": World(missing=0.2),
        "clustered": World(noise=1.0, pod_sd=0.0),
    }
    for rho in (0.3, 0.9, 0.95):
        found[f"correlation {rho:g}"] = World(noise=0.3, rho=rho, pod_sd=0.0)
    for sd in (0.1, 0.15, 0.3):
        found |= {f"pods differ {sd:.0%}, {name}": World(pod_sd=sd, **shape) for name, shape in _shapes().items()}
    return found


HEALTHY_GAUGES: Final[Mapping[str, World]] = _healthy_gauges()
HEALTHY_COUNTS: Final[Mapping[str, World]] = _healthy_counts()
WORSE_GAUGES: Final[Mapping[str, tuple[World, float, float]]] = {
    "x1.5, equal pods": (World(pod_sd=0.0, effect=always(1.5)), 120.0, 0.01),
    "x1.3, pods differ 2 %": (World(pod_sd=0.02, effect=always(1.3)), 300.0, 0.10),
    "x2, pods differ 10 %": (World(effect=always(2.0)), 120.0, 0.05),
    "x2, pods differ 10 %, correlation 0.9": (World(effect=always(2.0), rho=0.9, noise=0.2), 300.0, 0.15),
    "leak, x2 in half an hour": (World(effect=ramp(0.0, 1800.0, 1.0, 2.0)), 600.0, 0.01),
    "leak, x2 in half an hour, pods differ 30 %": (
        World(effect=ramp(0.0, 1800.0, 1.0, 2.0), pod_sd=0.3), 600.0, 0.01,
    ),
    "leak, x1.2 in half an hour": (World(effect=ramp(0.0, 1800.0, 1.0, 1.2), noise=0.02), 900.0, 0.01),
}  # fmt: skip
"""World, seconds within which half of the runs must be rolled back, and the share that may be missed."""
WORSE_COUNTS: Final[Mapping[str, tuple[World, float, float]]] = {
    "x2": (World(pod_sd=0.0, noise=0.0, effect=always(2.0)), 40.0, 0.01),
    "half": (World(pod_sd=0.0, noise=0.0, effect=always(0.5)), 60.0, 0.01),
    "none at all": (World(effect=always(1e-9)), 60.0, 0.01),
    "half, pods differ 10 %": (World(effect=always(0.5)), 300.0, 0.45),
    "x2, pods differ 10 %": (World(effect=always(2.0)), 180.0, 0.35),
    "none of six a minute": (World(rate=0.1, pod_sd=0.0, noise=0.0, effect=always(1e-9)), 900.0, 0.10),
}
