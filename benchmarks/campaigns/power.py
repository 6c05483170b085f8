"""How surely and how early regressions of every size are found, and healthy releases promoted, beside what is possible.

Bounds in the names of events: the margin bound (benchmarks/detection/bounds.py) and, for pods that differ, the power of
a pooled t-test at one look, which knows neither when to look nor that pods differ by little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf, log
from typing import Final

import numpy as np
from msgspec.structs import replace
from scipy.stats import nct, t

from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.bounds import margin_bound
from benchmarks.detection.families import ERRORS, ERRORS_ONLY
from benchmarks.detection.judged import judged
from benchmarks.detection.streams import Situation, always, generate, ramp
from guardian.core.model import Seconds
from guardian.core.policy import Policy

ALPHA: Final = 0.01
WRONG: Final = 0.001
"""Share of regressions that may be promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is claimed of one situation; earliest: seconds before which nothing is promoted.

    at_most: event -> share of runs. soon: seconds for the event `later`.
    """

    situation: Situation
    at_most: Mapping[str, float]
    earliest: float = 900.0
    soon: float = field(default=inf)


def bound(situation: Situation) -> float:
    """1.4 times the margin bound, seconds."""
    compare = ERRORS.compare
    assert compare is not None
    return 1.4 * margin_bound(situation, compare.rollback, alpha=ALPHA)


def t_test(*, times: float, spread: float, canary: int, stable: int) -> float:
    """Power of a pooled t-test of pods' logs at level ALPHA, no noise but the lasting one: what one look can give."""
    freedom = canary + stable - 2
    shift = log(times / 1.05) / (spread * (1.0 / canary + 1.0 / stable) ** 0.5)
    return float(nct.sf(t.ppf(1.0 - ALPHA, freedom), freedom, shift))


def _found(situation: Situation, *, missed: float, prompt: bool = False, earliest: float = 900.0) -> Aim:
    claims = {"missed": missed, "promoted": WRONG}
    if prompt:
        return Aim(situation=situation, at_most={**claims, "later": 0.5}, soon=bound(situation), earliest=earliest)
    return Aim(situation=situation, at_most=claims, earliest=earliest)


def _apart(spread: float, *, canary: int = 2, stable: int = 6) -> Situation:
    return Situation(effect=always(2.0), rps=2000.0, pod_sd=spread, canary_pods=canary, stable_pods=stable)


HOUR: Final = 3600.0
LEAK: Final = ramp(0.0, 1800.0, 1.0, 3.0)
SLOW: Final = Situation(effect=always(2.0), rps=2000.0, noise_sd=0.2, noise_rho=0.95)
AIMS: Final[Mapping[str, Aim]] = {
    "x1.5, 200 rps, at most 1.4 times the margin bound": _found(
        Situation(effect=always(1.5), length=HOUR), missed=0.02, prompt=True, earliest=HOUR
    ),
    "x2, 200 rps, at most 1.4 times the margin bound": _found(Situation(effect=always(2.0)), missed=0.01, prompt=True),
    "x5, 2000 rps, within 2 ticks": Aim(
        situation=Situation(effect=always(5.0), rps=2000.0), at_most={"missed": 0.01, "later": 0.5}, soon=20.0
    ),
    "x1.2, 2000 rps, promotion from 60 min": Aim(
        situation=Situation(effect=always(1.2), rps=2000.0, length=HOUR), at_most={"missed": 0.2}, earliest=HOUR
    ),
    "an allowed +5 %, 2000 rps, promotion from 60 min": Aim(
        situation=Situation(effect=always(1.05), rps=2000.0, length=HOUR), at_most={"found": 0.01}, earliest=HOUR
    ),
    "x2, pods differ 10 %, 2 against 6": _found(_apart(0.1), missed=0.1),
    "x2, pods differ 15 %, 2 against 6": _found(_apart(0.15), missed=0.1),
    "x2, pods differ 30 %, 3 against 6, nine tenths of a t-test": Aim(
        situation=_apart(0.3, canary=3),
        at_most={"missed": 1.0 - 0.9 * t_test(times=2.0, spread=0.3, canary=3, stable=6)},
    ),
    "x2, correlation 0.95, sd 0.2, 2000 rps": _found(SLOW, missed=0.02),
    "leak to x3 in 30 min, 200 rps, promotion from 30 min": _found(
        Situation(effect=LEAK), missed=0.02, earliest=1800.0
    ),
    "leak to x3 in 30 min, 2000 rps, promotion from 30 min": _found(
        Situation(effect=LEAK, rps=2000.0), missed=0.02, earliest=1800.0
    ),
    "healthy, 200 rps, promoted at the earliest time": Aim(situation=Situation(), at_most={"not at once": 0.01}),
    "healthy, 2000 rps, promoted at the earliest time": Aim(
        situation=Situation(rps=2000.0), at_most={"not at once": 0.01}
    ),
    "healthy, pods differ 15 %, promoted at the earliest time": Aim(
        situation=Situation(rps=2000.0, pod_sd=0.15), at_most={"not at once": 0.2}
    ),
}


def measured(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one situation."""
    aim = AIMS[name]
    risk = replace(ERRORS_ONLY.risk, earliest_promotion=Seconds(aim.earliest))
    policy: Policy = replace(ERRORS_ONLY, risk=risk)
    outcome = judged(generate(aim.situation, runs=runs, seed=seed), policy)
    found = outcome.rollbacks()
    return Counts(
        runs=runs,
        events={
            "missed": runs - found,
            "found": found,
            "later": int((outcome.rolled_back > aim.soon).sum()),
            "promoted": outcome.promotions(),
            "not at once": int((outcome.promoted > aim.earliest).sum()),
        },
        figures={"rolled back at, s": tuple(float(np.minimum(at, 1e9)) for at in outcome.rolled_back)},
    )


CAMPAIGN = Campaign(
    name="power",
    claim="Regressions are found as surely and as early as stated, and healthy releases promoted at the earliest time.",
    cells=tuple(
        Cell(name=name, run=partial(measured, name=name), at_most=aim.at_most, chunk=250, slice_runs=40)
        for name, aim in AIMS.items()
    ),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
