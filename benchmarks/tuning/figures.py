"""What users and people on call have of two policies on the same fresh seeds: six figures, each with limits at 95 %.

Shares: Clopper and Pearson 1934, exact. Means: of scenarios, each as heavy as its runs, by Student's t with the
variance within scenarios (stratified sampling, Cochran 1977, section 5.4). Changes: analysis/paired.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, stdtrit

from analysis.paired import CONFIDENCE, share_change, total_change
from guardian.core.model import Verdict
from simulator.tuning.objectives import OBJECTIVES, Runs
from simulator.tuning.trial import Tried

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]
HIGH: Final = (1.0 + CONFIDENCE) / 2.0
_BY_NAME: Final = {objective.name: objective for objective in OBJECTIVES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """name: as the page shows it. objective: whose scenarios are asked, and whose value is taken where `of` is None."""

    name: str
    unit: str
    objective: str
    of: Callable[[Tried], float] | None = None
    share: bool = False


FIGURES: Final = (
    Figure(name="false rollbacks", unit="share of runs", objective="false rollbacks", share=True),
    Figure(name="missed or too late", unit="share of runs", objective="missed", share=True),
    Figure(name="delay until rolled back", unit="deadlines, 4 at most", objective="delay"),
    Figure(name="requests hurt", unit="a run", objective="hurt"),
    Figure(name="time to promote", unit="deadlines, 4 at most", objective="promotion"),
    Figure(
        name="interventions", unit="share of runs that call a person", objective="pages",
        of=lambda run: float(run.pages > 0), share=True,
    ),
)  # fmt: skip


def compared(before: Runs, after: Runs, truths: Mapping[str, Verdict]) -> list[Json]:
    """Return each figure under both policies, and its change; runs of a scenario are of the same seeds in both."""
    return [_row(figure, *(_values(figure, runs, truths) for runs in (before, after))) for figure in FIGURES]


def _values(figure: Figure, runs: Runs, truths: Mapping[str, Verdict]) -> Floats:
    """Return shape (scenarios, seeds)."""
    objective = _BY_NAME[figure.objective]
    of = figure.of or objective.of
    return np.array([[of(run) for run in each] for name, each in runs.items() if truths[name] in objective.asked])


def _row(figure: Figure, before: Floats, after: Floats) -> Json:
    old, new = before.ravel(), after.ravel()
    change = share_change(old > 0, new > 0) if figure.share else total_change(old, new, tolerance=0.0)
    limited = share_limits if figure.share else mean_limits
    return {
        "name": figure.name,
        "unit": figure.unit,
        "scenarios": len(before),
        "runs": len(old),
        "before": limited(before),
        "after": limited(after),
        "change": {
            "kind": "difference" if figure.share else "ratio",
            **{name: _finite(getattr(change, name)) for name in ("estimate", "lower", "upper")},
        },
    }


def share_limits(values: Floats) -> Json:
    """Share of runs in which something happened, with limits; values: (scenarios, seeds), 0 or 1.

    >>> share_limits(np.array([[0.0] * 10, [0.0] * 10]))
    {'value': 0.0, 'lower': 0.0, 'upper': 0.1684}
    """
    runs, count = values.size, int(values.sum())
    lower = 0.0 if count == 0 else float(betaincinv(count, runs - count + 1, 1.0 - HIGH))
    upper = 1.0 if count == runs else float(betaincinv(count + 1, runs - count, HIGH))
    return _told(count / runs, lower, upper)


def mean_limits(values: Floats) -> Json:
    """Mean of the scenarios' means, with limits; values: (scenarios, seeds) >= 0, at least two seeds.

    >>> mean_limits(np.array([[1.0, 3.0], [11.0, 13.0]]))
    {'value': 7.0, 'lower': 3.9576, 'upper': 10.0424}
    """
    scenarios, seeds = values.shape
    variance = float(np.sum(values.var(axis=1, ddof=1))) / (seeds * scenarios**2)
    mean, reach = float(values.mean()), float(stdtrit(scenarios * (seeds - 1), HIGH)) * math.sqrt(variance)
    return _told(mean, max(mean - reach, 0.0), mean + reach)


def _told(value: float, lower: float, upper: float) -> Json:
    return {"value": round(value, 4), "lower": round(lower, 4), "upper": round(upper, 4)}


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
