"""What one rollout acts through: its router, workload and probes, each with the target it is called with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guardian.core.model import Place
from guardian.core.rollout import Rollout
from guardian.ports import Inspection, MetricSource, Probe, Readiness, Router, Target, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """Ports of one rollout; None where its policy names none."""

    router: tuple[Router, Target] | None = None
    workload: tuple[Workload, Target] | None = None
    inspection: tuple[Inspection, Target] | None = None
    readiness: tuple[Readiness, Target] | None = None
    probes: tuple[tuple[Probe, Target], ...] = ()


Equip = Callable[[Rollout], Equipment]
"""Finds a rollout's equipment. Raises ConfigError or PolicyError when guardian.yaml does not have it."""
Sources = Callable[[Place], MetricSource | None]
"""Finds the metric source of a place; None when guardian.yaml has none for it."""
