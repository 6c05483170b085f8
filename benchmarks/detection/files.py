"""Streams as files of samples (CONTRACTS section 6): what `guardian judge` is tried on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.detection.streams import BOUNDS, Streams


def bound_text(bound: float) -> str:
    """A bucket's bound as Prometheus writes it."""
    return "+Inf" if np.isinf(bound) else f"{bound:g}"


def sample_table(
    streams: Streams, *, prefix: str = "r", restarts: dict[tuple[int, int], int] | None = None
) -> pa.Table:
    """One table of all runs, sorted by time. restarts: (run, pod) -> tick at which its process began anew."""
    situation, present = streams.situation, streams.present
    tick, run, pod = np.nonzero(np.moveaxis(present, 0, 1))
    time = situation.times[tick]
    last = np.full(streams.requests.shape[:1] + streams.requests.shape[2:], np.nan)
    seconds = np.empty(len(time))
    fresh = np.zeros(len(time), dtype=np.bool_)
    for i in range(len(situation.times)):
        rows = np.flatnonzero(tick == i)
        before = last[run[rows], pod[rows]]
        fresh[rows] = np.isnan(before)
        seconds[rows] = np.where(fresh[rows], situation.tick, time[rows] - before)
        last[run[rows], pod[rows]] = time[rows]
    base = {
        "rollout_id": np.char.add(prefix, run.astype(str)), "t": time, "dt": seconds,
        "track": np.array(situation.tracks)[pod], "pod": np.char.add("pod-", pod.astype(str)),
    }  # fmt: skip
    ratio = _part(base, metric="errors", requests=streams.requests[run, tick, pod], bad=streams.bad[run, tick, pod])
    if streams.buckets is None:
        return ratio
    shown = counters(streams, restarts or {})[run, tick, pod]
    width = len(BOUNDS)
    repeated = {name: np.repeat(column, width) for name, column in base.items()}
    repeated["dt"] = np.where(np.repeat(fresh, width), 0.0, repeated["dt"])
    bounds = np.tile(np.array([bound_text(each) for each in BOUNDS]), len(time))
    both = pa.concat_tables([ratio, _part(repeated, metric="latency", le=bounds, count=shown.reshape(-1))])
    return both.take(pa.array(np.argsort(both["t"].to_numpy(), kind="stable")))


def counters(streams: Streams, restarts: dict[tuple[int, int], int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Raw cumulative bucket counters (runs, ticks, pods, B), with restarts from 0."""
    if streams.buckets is None:
        raise ValueError("these streams have no histograms")
    shown = np.cumsum(np.cumsum(streams.buckets, axis=1), axis=3)
    for (run, pod), at in restarts.items():
        shown[run, at:, pod] -= shown[run, at - 1, pod]
    return np.asarray(shown)


def _part(base: dict[str, Any], **columns: Any) -> pa.Table:
    """Rows of one kind; what the kind has not is empty."""
    rows = len(base["t"])
    filled = dict(base)
    filled["metric"] = np.full(rows, columns.pop("metric"))
    empty = {"requests": pa.float64(), "bad": pa.float64(), "le": pa.string(), "count": pa.float64()}
    for name, kind in empty.items():
        filled[name] = pa.array(columns[name], type=kind) if name in columns else pa.nulls(rows, kind)
    return pa.table(filled)
