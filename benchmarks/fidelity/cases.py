"""What is laid beside what: a real file's stream, simulated worlds with their settings, and the statistics of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.fidelity import statistics as st
from benchmarks.fidelity.streams import Stream, apart, llm, machines, nezha, nginx, petshop, played, replay

Settings = Mapping[str, Any]
Statistic = Callable[[Stream], float]
Play = Callable[..., Stream]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One real stream and the worlds that shall be like it.

    published: figures of data that the folder does not hold, by statistic, instead of `real`. worlds: name -> settings;
    replayed: name -> settings that are made of the file itself. play: (settings, seed=) -> the stream of a world.
    """

    name: str
    file: str
    play: Play
    statistics: Mapping[str, Statistic]
    real: Callable[[Path], Stream] | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    worlds: Mapping[str, Settings] = field(default_factory=dict)
    replayed: Mapping[str, Callable[[Path], Settings]] = field(default_factory=dict)


def steady(rate: float, sd: float = 0.0, memory: float = 0.0, **others: Any) -> Settings:
    """Settings with the same rate all the time, and noise on it."""
    return {"traffic": {"kind": "steady", "rate": rate, "noise": {"sd": sd, "memory": memory}}, **others}


def counted() -> dict[str, Statistic]:
    """Statistics of requests in bins of 10 s."""

    def over(each: Callable[..., float], times: int, *more: int) -> Statistic:
        return lambda seen: each(st.summed(seen.requests, times), *more)

    return {
        "variance/mean, 10 s": over(st.dispersion, 1),
        "variance/mean, 60 s": over(st.dispersion, 6),
        "autocorrelation, next 10 s": over(st.autocorrelation, 1, 1),
        "autocorrelation, a minute later": over(st.autocorrelation, 1, 6),
    }


def clustered(**bins: int) -> dict[str, Statistic]:
    """Clustering of errors; bins: words (underscores for blanks) -> bins of the file."""

    def over(times: int) -> Statistic:
        return lambda seen: st.binomial_dispersion(st.summed(seen.errors, times), st.summed(seen.requests, times))

    return {f"error dispersion, {words.replace('_', ' ').strip()}": over(times) for words, times in bins.items()}


def _five_minutes() -> dict[str, Statistic]:
    return {
        "variance/mean, 5 min": lambda seen: st.dispersion(seen.requests),
        "autocorrelation, next 5 min": lambda seen: st.autocorrelation(seen.requests, 1),
    }


PETSITE: Final = {"share": 364 / 406_226}
"""Errors of the whole file over its requests."""
KINDS: Final = {("GET", "D8s_v5"): 0.085, ("GET", "B8ms"): 0.101, ("SET", "B8ms"): 0.073, ("SET", "D8s_v5"): 0.04}
"""Operation and machine type -> spread."""


def _machines(op: str, sku: str, spread: float) -> Case:
    return Case(
        name=f"fresh machines, {op} on {sku}", file="azure_vm_noise.csv", real=partial(machines, op=op, sku=sku),
        play=partial(apart, bins=1, every=60.0),
        worlds={f"spread {spread:g}": steady(400_000.0, stable=1000, latency={"spread": spread})},
        statistics={
            "sd of log speed between machines": lambda seen: st.between_sd(seen.levels),
            "more than 10 % slower than the median": lambda seen: st.much_slower(seen.levels),
        },
    )  # fmt: skip


def _zone(name: str, group: str, statistics: Mapping[str, Statistic], **worlds: Settings) -> Case:
    return Case(
        name=name, file="nginx_org_5s.csv", real=partial(nginx, group=group),
        play=partial(played, bins=249, every=10.0), statistics=statistics,
        worlds={words.replace("_", " "): settings for words, settings in worlds.items()},
    )  # fmt: skip


def _pairs(points: int) -> Statistic:
    return lambda seen: st.differing_pairs(seen.levels, points=points)


