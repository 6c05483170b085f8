"""Lets every rule judge the same streams, and counts what each of them did and what it cost the users.

Which rules and which cases there are stands elsewhere; tables are made by report.py.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from benchmarks.cells import Counts
from benchmarks.detection.cases import CASES, Case, Kind
from benchmarks.detection.rules import RULES
from benchmarks.detection.rules.base import Calls, Signal, Watch
from benchmarks.detection.streams import BOUNDS, Floats, generate
from benchmarks.detection.tracks import CANARY, STABLE, Tracks

SLOW: Final = BOUNDS.index(0.5) + 1
"""First bucket of requests slower than 0.5 s: what counts as hurt by latency."""


def compared(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one case, all rules on the same runs."""
    case = CASES[name]
    watch = Watch(streams=generate(case.situation, runs=runs, seed=seed), policy=case.policy)
    events: dict[str, int] = {}
    figures: dict[str, tuple[float, ...]] = {}
    for rule in RULES.values():
        calls = rule.judge(watch)
        for what, happened in told(case, calls).items():
            events[f"{rule.name}: {what}"] = int(happened.sum())
        for figure, values in figured(case, calls, watch).items():
            figures[f"{rule.name}: {figure}"] = tuple(np.round(values, 1).tolist())
    return Counts(runs=runs, events=events, figures=figures)


def told(case: Case, calls: Calls) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """What each run came to. A rollback before the onset is no detection, and is told by itself."""
    back = np.isfinite(calls.rolled_back)
    found = {"rolled back": back & (calls.rolled_back > case.onset), "promoted": np.isfinite(calls.promoted)}
    if case.onset:
        found["before onset"] = back & (calls.rolled_back <= case.onset)
    return found


def figured(case: Case, calls: Calls, watch: Watch) -> dict[str, Floats]:
    """Healthy: when it was promoted. Worse: delay from the onset, inf for a miss, and how many requests were hurt."""
    if case.kind is Kind.HEALTHY:
        return {"promoted at, s": calls.promoted}
    delay = np.where(calls.rolled_back > case.onset, calls.rolled_back - case.onset, np.inf)
    return {"delay, s": delay, "hurt": hurt(watch, calls)}


def hurt(watch: Watch, calls: Calls) -> Floats:
    """Requests of the canary that failed, or took more than 0.5 s, beyond stable's share at the time.

    Returns shape (runs,). Until the rollback or the end of the streams. A canary that was promoted serves all traffic
    from then on, at its own share: a rule that promotes a bad release is not cheap. Where two signals count, fewer slow
    requests are not set off against more broken ones.
    """
    tracks = watch.tracks
    times, total = tracks.times[None, :], np.zeros(tracks.runs)
    canary, stable = tracks.requests[:, :, CANARY], tracks.requests[:, :, STABLE]
    served = np.where(times > calls.promoted[:, None], 1.0 + stable / np.maximum(canary, 1.0), 1.0)
    served *= (times > 0) & (times <= calls.rolled_back[:, None])
    for signal in watch.signals:
        beyond = (_beyond(tracks, signal) * served).sum(axis=1)
        total += np.maximum(beyond, 0.0) if len(watch.signals) > 1 else beyond
    return total


def _beyond(tracks: Tracks, signal: Signal) -> Floats:
    bad = tracks.bad
    if signal is Signal.LATENCY and tracks.buckets is not None:
        bad = tracks.buckets[..., SLOW:].sum(axis=-1)
    usual = bad[:, :, STABLE] / np.maximum(tracks.requests[:, :, STABLE], 1.0)
    return np.asarray(bad[:, :, CANARY] - tracks.requests[:, :, CANARY] * usual)
