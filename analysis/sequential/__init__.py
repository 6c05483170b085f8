"""Sequential tests: one file each, one line here. Calibration and benches run over this table."""

from __future__ import annotations

from typing import Final

from analysis.sequential.base import Test
from analysis.sequential.latency import LatencyTest
from analysis.sequential.ratio import RatioTest

TESTS: Final[dict[str, type[RatioTest | LatencyTest]]] = {"ratio": RatioTest, "histogram": LatencyTest}
"""Kind of an SLI -> its test."""

__all__ = ["TESTS", "LatencyTest", "RatioTest", "Test"]
