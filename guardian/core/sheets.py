"""What the fleet knows of every guardrail and pod beside the evidence and the arrays: where they stand in these.

A sheet is one guardrail of one rollout. Sheets with the same columns share a layout (layouts.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isnan
from typing import Final

import numpy as np

from analysis.quantiles import bucket_quantile
from analysis.sequential.base import Floats
from analysis.users import Users
from guardian.core.layouts import Layout
from guardian.core.looks import SeriesKey
from guardian.core.model import Track
from guardian.core.policy import Guardrail, HistogramSli

QUANTILE: Final = 0.95
"""Quantile told of latencies where the objective names none."""


@dataclass(slots=True)
class Pod:
    """One pod of one sheet: its slot in the layout and its member of the contest, -1 while there is none.

    A pod that serves in several strata is several of these: host is the name they share, stratum the one of each.
    """

    number: int
    host: str
    track: Track
    stratum: str = ""
    slot: int = -1
    member: int = -1
    series: dict[SeriesKey, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique within its track."""
        return f"{self.host} ({self.stratum})" if self.stratum else self.host


@dataclass(slots=True)
class Sheet:
    """One guardrail of one rollout. arm, contest, cell: where it is compared, -1 where it is not (yet).

    risk: chance of a false rollback accepted for it. users: whose failures come together in it, None: nobody's.
    baseline: the track that the canary is compared with.
    objective: where its windows are; alike: where those are in which stable's requests count as if they lay in the
    strata as the canary's do. burn, burn_alike, past: the same for its burn rate, and where its own past is remembered.
    exposing: whose requests its events are judged by. exposes: the guardrails whose events are judged by its requests.
    hosts: the first one of each pod, whatever its strata. members: the first of each pod that is compared. strata:
    numbers in the contest of the parts that are compared apart, by name. -1: there is none.
    """

    number: int
    rollout: int
    guardrail: Guardrail
    risk: float
    users: Users | None = None
    baseline: Track = Track.STABLE
    layout: Layout | None = None
    slot: int = -1
    arm: int = -1
    contest: int = -1
    cell: int = -1
    objective: int = -1
    alike: int = -1
    burn: int = -1
    burn_alike: int = -1
    past: int = -1
    pods: dict[tuple[Track, str], Pod] = field(default_factory=dict)
    hosts: dict[tuple[Track, str], Pod] = field(default_factory=dict)
    members: dict[tuple[Track, str], int] = field(default_factory=dict)
    strata: dict[str, int] = field(default_factory=dict)
    anomalies: dict[str, int] = field(default_factory=dict)
    late_bounds: set[float] = field(default_factory=set)
    needed: tuple[object, float] | None = None
    exposing: Sheet | None = field(default=None, repr=False, compare=False)
    exposes: list[Sheet] = field(default_factory=list, repr=False, compare=False)

    def levels(self, counts: Floats) -> list[float | None]:
        """Error share, quantile, mean of readings or events per exposure of rows (n, F) of counts; None without any."""
        if self.layout is None:
            return [None] * len(counts)
        asked = self.layout.requests(counts).tolist()
        if not self.layout.bounds:
            parts = counts[:, 1].tolist()
            return [part / total if total > 0 else None for part, total in zip(parts, asked, strict=True)]
        objective = self.guardrail.objective
        wanted = objective.quantile if objective is not None and objective.quantile is not None else QUANTILE
        found = bucket_quantile(counts, np.array(self.layout.bounds), float(wanted))[0].tolist()
        return [value if total > 0 and not isnan(value) else None for value, total in zip(found, asked, strict=True)]

    @property
    def open_ended(self) -> str:
        """Pod whose buckets are known and none of them is +Inf, while the guardrail has no buckets; "" without one."""
        if self.layout is not None or not isinstance(self.guardrail.sli, HistogramSli):
            return ""
        for (_, name), pod in self.pods.items():
            bounds = [key.le for key in pod.series if not isnan(key.le)]
            if bounds and inf not in bounds:
                return name
        return ""

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count samples that could not be used."""
        self.anomalies[reason] = self.anomalies.get(reason, 0) + count
