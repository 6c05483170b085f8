"""Which comparisons are made with which file: arms, window, policy. Written down before any of them was run.

A/A trials compare what is equal: every rollback is false. A/B trials compare before and after an injected fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from msgspec.structs import replace

from benchmarks.detection.families import ERRORS_ONLY, LATENCY_CONTROLLED, LATENCY_FRESH, LATENCY_ONLY, POLICY
from benchmarks.detection.real.arms import Arms, between, shifted, streams
from benchmarks.detection.real.machines import Arrivals, Fleet, arrival_streams, machine_streams
from benchmarks.detection.real.reading import Point, rows, series
from benchmarks.detection.rules.base import Watch
from benchmarks.detection.streams import Streams
from guardian.core.model import Seconds
from guardian.core.policy import Policy

HOUR: Final = 3600.0
NEZHA_SPAN: Final = 120.0
SEED: Final = 20261121
DRAWN_RUNS: Final = 400
QUICK: Final = 60.0
"""Earliest promotion in trials of a few minutes, so that "not promoted" says something there."""


class Truth(StrEnum):
    """What is known of a trial."""

    EQUAL = "A/A"
    FAULT = "A/B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row of the table. arms: what stands against what."""

    name: str
    file: str
    truth: Truth
    arms: str
    watch: Callable[[Path], Watch]


def quick(policy: Policy) -> Policy:
    """The same policy, promoting after a minute."""
    return replace(policy, risk=replace(policy.risk, earliest_promotion=Seconds(QUICK)))


SIGNALS: Final[Mapping[str, tuple[Policy, bool]]] = {
    "errors": (ERRORS_ONLY, False), "latency": (LATENCY_ONLY, True), "both": (POLICY, True),
}  # fmt: skip


def _later(points: list[Point], shift: float) -> list[Arms]:
    """Every hour against the same series `shift` seconds before, with the hour before that as history."""
    last = points[-1].time
    starts = np.arange(shift + HOUR, last - HOUR + 1.0, HOUR)
    return [
        Arms(
            canary=(shifted(between(points, start, start + HOUR), -start),),
            stable=(shifted(between(points, start - shift - HOUR, start - shift + HOUR), shift - start),),
        )
        for start in starts
    ]


def petshop_aa(folder: Path, *, shift: float, signal: str) -> Watch:
    """A healthy service, an hour against an earlier one."""
    policy, latency = SIGNALS[signal]
    found = series(rows(folder, "petshop_aa.csv"), ("case", "node"))
    runs = [arms for points in found.values() for arms in _later(points, shift)]
    made = streams(runs, tick=300.0, history=HOUR, length=HOUR, latency=latency)
    return Watch(streams=made, policy=policy)


def petshop_ab(folder: Path, *, role: str, symptom: str) -> Watch:
    """Points after an injected issue against those before it, of the entry service or of the root cause."""
    chosen = [one for one in rows(folder, "petshop_ab.csv") if one["role"] == role and one["symptom"] == symptom]
    runs = []
    for _, points in sorted(series(chosen, ("case",)).items()):
        sides = {
            group: [one for one in points if (one.time > 0) is (group == "canary")] for group in ("canary", "stable")
        }
        placed = {
            group: tuple(shifted([one], 300.0 * (number + 1) - one.time)[0] for number, one in enumerate(side))
            for group, side in sides.items()
        }
        runs.append(Arms(canary=(placed["canary"],), stable=(placed["stable"],)))
    made = streams(runs, tick=300.0, history=300.0, length=900.0, latency=True)
    return Watch(streams=made, policy=quick(POLICY))


def _nezha(folder: Path, key: tuple[str, ...]) -> dict[tuple[str, ...], list[Point]]:
    return series(rows(folder, "nezha_10s.csv"), key, unit="ms")


