"""How much equal pods differ, and how noisy a gauge is: learnt from rows of stable as a rollout learns it.

It knows neither series nor tracks; what the canary's machines do is not in it (docs/statistics.md, fresh pods).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.readings import COLUMNS, REMEMBERED, reading_rows
from analysis.sequential.base import Floats, Test
from analysis.sequential.gauge import GaugeTest
from guardian.core.evidence import Panel
from guardian.core.model import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """differ: lasting standard deviation between pods, of the logarithm of what they do; None with fewer than two pods.

    noise: of a gauge's reading around its pod's level, in units of the level; None where it is unknown, or no gauge.
    """

    differ: float | None
    noise: float | None


UNKNOWN: Final = Learnt(differ=None, noise=None)


def reading_ticks(value: Floats, *, seconds: float) -> Floats:
    """Rows (T, P, COLUMNS) of readings (T, P) of pods, one a tick of that many seconds; NaN: no reading."""
    memory = np.zeros((value.shape[1], REMEMBERED))
    times = np.arange(len(value)) * seconds
    rows = [reading_rows(one, np.full(len(memory), at), memory) for one, at in zip(value, times, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, *value.shape[1:], COLUMNS))


def learn(test: Test, rows: Floats, *, seconds: float, risk: float) -> Learnt:
    """Learn from rows (T, P, F) of stable pods, ticks of that many seconds; a pod without requests was not there.

    risk: chance of a false rollback accepted for the guardrail.
    """
    panel = Panel(test)
    cell = panel.add_cell(risk)
    pods, cells = np.array([panel.add_pod(cell, track=Track.STABLE) for _ in range(rows.shape[1])]), np.array([cell])
    panel.fold_past(pods, rows, seconds=np.full((len(rows), 1), seconds), cells=cells)
    differ = None
    if panel.noise.cells["pods"][cell] >= 2:
        weights, spreads = panel.noise.cells["posterior"][cell, 0], test.mixture.spreads[0]
        differ = float(np.sqrt((weights * spreads**2).sum()))
    return Learnt(differ=differ, noise=_noise(test, panel, cell) if isinstance(test, GaugeTest) else None)


def _noise(test: GaugeTest, panel: Panel, cell: int) -> float | None:
    first = panel.strata.first(cell)
    scale = test.scale(panel.strata.rows["memory"][first : first + 1])
    known = bool(np.isfinite(scale.bound[0])) and scale.level[0] != 0
    return float(np.sqrt(scale.variance[0]) / abs(scale.level[0])) if known else None


__all__ = ["UNKNOWN", "Learnt", "learn", "reading_ticks"]
