"""Streams to take statistics of: read from the real files, and played by the simulator. They are of one shape.

A simulated stream is the history of a world: what a scraper would have read of a service without any rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from benchmarks.detection.real.reading import Point, rows, series
from benchmarks.fidelity.statistics import Floats, summed
from simulator.chance import Chance
from simulator.library import find, load
from simulator.scenario import Scenario, Spec
from simulator.world import World

FINE: Final = tuple(np.geomspace(0.005, 2.0, 80).round(6).tolist())
"""Bounds of buckets that are narrow enough to tell a mean of logarithms."""
NONE: Final = np.empty(0)
BEFORE_FAULT: Final = 8
"""Bins of nezha that are of a time without faults; cases with fewer are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Requests and errors of each bin, shape (bins,) or (bins, series); log latencies, shape (points, units)."""

    requests: Floats = field(default_factory=lambda: NONE)
    errors: Floats = field(default_factory=lambda: NONE)
    levels: Floats = field(default_factory=lambda: NONE)


Json = dict[str, Any]


# -- real


def _counted(points: list[Point]) -> Stream:
    return Stream(requests=np.array([one.requests for one in points]), errors=np.array([one.errors for one in points]))


def llm(folder: Path) -> Stream:
    """Arrivals in bins of 10 s."""
    found = [(float(one["time_s"]), float(one["requests"])) for one in rows(folder, "azure_llm_10s.csv")]
    return Stream(requests=np.array(sorted(found))[:, 1])


def nginx(folder: Path, *, group: str) -> Stream:
    """A server zone of nginx.org, or an upstream's peer, in bins of 10 s; 4xx and 5xx are errors."""
    found = series(rows(folder, "nginx_org_5s.csv"), ("group",), errors=("errors_4xx", "errors_5xx"))
    fine = _counted(found[(group,)])
    return Stream(requests=summed(fine.requests, 2), errors=summed(fine.errors, 2))


def petshop(folder: Path, *, node: str) -> Stream:
    """A healthy component in bins of 5 min."""
    return _counted(series(rows(folder, "petshop_aa.csv"), ("case", "node"))["high_traffic", node])


def nezha(folder: Path) -> Stream:
    """The last bins of 10 s before each fault, a series a case; both halves of the traffic together."""
    bins: dict[str, dict[float, list[float]]] = {}
    for (case, _), points in series(rows(folder, "nezha_10s.csv"), ("case", "group"), unit="ms").items():
        for one in points:
            if one.time < 0.0:
                both = bins.setdefault(case, {}).setdefault(one.time, [0.0, 0.0])
                both[0], both[1] = both[0] + one.requests, both[1] + one.errors
    cases = [[found[time] for time in sorted(found)[-BEFORE_FAULT:]] for found in bins.values()]
    whole = np.array([case for case in cases if len(case) == BEFORE_FAULT])
    return Stream(requests=whole[..., 0].T, errors=whole[..., 1].T)


def machines(folder: Path, *, op: str, sku: str) -> Stream:
    """One point of each fresh machine of a kind: the logarithm of the time that an operation takes."""
    found = [one for one in rows(folder, "azure_vm_noise.csv") if (one["op"], one["sku"]) == (op, sku)]
    return Stream(levels=-np.log([[float(one["ops_per_s"]) for one in found]]))


# -- simulated


@cache
def _base() -> Scenario:
    return load(find("S02")[0])


def scenario(settings: Mapping[str, Any], *, bins: int, every: float) -> Scenario:
    """A world that has a history of so many scrapes, and nothing else is asked of.

    settings: `traffic`, and what is other than plain of `errors`, `latency` and the number of `stable` pods.
    """
    latency = {
        "body": [{"share": 1.0, "median": "80ms", "sigma": 0.5}], "tail": {"share": 0.0, "median": "1s", "sigma": 0.1},
    }  # fmt: skip
    written = {
        "story": "a history",
        "service": {
            "pods": {"stable": settings.get("stable", 1), "canary": 1},
            "errors": {"share": 0.0, **settings.get("errors", {})},
            "latency": {**latency, **settings.get("latency", {})},
        },
        "traffic": settings["traffic"], "history": f"{bins * every:g}s",
        "scrape": {"every": f"{every:g}s"}, "lasts": "1m", "truth": {"verdict": "promote", "within": "1m"},
    }  # fmt: skip
    return msgspec.structs.replace(_base(), spec=Spec.model_validate(written), template=None)


def played(settings: Mapping[str, Any], *, bins: int, every: float, seed: int, bin_: int = 1) -> Stream:
    """What scrapes show of that world, all pods together. bin_: scrapes that make a bin of the real file."""
    requests, errors, _ = _increases(scenario(settings, bins=bins * bin_, every=every), seed)
    whole = (np.asarray(each.sum(axis=1).reshape(bins, bin_).sum(axis=1), dtype=float) for each in (requests, errors))
    return Stream(requests=next(whole), errors=next(whole))


def apart(settings: Mapping[str, Any], *, bins: int, every: float, seed: int) -> Stream:
    """The same with each pod as a series, and its mean log latency in each bin."""
    fine = {**settings, "latency": {**settings.get("latency", {}), "bounds": FINE}}
    requests, errors, buckets = _increases(scenario(fine, bins=bins, every=every), seed)
    edges = np.log([FINE[0] ** 2 / FINE[1], *FINE, FINE[-1] ** 2 / FINE[-2]])
    levels = buckets @ ((edges[1:] + edges[:-1]) / 2) / np.maximum(buckets.sum(axis=-1), 1)
    return Stream(requests=requests.astype(float), errors=errors.astype(float), levels=levels)


Increases = np.ndarray[Any, np.dtype[np.int64]]


def _increases(told: Scenario, seed: int) -> tuple[Increases, Increases, Increases]:
    """Requests, failures (bins, pods) and buckets (bins, pods, buckets) of the stable pods."""
    world = World(told, Chance(seed))
    stable, history = world.topology.stable.slots, world.rounds[0]
    requests, errors, buckets = (
        np.diff(sums[:, stable], axis=0, prepend=0) for sums in (history.total, history.bad, history.buckets)
    )
    return requests, errors, buckets


def replay(folder: Path, *, bins: int = 1) -> Json:
    """The arrivals as a recorded series, by so many bins of 10 s."""
    counts = summed(llm(folder).requests, bins)
    lasts = 10.0 * bins
    return {"kind": "recorded", "series": [(lasts * row, count / lasts) for row, count in enumerate(counts)]}