CASES: Final = (
    Case(
        name="arrivals at a language model", file="azure_llm_10s.csv", real=llm, statistics=counted(),
        play=partial(played, bins=351, every=10.0),
        worlds={"plain": steady(5.52), "noise {sd: 0.25, memory: 0.97}": steady(5.52, 0.25, 0.97)},
        replayed={
            "recorded, by 10 s": lambda folder: {"traffic": replay(folder)},
            "recorded, by the minute": lambda folder: {"traffic": replay(folder, bins=6)},
        },
    ),
    _zone(
        "all of nginx.org", "ALL", counted(),
        plain=steady(11.15), **{"noise {sd: 0.045, memory: 0.96}": steady(11.15, 0.045, 0.96)},
    ),
    _zone(
        "trac.nginx.org, few users and robots", "trac.nginx.org", counted() | clustered(_1_min=6, _5_min=30),
        plain=steady(0.297, errors={"share": 31 / 757}),
        **{"noise {sd: 0.85, memory: 0}": steady(0.297, 0.85, 0.0, errors={"share": 31 / 757})},
    ),
    _zone(
        "hg.nginx.org, few users and robots", "hg.nginx.org", counted(),
        plain=steady(0.1426), **{"noise {sd: 0.85, memory: 0}": steady(0.1426, 0.85)},
    ),
    _zone("pg-peer0, asked at fixed times", "pg-peer0", counted(), plain=steady(0.3328)),
    Case(
        name="petshop, PetSearch", file="petshop_aa.csv", real=partial(petshop, node="PetSearch"),
        play=partial(played, bins=589, every=10.0, bin_=30), statistics=_five_minutes(),
        worlds={"plain": steady(3.794), "noise {sd: 0.21, memory: 0}": steady(3.794, 0.21)},
    ),
    Case(
        name="petshop, PetSite", file="petshop_aa.csv", real=partial(petshop, node="PetSite"),
        play=partial(played, bins=589, every=10.0, bin_=30),
        worlds={
            "plain": steady(2.299, errors=PETSITE),
            "bursts {sd: 1.8, memory: 0.93}": steady(2.299, errors=PETSITE | {"bursts": {"sd": 1.8, "memory": 0.93}}),
        },
        statistics=_five_minutes() | clustered(_5_min=1, _15_min=3, _1_h=12) | {
            "largest share of errors in 5 min": lambda seen: st.largest_cluster(seen.errors),
            "false alarms, 15 min against the hour before": lambda seen: st.false_alarms(
                seen.errors, seen.requests, window=3, before=12
            ),
        },
    ),
    Case(
        name="nezha, before its faults", file="nezha_10s.csv", real=nezha, play=partial(apart, bins=8, every=10.0),
        worlds={"plain": steady(26 * 7.8, stable=26, errors={"share": 0.07})},
        statistics={"variance/mean, 10 s": lambda seen: st.dispersion(seen.requests)} | clustered(_10_s=1),
    ),
    *(_machines(*kind, spread) for kind, spread in KINDS.items()),
    Case(
        name="equal pods of one service", file="", play=partial(apart, bins=240, every=60.0),
        published={
            "sd of log latency between pods": 0.105, "sd within a pod": 0.45, "first half against second": 0.88,
            "pairs that differ, 10 points": 0.04, "pairs that differ, 30 points": 0.16,
            "pairs that differ, 120 points": 0.46,
        },
        worlds={
            "spread 0.105, noise {sd: 0.45, memory: 0}": steady(
                4000.0, stable=40, latency={"spread": 0.105, "noise": {"sd": 0.45}}
            ),
        },
        statistics={
            "sd of log latency between pods": lambda seen: st.between_sd(seen.levels),
            "sd within a pod": lambda seen: st.within_sd(seen.levels),
            "first half against second": lambda seen: st.lasting(seen.levels),
            **{f"pairs that differ, {points} points": _pairs(points) for points in (10, 30, 120)},
        },
    ),
    Case(
        name="on-off traffic", file="", play=partial(played, bins=360, every=10.0),
        published={"variance/mean, 10 s": 72.0, "variance/mean, 60 s": 167.0},
        worlds={
            "on_off, on 39s, off 78s": {"traffic": {"kind": "on_off", "rate": 10.65, "on": "39s", "off": "78s"}},
        },
        statistics={words: each for words, each in counted().items() if words.startswith("variance")},
    ),
)  # fmt: skip
