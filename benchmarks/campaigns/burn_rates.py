"""Burn rates of canaries that are healthy, bad, or hit by what hits stable as well: how often they would go back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator, default_rng

from analysis.sequential.base import Floats
from benchmarks.cells import Campaign, Cell, Counts
from guardian.core.burning import Burning
from guardian.core.policy import BurnRate, Slo

SECONDS = 10.0
GOOD = 0.999
OBJECTIVE = Slo(target=GOOD, breached="below", burn_rate=BurnRate())
Burn = Callable[[float], tuple[float, float]]
"""Burn rates of canary and stable, so many seconds after the canary's first traffic."""


def played(
    seed: int, runs: int, *, rps: float, weight: float, lasts: float, burn: Burn, history: float = 0.0
) -> Counts:  # fmt: skip
    """Counts of both tracks, tick by tick; `back` is a canary whose budget burns and stable's did not, `slow` none.

    rps: of the whole service. weight: the canary's part of it. history: seconds of stable before.
    """
    random = default_rng(seed)
    state = Burning()
    rows = np.array([state.add(OBJECTIVE) for _ in range(runs)])
    back, held = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
    for tick in range(1, round((history + lasts) / SECONDS) + 1):
        now = SECONDS * tick - history
        counts = _counts(random, runs, rps=rps, weight=weight if now > 0 else 0.0, burn=burn(now))
        began = np.full(runs, 0.0 if now > 0 else np.nan)
        state.take(rows, time=np.full(runs, now), counts=counts, began=began)
        since, earlier = state.rows["since"][rows], state.rows["earlier"][rows] > 0
        pages = ~np.isnan(since) & (now > 0) & ~back & ~held
        shared = earlier | (state.rows["stable_last"][rows] >= since)
        back |= pages & ~shared
        held |= pages & shared
    return Counts(runs=runs, events={"back": int(back.sum()), "missed": int((~back).sum())})


def _counts(random: Generator, runs: int, *, rps: float, weight: float, burn: tuple[float, float]) -> Floats:
    """Requests and bad ones (runs, 2, 2) of one tick."""
    asked = random.poisson(np.array([weight, 1.0 - weight]) * rps * SECONDS, (runs, 2))
    bad = random.binomial(asked, np.minimum(np.array(burn) * (1.0 - GOOD), 1.0))
    return np.stack((asked, bad), axis=-1).astype(float)


@dataclass(frozen=True, slots=True)
class Steady:
    """A canary that burns at this rate, and a stable track that keeps its objective."""

    rate: float

    def __call__(self, _now: float) -> tuple[float, float]:
        return self.rate, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Both tracks burn at this rate for a while."""

    rate: float
    begins: float
    ends: float

    def __call__(self, now: float) -> tuple[float, float]:
        return (self.rate, self.rate) if self.begins < now <= self.ends else (0.5, 0.5)


TRAFFIC = (0.4, 2.0, 20.0, 200.0)


def _cells() -> tuple[Cell, ...]:
    calm = [
        Cell(
            name=f"{name}, {rps:g} rps",
            run=partial(played, rps=rps, burn=Steady(rate), weight=0.1, lasts=lasts),
            at_most={"back": most}, chunk=500, slice_runs=200,
        )
        for name, rate, lasts, most in (
            ("keeps its objective, two hours", 1.0, 7200.0, 0.001),
            ("half the slow pair's rate, two hours", 3.0, 7200.0, 0.005),
            ("half the fast pair's rate, 30 minutes", 7.2, 1790.0, 0.005),
        )
        for rps in TRAFFIC
    ]  # fmt: skip
    shared = [
        Cell(
            name=f"incident of both, burn rate {rate:g}, {minutes:g} minutes, weight {weight:.0%}, {rps:g} rps",
            run=partial(
                played, rps=rps, weight=weight, lasts=2400.0, history=2400.0,
                burn=Incident(rate=rate, begins=60.0, ends=60.0 + 60.0 * minutes),
            ),
            at_most={"back": 0.015}, chunk=500, slice_runs=200,
        )
        for rate, minutes, weight, rps in (
            (20.0, 8.0, 0.1, 20.0), (20.0, 8.0, 0.5, 20.0), (20.0, 8.0, 0.9, 20.0), (50.0, 4.0, 0.5, 2.0),
            (50.0, 20.0, 0.5, 2.0),
        )
    ]  # fmt: skip
    bad = [
        Cell(
            name=f"burn rate 30, found within 10 minutes, {rps:g} rps",
            run=partial(played, rps=rps, weight=0.1, lasts=600.0, history=2400.0, burn=Steady(30.0)),
            at_most={"missed": most}, chunk=500, slice_runs=200,
        )
        for rps, most in ((20.0, 0.12), (200.0, 0.001))
    ]  # fmt: skip
    return (*calm, *shared, *bad)


CAMPAIGN = Campaign(
    name="burn_rates",
    claim=(
        "At any traffic a canary that keeps its objective goes back in at most 0.1 % of rollouts within two hours, one "
        "at half a pair's rate in at most 0.5 %; one that shares an incident with stable in at most 1.5 %; one at "
        "twice the fast pair's rate is found within ten minutes, in 88 % with two requests a second."
    ),
    cells=_cells(),
    sources=("analysis", "guardian/core", "benchmarks/campaigns"),
)
