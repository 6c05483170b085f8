"""Every trial on real data, what each rule made of it, and the table of it.

The list was fixed before the first of them was run; none was dropped or changed after its outcome was seen. Fleets with
control pods, and on slower machines, were added with the control track.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.detection.comparison import hurt
from benchmarks.detection.real.machines import Fleet
from benchmarks.detection.real.trials import (
    HOUR,
    Trial,
    Truth,
    llm_arrivals,
    machines,
    nezha_aa,
    nezha_ab,
    nginx_peers,
    nginx_zones,
    petshop_aa,
    petshop_ab,
)  # fmt: skip
from benchmarks.detection.report import Entry, Sheet, shared
from benchmarks.detection.rules import RULES
from benchmarks.progress import Reporter

Json = dict[str, Any]
ALLOWED: Final = 0.01
GENERATION: Final = 1.15
"""Times as slow as stable's machines are those that a data centre gives out now."""


def _controlled() -> dict[str, Fleet]:
    """Canaries beside as many fresh control pods; and on slower machines than stable's, with and without control."""
    found = {}
    for pods in (1, 2, 3):
        control = Fleet(canary=pods, stable=6, fresh_stable=False, control=pods)
        words = f"{pods} fresh against {pods} control"
        found[words] = control
        for slower in (1.2, 1.3):
            found[f"{words}, {slower - 1.0:.0%} slower"] = replace(control, slower=slower)
        newer = replace(control, generation=GENERATION)
        found[f"{words}, both on slower machines"] = newer
        found[f"{pods} fresh against 6 old, on slower machines"] = replace(newer, control=0)
    return found


FLEETS: Final[Mapping[str, Fleet]] = {
    "1 fresh against 6 old": Fleet(canary=1, stable=6, fresh_stable=False),
    "2 fresh against 6 old": Fleet(canary=2, stable=6, fresh_stable=False),
    "3 fresh against 6 old": Fleet(canary=3, stable=6, fresh_stable=False),
    "1 fresh against 6 old, not told": Fleet(canary=1, stable=6, fresh_stable=False, told=False),
    "2 fresh against 6 old, not told": Fleet(canary=2, stable=6, fresh_stable=False, told=False),
    "3 fresh against 6 old, not told": Fleet(canary=3, stable=6, fresh_stable=False, told=False),
    "2 fresh against 6 fresh": Fleet(canary=2, stable=6, fresh_stable=True),
    "3 fresh against 3 fresh": Fleet(canary=3, stable=3, fresh_stable=True),
    "1 fresh against 6 old, 30 % slower": Fleet(canary=1, stable=6, fresh_stable=False, slower=1.3),
    "1 fresh against 6 old, 80 % slower": Fleet(canary=1, stable=6, fresh_stable=False, slower=1.8),
    "3 fresh against 6 old, 20 % slower": Fleet(canary=3, stable=6, fresh_stable=False, slower=1.2),
    "3 fresh against 6 old, 50 % slower": Fleet(canary=3, stable=6, fresh_stable=False, slower=1.5),
    "3 fresh against 3 fresh, 20 % slower": Fleet(canary=3, stable=3, fresh_stable=True, slower=1.2),
    **_controlled(),
}


def _trials() -> Iterator[Trial]:
    file = "petshop_aa.csv"
    for signal in ("errors", "latency"):
        for words, shift in (("an hour against the hour before", HOUR), ("against the day before", 24 * HOUR)):
            name = f"petshop, {signal}, {words}"
            watch = partial(petshop_aa, shift=shift, signal=signal)
            yield Trial(name=name, file=file, truth=Truth.EQUAL, arms="time", watch=watch)
    for signal in ("errors", "latency"):
        name, watch = f"nezha, {signal}, two groups, same fault", partial(nezha_aa, signal=signal)
        yield Trial(name=name, file="nezha_10s.csv", truth=Truth.EQUAL, arms="groups", watch=watch)
    file = "nginx_org_5s.csv"
    yield Trial(name="nginx.org, zones over time", file=file, truth=Truth.EQUAL, arms="time", watch=nginx_zones)
    yield Trial(name="nginx.org, database peers", file=file, truth=Truth.EQUAL, arms="pods", watch=nginx_peers)
    yield Trial(
        name="Azure LLM arrivals", file="azure_llm_10s.csv", truth=Truth.EQUAL, arms="drawn pods", watch=llm_arrivals
    )
    for name, fleet in FLEETS.items():
        truth = Truth.EQUAL if fleet.slower == 1.0 else Truth.FAULT
        watch = partial(machines, fleet=fleet)
        yield Trial(name=f"VMs, {name}", file="azure_vm_noise.csv", truth=truth, arms="machines", watch=watch)
    for role in ("entry", "root_cause"):
        for symptom in ("availability", "latency"):
            watch = partial(petshop_ab, role=role, symptom=symptom)
            name = f"petshop, {symptom} issue at its {'root' if role == 'root_cause' else 'entry'}"
            yield Trial(name=name, file="petshop_ab.csv", truth=Truth.FAULT, arms="time", watch=watch)
    for fault in ("network_delay", "exception", "cpu_contention", "return", "cpu_consumed"):
        words = "return (faster and broken)" if fault == "return" else fault.replace("_", " ")
        watch = partial(nezha_ab, fault=fault)
        yield Trial(name=f"nezha, {words}", file="nezha_10s.csv", truth=Truth.FAULT, arms="time", watch=watch)


TRIALS: Final[Mapping[str, Trial]] = {trial.name: trial for trial in _trials()}


def on_real_data(folder: Path, *, reporter: Reporter) -> list[Json]:
    """What every rule made of every trial, ready for the result file."""
    found = []
    reporter.expect(len(TRIALS))
    for trial in TRIALS.values():
        watch = trial.watch(folder)
        rules = {}
        for rule in RULES.values():
            calls = rule.judge(watch)
            back = np.isfinite(calls.rolled_back)
            rules[rule.name] = {
                "rolled_back": int(back.sum()),
                "promoted": int(np.isfinite(calls.promoted).sum()),
                "median_s": float(np.median(calls.rolled_back[back])) if back.any() else None,
                "hurt": round(float(np.median(hurt(watch, calls))), 1) if trial.truth is Truth.FAULT else None,
            }
        runs = watch.tracks.runs
        found.append({"name": trial.name, "file": trial.file, "truth": trial.truth, "runs": runs, "rules": rules})
        reporter.done(1)
    return found


def real_sheets(result: Json) -> list[Sheet]:
    """A/A: rollbacks, all false. A/B: rollbacks, and what was promoted."""
    equal = [one for one in result["trials"] if one["truth"] == Truth.EQUAL]
    faults = [one for one in result["trials"] if one["truth"] == Truth.FAULT]
    return [
        _sheet("Real data, nothing differs (A/A): rolled back, % (95 % interval)", equal, "rolled_back", ALLOWED),
        _sheet("Real data, nothing differs (A/A): promoted, % (95 % interval)", equal, "promoted", None),
        _sheet("Real data, faults (A/B): rolled back, % (95 % interval)", faults, "rolled_back", None),
        _sheet("Real data, faults (A/B): promoted, % (95 % interval)", faults, "promoted", None),
    ]


def _sheet(title: str, trials: list[Json], what: str, allowed: float | None) -> Sheet:
    def field(trial: Json, rule: str) -> Entry:
        return shared(trial["rules"][rule][what], trial["runs"], allowed=allowed)

    rows = tuple(
        (f"{trial['name']} ({trial['runs']})", tuple(field(trial, rule) for rule in RULES)) for trial in trials
    )
    return Sheet(title=title, heads=tuple(RULES), rows=rows)