def nezha_aa(folder: Path, *, signal: str) -> Watch:
    """Two halves of one stream that a fault hits both of."""
    policy, latency = SIGNALS[signal]
    found = _nezha(folder, ("case", "group"))
    cases = sorted({case for case, _ in found})
    runs = []
    for case in cases:
        sides = {group: found.get((case, group), []) for group in ("canary", "stable")}
        begin = min(one.time for side in sides.values() for one in side) - 10.0
        canary, stable = (shifted(sides[group], -begin) for group in ("canary", "stable"))
        runs.append(Arms(canary=(canary,), stable=(stable,)))
    return Watch(streams=streams(runs, tick=10.0, history=60.0, length=300.0, latency=latency), policy=policy)


def nezha_ab(folder: Path, *, fault: str) -> Watch:
    """Two minutes after a fault against two minutes before it; cases with nothing before it are left out."""
    found = _nezha(folder, ("case", "fault", "group"))
    runs = []
    for case in sorted({case for case, which, _ in found if which == fault}):
        both = [one for group in ("canary", "stable") for one in found.get((case, fault, group), [])]
        after = shifted(between(both, -1.0, NEZHA_SPAN - 1.0), 10.0)
        before = shifted(between(both, -NEZHA_SPAN - 1.0, -1.0), NEZHA_SPAN + 10.0)
        if after and before:
            runs.append(Arms(canary=(after,), stable=(before,)))
    made = streams(runs, tick=10.0, history=60.0, length=NEZHA_SPAN, latency=True)
    return Watch(streams=made, policy=quick(POLICY))


def nginx_zones(folder: Path) -> Watch:
    """Server zones, ten minutes against the ten before; 4xx and 5xx count as errors."""
    found = series(rows(folder, "nginx_org_5s.csv"), ("group",), errors=("errors_4xx", "errors_5xx"))
    zones = [points for (group,), points in sorted(found.items()) if group != "ALL" and not group.startswith("pg-")]
    runs = [
        Arms(
            canary=(shifted(between(points, start, start + 600.0), -start),),
            stable=(shifted(between(points, start - 1200.0, start), 600.0 - start),),
        )
        for points in zones
        for start in (1200.0, 1800.0)
    ]
    return Watch(streams=streams(runs, tick=5.0, history=600.0, length=600.0, latency=False), policy=ERRORS_ONLY)


def nginx_peers(folder: Path) -> Watch:
    """Three equal database peers: each in turn the canary of the two others, after twenty minutes of history."""
    found = series(rows(folder, "nginx_org_5s.csv"), ("group",), errors=("errors_4xx", "errors_5xx"))
    peers = [points for (group,), points in sorted(found.items()) if group.startswith("pg-")]
    runs = [
        Arms(
            canary=(shifted(between(peers[one], 1200.0, 2550.0), -1200.0),),
            stable=tuple(shifted(points, -1200.0) for number, points in enumerate(peers) if number != one),
        )
        for one in range(len(peers))
    ]
    return Watch(streams=streams(runs, tick=5.0, history=1200.0, length=1350.0, latency=False), policy=ERRORS_ONLY)


def machines(folder: Path, *, fleet: Fleet) -> Watch:
    """Fresh virtual machines of one kind."""
    kinds: dict[tuple[str, str], list[float]] = {}
    for row in rows(folder, "azure_vm_noise.csv"):
        kinds.setdefault((row["op"], row["sku"]), []).append(float(row["ops_per_s"]))
    speeds = [np.array(speed) for _, speed in sorted(kinds.items())]
    policy = LATENCY_FRESH if fleet.told and not fleet.fresh_stable else LATENCY_ONLY
    policy = LATENCY_CONTROLLED if fleet.control else policy
    return Watch(streams=machine_streams(fleet, speeds, runs=DRAWN_RUNS, seed=SEED), policy=policy)


def llm_arrivals(folder: Path) -> Watch:
    """Production arrivals."""
    points = sorted((float(row["time_s"]), float(row["requests"])) for row in rows(folder, "azure_llm_10s.csv"))
    arrivals = Arrivals(counts=np.array([count for _, count in points]), tick=10.0)
    made: Streams = arrival_streams(arrivals, runs=DRAWN_RUNS, seed=SEED)
    return Watch(streams=made, policy=ERRORS_ONLY)
