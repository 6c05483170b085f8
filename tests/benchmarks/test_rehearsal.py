"""The rehearsals behind `guardian plan` agree with what campaigns measured of the same situations by other means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.scoring import share_of
from analysis.sequential import base
from analysis.sequential.base import Floats
from benchmarks.detection.families import ERRORS, LATENCY
from benchmarks.detection.levels import COUNT, GAUGE, World, gauges
from benchmarks.detection.streams import BOUNDS, bucket_shares
from guardian.core.rehearsal import HEALTHY, Cast, Change, Stakes, rehearse
from guardian.core.roster import comparison
from guardian.core.scenes import Errors, Events, Latencies, Levels, Scene

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
RUNS = 200
SHARE_OFF = 0.04
"""By which a rehearsed share may be beyond its own 95 % interval; of the time to the median a factor:"""
TIMES_OFF = 1.3
RATIO, SLOWNESS = comparison(ERRORS, (), factor=1.0), comparison(LATENCY, BOUNDS, factor=1.0)
ERROR_SCENE = Errors(share=0.005)
LATENCY_SCENE = Latencies(BOUNDS, tuple((bucket_shares(np.array(1.0)) * 1e6).tolist()))


def seen(
    test: base.Test, scene: Scene, change: Change, *, seed: int = 5, length: float = 1800.0, **cast: Any
) -> Floats:
    """Rehearse one change as the campaigns do: half an hour of history, ticks of 10 s, the whole risk of 1 %."""
    pods: dict[str, Any] = {"canary": 2, "stable": 6, "differ": 0.0, "rate": 200.0, "weight": 0.1}
    stakes = Stakes(false_rollback=0.01, false_promotion=0.05, tick=10.0, history=1800.0, length=length)
    actors = Cast(**{**pods, **cast})
    return np.asarray(
        rehearse(test, scene, actors, (change,), stakes, runs=RUNS, random=np.random.default_rng(seed))[0]
    )


def recorded(campaign: str, name: str) -> dict[str, Any]:
    """One cell of a campaign as it was recorded."""
    cells = json.loads((RESULTS / f"{campaign}.json").read_text(encoding="utf-8"))["cells"]
    return next(cell for cell in cells if cell["name"] == name)


def agree(found: Floats, *, share: float, median: float | None = None) -> None:
    """Assert a share found, and a median delay in seconds, as they were measured."""
    mine = share_of(int(np.isfinite(found).sum()), len(found))
    assert mine.lower - SHARE_OFF <= share <= mine.upper + SHARE_OFF
    if median is not None:
        assert median / TIMES_OFF <= np.median(found) <= median * TIMES_OFF


@pytest.mark.parametrize(
    ("name", "times", "cast", "length"),
    [
        ("x2, 200 rps, at most 1.4 times the margin bound", 2.0, {}, 1800.0),
        ("x1.5, 200 rps, at most 1.4 times the margin bound", 1.5, {}, 3600.0),
        ("x2, pods differ 10 %, 2 against 6", 2.0, {"differ": 0.1, "rate": 2000.0}, 1800.0),
        ("x2, pods differ 15 %, 2 against 6", 2.0, {"differ": 0.15, "rate": 2000.0}, 1800.0),
        (
            "x2, pods differ 30 %, 3 against 6, nine tenths of a t-test", 2.0,
            {"differ": 0.3, "rate": 2000.0, "canary": 3}, 1800.0,
        ),
    ],
)  # fmt: skip
def test_errors_are_found_as_the_campaign_found_them(
    name: str, times: float, cast: dict[str, Any], length: float
) -> None:
    """Shares and, where more than 80 % are found, medians; two independent ways to draw the same world."""
    cell = recorded("power", name)
    share = cell["events"]["found"] / cell["runs"]
    median = cell["figures"]["rolled back at, s"]["median"] if share > 0.8 else None
    agree(seen(RATIO, ERROR_SCENE, Change(times=times), length=length, **cast), share=share, median=median)


def test_slower_pods_that_differ_are_hardly_found() -> None:
    """Latency +10 % with pods 3 % apart: 14 % in the campaign of streams."""
    cell = recorded("detection", "latency +10 %, pods differ 3 %")
    share = cell["events"]["ours: rolled back"] / cell["runs"]
    assert share < 0.2
    agree(seen(SLOWNESS, LATENCY_SCENE, Change(times=1.1), differ=0.03), share=share)


@pytest.mark.parametrize(
    ("name", "test", "times", "differ"),
    [
        ("gauge: x1.5, equal pods", GAUGE, 1.5, 0.0),
        ("gauge: x1.3, pods differ 2 %", GAUGE, 1.3, 0.02),
        ("gauge: x2, pods differ 10 %", GAUGE, 2.0, 0.1),
        ("count: half", COUNT, 0.5, 0.0),
        ("count: half, pods differ 10 %", COUNT, 0.5, 0.1),
        ("count: x2, pods differ 10 %", COUNT, 2.0, 0.1),
    ],
)
def test_levels_and_events_are_found_as_the_campaign_found_them(
    name: str, test: base.Test, times: float, differ: float
) -> None:
    """Gauges have noise of 5 % a reading, events are 20 a second."""
    cell = recorded("worse_levels", name)
    scene: Scene = Levels(noise=0.05, every=10.0) if test is GAUGE else Events(each=0.1)
    found = seen(test, scene, Change(times=times), differ=differ, weight=0.25)
    share = 1.0 - cell["events"]["missed"] / cell["runs"]
    agree(found, share=share, median=cell["figures"]["found at, s"]["median"])


def test_leaks_are_found_as_in_a_world_drawn_otherwise() -> None:
    """To three times the level within an hour, pods 30 % apart: the slope does not know their levels."""
    world = World(pod_sd=0.3, effect=lambda t: 1.0 + 2.0 * t / 3600.0)
    judged = np.median(gauges(world, runs=60, seed=11).rolled_back)
    found = seen(GAUGE, Levels(noise=0.05, every=10.0), Change(times=3.0, grows=True), differ=0.3)
    assert judged / TIMES_OFF <= np.median(found) <= judged * TIMES_OFF


def test_healthy_releases_are_shown_to_be_good_as_early() -> None:
    """At 200 requests a second 94.6 % had shown it after 15 minutes; with pods 15 % apart 87 %."""
    calm = seen(RATIO, ERROR_SCENE, HEALTHY, length=900.0)
    apart = seen(RATIO, ERROR_SCENE, HEALTHY, length=900.0, differ=0.15, rate=2000.0)
    for found, name in ((calm, "healthy, 200 rps"), (apart, "healthy, pods differ 15 %")):
        cell = recorded("power", f"{name}, promoted at the earliest time")
        agree(found, share=1.0 - cell["events"]["not at once"] / cell["runs"])


def test_rehearsals_are_repeatable() -> None:
    """The same seed gives the same times, another one others."""
    first, second, other = (seen(RATIO, ERROR_SCENE, Change(times=2.0), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
