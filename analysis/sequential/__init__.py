"""Sequential tests: one file each, one line here. Calibration, benches and generic tests run over these tables."""

from __future__ import annotations

from typing import Final

from analysis.sequential.base import Test
from analysis.sequential.burn import BurnWatch
from analysis.sequential.count import CountTest
from analysis.sequential.gauge import GaugeTest
from analysis.sequential.latency import LatencyTest
from analysis.sequential.past import PastWatch
from analysis.sequential.ratio import RatioTest
from analysis.sequential.watch import Watch

TESTS: Final[dict[str, type[RatioTest | LatencyTest | GaugeTest | CountTest]]] = {
    "ratio": RatioTest,
    "histogram": LatencyTest,
    "gauge": GaugeTest,
    "count": CountTest,
}
"""Kind of an SLI -> its test: two tracks in the same tick."""
WATCHES: Final[dict[str, type[BurnWatch | PastWatch]]] = {"burn": BurnWatch, "past": PastWatch}
"""What is watched -> its watch: one track over time."""

__all__ = [
    "TESTS",
    "WATCHES",
    "BurnWatch",
    "CountTest",
    "GaugeTest",
    "LatencyTest",
    "PastWatch",
    "RatioTest",
    "Test",
    "Watch",
]
