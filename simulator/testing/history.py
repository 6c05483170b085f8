"""Metrics of the past for a real Prometheus: what pods would have exposed before the test began.

The draws are the same as the pods make (errors, log-normal latency with a tail); the series have the labels
a scrape gives them. It writes OpenMetrics text; `simulator.testing.prometheus` turns that into blocks with
promtool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
import numpy.typing as npt

from simulator.testing.pods.behaviour import Behaviour, Identity
from simulator.testing.pods.pod import BUCKETS

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series. times: unix seconds, rising, shape (n,); values: shape (n,), NaN where no sample is."""

    name: str
    labels: Mapping[str, str]
    times: Floats
    values: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PodHistory:
    """One pod's past. rate: requests per second; instance: host:port that Prometheus scrapes it at."""

    identity: Identity
    instance: str
    rate: float = 100.0
    behaviour: Behaviour = field(default_factory=Behaviour)
    job: str = "pods"


def pod_history(
    pod: PodHistory,
    *,
    end: float,
    seconds: float = 2400.0,
    step: float = 1.0,
    seed: int = 1,
    buckets: tuple[float, ...] = BUCKETS,
) -> list[Series]:
    """Counters, histogram and gauge of one pod over the `seconds` up to `end` (unix time), one sample a `step`.

    Counters start at 0 and rise; requests per step are Poisson. The pod that is scraped later starts at 0
    again, which readers see as a reset.
    """
    chance = np.random.default_rng(seed)
    count = int(seconds / step)
    times = end - step * np.arange(count - 1, -1, -1, dtype=np.float64)
    requests = chance.poisson(pod.rate * step, count)
    bad = chance.binomial(requests, pod.behaviour.error_ratio)
    latency = _latencies(pod.behaviour, int(requests.sum()), chance)
    bounds = np.append(np.asarray(buckets), np.inf)
    per_bucket, sums = _cumulative(latency, requests, bounds)
    who = pod.identity
    labels = {"job": pod.job, "instance": pod.instance, "service": who.service, "track": who.track, "pod": who.pod}

    def series(name: str, values: Floats, **more: str) -> Series:
        return Series(name=name, labels=labels | more, times=times, values=values)

    return [
        series("http_requests_total", (requests - bad).cumsum().astype(np.float64), status="200"),
        series("http_requests_total", bad.cumsum().astype(np.float64), status="500"),
        *(
            series("http_request_duration_seconds_bucket", per_bucket[:, column], le=_bound(bound))
            for column, bound in enumerate(bounds)
        ),
        series("http_request_duration_seconds_count", per_bucket[:, -1]),
        series("http_request_duration_seconds_sum", sums),
        series("orders_total", (requests - bad).cumsum().astype(np.float64)),
        series("queue_length", np.random.default_rng((seed, 1)).poisson(pod.behaviour.queue, count).astype(np.float64)),
    ]


def write_openmetrics(series: Iterable[Series], file: TextIO) -> None:
    """Write the series as OpenMetrics text, timestamps in seconds."""
    for one in series:
        file.writelines(_lines(one))
    file.write("# EOF\n")


def _lines(series: Series) -> Iterator[str]:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in series.labels.items())
    head = f"{series.name}{{{labels}}}"
    for time, value in zip(series.times.tolist(), series.values.tolist(), strict=True):
        if value == value:  # noqa: PLR0124 - NaN: no sample
            yield f"{head} {value!r} {time:.3f}\n"


def _latencies(behaviour: Behaviour, count: int, chance: np.random.Generator) -> Floats:
    latency = behaviour.latency
    drawn = latency.median * np.exp(latency.sigma * chance.standard_normal(count))
    return np.where(chance.random(count) < latency.tail_share, drawn * latency.tail_factor, drawn)


def _cumulative(latency: Floats, requests: npt.NDArray[np.int64], bounds: Floats) -> tuple[Floats, Floats]:
    """Histogram as a process counts it: per step (rows) and bound (columns), and the sum of seconds per step.

    latency: of all requests in order, shape (requests.sum(),); requests: per step, shape (n,).
    """
    rows, columns = len(requests), len(bounds)
    row = np.repeat(np.arange(rows), requests)
    cells = np.bincount(row * columns + np.searchsorted(bounds, latency), minlength=rows * columns)
    counts = cells.reshape(rows, columns).cumsum(axis=1).cumsum(axis=0).astype(np.float64)
    return counts, np.bincount(row, weights=latency, minlength=rows).cumsum()


def _bound(bound: float) -> str:
    return "+Inf" if np.isinf(bound) else repr(float(bound))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
