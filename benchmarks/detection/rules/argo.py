"""The rule of Argo Rollouts: a background AnalysisRun while the canary waits, which aborts after too many failures.

Source: argoproj/argo-rollouts, analysis/analysis.go read at c9dd7ea (`failed > failureLimit`, `consecutiveErrors >
consecutiveErrorLimit`, default 4), utils/evaluate/evaluate.go at 099e5cd (EvaluateResult), metricproviders/prometheus
at 070bf61, docs/features/analysis.md at 010ad55 (template `success-rate`, failureLimit 3). The document says that three
failures end a run with failureLimit 3; the code says four, and the code is what runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.detection.rules.base import Calls, Signal, Watch, first, limit
from benchmarks.detection.streams import Flags, Floats
from benchmarks.detection.tracks import CANARY, STABLE

Phases = npt.NDArray[np.int8]
INTERVAL: Final = 60.0
RANGE: Final = 300.0
P95: Final = 0.5
USUAL_P95: Final = 1.25
USUAL_ERRORS: Final = 2.0


class Phase(IntEnum):
    """How one measurement ended (AnalysisPhase)."""

    SUCCESSFUL = 0
    FAILED = 1
    INCONCLUSIVE = 2
    ERROR = 3


def evaluate(*, error: Flags, success: Flags | None = None, failure: Flags | None = None) -> Phases:
    """Phase of measurements from what their conditions said; None: the metric has no such condition.

    error: the query or a condition failed, for example `result[0]` of an empty vector.  Source: EvaluateResult.
    """
    nothing = np.zeros_like(error)
    if failure is None:
        failure = nothing if success is None else ~success
    if success is None:
        success = ~failure
    held = np.where(success, Phase.SUCCESSFUL, Phase.INCONCLUSIVE)
    return np.where(error, Phase.ERROR, np.where(failure, Phase.FAILED, held)).astype(np.int8)


def ends(phases: Phases, *, failure_limit: int, error_limit: int = 4, inconclusive_limit: int = 0) -> Phases:
    """Phase in which a metric stands after each measurement, (runs, checks); SUCCESSFUL stands for still running."""
    failed = np.cumsum(phases == Phase.FAILED, axis=1) > failure_limit
    unclear = np.cumsum(phases == Phase.INCONCLUSIVE, axis=1) > inconclusive_limit
    streak = np.zeros(len(phases), dtype=np.int64)
    broken = np.zeros(phases.shape, dtype=np.bool_)
    for check in range(phases.shape[1]):
        streak = np.where(phases[:, check] == Phase.ERROR, streak + 1, 0)
        broken[:, check] = streak > error_limit
    worst = np.where(failed, Phase.FAILED, np.where(unclear, Phase.INCONCLUSIVE, Phase.SUCCESSFUL))
    return np.where(broken, Phase.ERROR, worst).astype(np.int8)


def settled(at: Floats, metrics: list[Phases], end: float) -> Calls:
    """Abort on a failed or broken metric, pause for ever on an inconclusive one, else promote at the end."""
    stands = np.stack(metrics)
    aborts = first(at, ((stands == Phase.FAILED) | (stands == Phase.ERROR)).any(axis=0))
    pauses = first(at, (stands == Phase.INCONCLUSIVE).any(axis=0))
    rolled_back = np.where(aborts <= pauses, aborts, np.inf)
    fine = np.isinf(aborts) & np.isinf(pauses)
    return Calls(rolled_back=rolled_back, promoted=np.where(fine, end, np.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Argo:
    """The documented template: success rate of at least 95 % over five minutes, and p95 below 500 ms."""

    name: str = "argo"
    source: str = "argoproj/argo-rollouts c9dd7ea: analysis/analysis.go, utils/evaluate/evaluate.go, docs"
    parameters: str = (
        "every 60 s over 5 min: success >= 95 %, p95 < 0.5 s (or 1.25 x history's); failureLimit 3, "
        "consecutiveErrorLimit 4; promoted when the steps are over"
    )
    failure_limit: int = 3

    def errors(self, rate: Floats, usual: Floats, missing: Flags) -> Phases:
        """`successCondition: result[0] >= 0.95`; rate: (runs, checks) share of bad requests, NaN without any."""
        del usual
        return evaluate(error=missing, success=(1.0 - rate) >= 0.95)

    def judge(self, watch: Watch) -> Calls:
        """Measure every minute, over five."""
        tracks = watch.tracks
        window = tracks.windows(every=INTERVAL, over=RANGE)
        missing, history = ~window.seen[:, :, CANARY], tracks.history
        phases = []
        if Signal.ERRORS in watch.signals:
            phases.append(self.errors(window.rate[:, :, CANARY], history.rate[:, 0, STABLE], missing))
        if Signal.LATENCY in watch.signals:
            allowed = limit(P95, history.quantile(0.95)[:, 0, STABLE], room=USUAL_P95)
            slow = window.quantile(0.95)[:, :, CANARY]
            phases.append(evaluate(error=missing, success=slow < allowed[:, None]))
        stands = [ends(each, failure_limit=self.failure_limit) for each in phases]
        return settled(window.at, stands, tracks.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgoStrict(Argo):
    """The template as many write it: only a failure condition, error rate above 1 %."""

    name: str = "argo 1 %"
    parameters: str = (
        "as argo, but only `failureCondition: result[0] > 0.01` (or 2 x history's rate), "
        "so that NaN, no request at all, is successful"
    )

    def errors(self, rate: Floats, usual: Floats, missing: Flags) -> Phases:
        """`failureCondition: result[0] > 0.01`; a comparison with NaN is false."""
        return evaluate(error=missing, failure=rate > limit(0.01, usual, room=USUAL_ERRORS)[:, None])
