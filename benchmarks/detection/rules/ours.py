"""The product's own verdicts on the same streams: guardian.core, not a copy of it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.detection.judged import judged
from benchmarks.detection.rules.base import Calls, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Evidence of every guardrail, looked at every tick."""

    name: str = "ours"
    source: str = "docs/statistics.md; guardian/core/rulings.py over analysis/sequential/"
    parameters: str = "every tick; the policy as it stands; holds where the evidence allows neither verdict"

    def judge(self, watch: Watch) -> Calls:
        """Judge the streams with their policy."""
        outcome = judged(watch.streams, watch.policy)
        return Calls(rolled_back=outcome.rolled_back, promoted=outcome.promoted)
