"""Metrics in memory: series with samples, measured through the selectors of a policy. For runs without Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from guardian.adapters._series import Wanted, joined, key_of, wanted_of
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant
from guardian.ports import Samples


@dataclass(slots=True)
class _Series:
    labels: dict[str, str]
    time: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


class MemorySource:
    """MetricSource over what `add` was called with. everywhere: labels added to every selector."""

    def __init__(self, *, everywhere: Mapping[str, str] | None = None) -> None:
        self._everywhere = dict(everywhere or {})
        self._series: dict[tuple[tuple[str, str], ...], _Series] = {}
        self.problems: tuple[str, ...] = ()
        """What is said to make every answer incomplete."""

    def add(self, labels: Mapping[str, str], at: Instant, value: float) -> None:
        """Add a sample; the metric's name is the label __name__."""
        series = self._series.setdefault(tuple(sorted(labels.items())), _Series(dict(labels)))
        series.time.append(at)
        series.value.append(value)

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples:
        """Return the samples of all requests with `since` < sample time <= `until`. See MetricSource."""
        found = [
            self._samples(wanted, request)
            for request in requests
            for wanted in wanted_of(
                rollout=request.rollout, service=request.place.service, guardrail=request.guardrail,
                labels=request.labels, everywhere=self._everywhere,
            )
        ]  # fmt: skip
        return joined(found, self.problems)

    def _samples(self, wanted: Wanted, request: MeasureRequest) -> Samples:
        parts = []
        for series in self._series.values():
            key = key_of(series.labels, wanted, ()) if wanted.complete.matches(series.labels) else None
            if key is None:
                continue
            time, value = np.array(series.time), np.array(series.value)
            chosen = (time > request.since) & (time <= request.until)
            parts.append(
                Samples(keys=(key,), key=np.zeros(int(chosen.sum()), np.int64), time=time[chosen], value=value[chosen])
            )
        return joined(parts)
