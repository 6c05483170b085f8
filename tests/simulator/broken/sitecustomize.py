"""Breaks the decision core of any Python process that has this folder on its PYTHONPATH, as BROKEN_CORE says.

The interpreter imports it at its start, before the command line: what runs then is the real command, and so are the
processes that it starts. Each breakage is one wrong line in how errors are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Reading
from analysis.sequential.ratio import RatioTest

BREAKAGES: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "never": lambda harm: np.minimum(harm, 0.0),  # nothing speaks against a canary
    "eager": lambda harm: harm + 1.0,  # every tick does, whatever it shows
    "slow": lambda harm: np.where(harm > 0.0, 0.5 * harm, harm),  # what does is half believed
}
read: Final = RatioTest.read
broken: Final = BREAKAGES[os.environ["BROKEN_CORE"]]


def misread(test: RatioTest, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:
    """Read one tick, wrongly."""
    reading = read(test, canary, stable, memory, elapsed=elapsed)
    return replace(reading, harm=broken(reading.harm))


RatioTest.read = misread  # type: ignore[assignment, method-assign]
