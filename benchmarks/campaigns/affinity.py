"""Users who stick to a track, and a policy that says so: how often evidence, shares and objectives are wrong.

Without `affinity` the same healthy canaries are rolled back in 4 to 20 % of 200 runs each.
"""

from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from msgspec import structs

from analysis.allocation import skewed
from benchmarks.cells import Campaign, Cell, Counts
from benchmarks.detection.crowds import Crowd, generate
from benchmarks.detection.families import ERRORS_ONLY
from benchmarks.detection.judged import judged
from benchmarks.detection.streams import Floats, always
from guardian.core.model import Seconds
from guardian.core.objectives import Objectives
from guardian.core.policy import Level, Slo

USERS: Final = Crowd()
FEW: Final = replace(USERS, requests=5.0, session=300.0)
HEALTHY: Final = {
    "30 requests, correlation 5 %": replace(USERS, correlation=0.05),
    "30 requests, correlation 10 %": USERS,
    "30 requests, correlation 30 %": replace(USERS, correlation=0.3),
    "30 requests, 1 % of users fail always": replace(USERS, broken=0.01),
    "30 requests in half an hour": replace(USERS, session=1800.0),
    "30 requests, a heavier tail": replace(USERS, variation=3.0),
    "30 requests, users stay with a pod": replace(USERS, pinned=True),
    "5 requests, correlation 10 %": FEW,
    "5 requests, correlation 30 %": replace(FEW, correlation=0.3),
}
WORSE: Final = {  # and the share that may be missed within 30 minutes
    "5 requests, errors x3": (replace(FEW, effect=3.0), 0.02),
    "30 requests, errors x5": (replace(USERS, effect=5.0), 0.15),
    "30 requests, correlation 5 %, errors x5": (replace(USERS, effect=5.0, correlation=0.05), 0.02),
}
OBJECTIVE: Final = Slo(
    target=0.999,
    breached="below",
    warning=Level(bound=0.999, lasts=Seconds(120.0)),
    critical=Level(bound=0.998, lasts=Seconds(60.0)),
)
CALM: Final = Crowd(weight=always(1.0), canary_pods=1, stable_pods=1, history=0.0, length=1200.0, base=0.001)
"""Users of a canary alone, at half of what the critical level allows."""
AT_HALF: Final = {
    "correlation 10 %": CALM,
    "correlation 30 %": replace(CALM, correlation=0.3),
    "half of the failures by users who fail always": replace(CALM, base=0.0005, broken=0.0005),
}
SHARES: Final = {  # and the part of the weight by which the router really sends
    "as given, sessions of 10 min": (USERS, 1.0),
    "as given, sessions of 30 min": (replace(USERS, session=1800.0), 1.0),
    "as given, 20 rps, a heavier tail": (replace(USERS, rps=20.0, variation=3.0), 1.0),
    "half of what was given": (USERS, 0.5),
}
CHANGE: Final = 900.0
"""Seconds after which the weight goes from 10 to 50 %."""


def growing(t: Floats) -> Floats:
    """10 %, then 50 %."""
    return np.where(t < CHANGE, 0.1, 0.5)


def evidence(seed: int, runs: int, *, name: str) -> Counts:
    """Counts of one crowd, judged by a policy that knows it."""
    crowd = HEALTHY[name] if name in HEALTHY else WORSE[name][0]
    outcome = judged(generate(crowd, runs=runs, seed=seed), structs.replace(ERRORS_ONLY, affinity=crowd.affinity))
    found = outcome.rollbacks()
    return Counts(
        runs=runs,
        events={"rolled back": found, "missed": runs - found, "promoted": outcome.promotions()},
        figures={"rolled back at, s": tuple(float(np.minimum(at, 1e9)) for at in outcome.rolled_back)},
    )


def shares(seed: int, runs: int, *, name: str) -> Counts:
    """Runs in which a look calls the share skewed."""
    users, served = SHARES[name]
    crowd = replace(users, weight=growing)
    sent = replace(crowd, weight=lambda t: served * crowd.weight(t), length=3.0 * CHANGE, base=0.0, correlation=0.0)
    streams = generate(sent, runs=runs, seed=seed)
    times, canary = streams.situation.times, streams.situation.canary
    ours, all_ = streams.requests[:, :, canary].sum(axis=2), streams.requests.sum(axis=2)
    held = np.zeros(runs, dtype=np.bool_)
    for began, ends, former, weight in ((0.0, CHANGE, 0.0, 0.1), (CHANGE, times[-1] + 1.0, 0.1, 0.5)):
        moved = began + crowd.session
        for first, last, low in ((began, min(moved, ends), former), (moved, ends, weight)):
            mine = (times > first) & (times <= last)
            sums = (np.cumsum(each[:, mine], axis=1) for each in (ours, all_))
            for canaries, total in zip(*(each.T for each in sums), strict=True):
                ends_of = (np.full(runs, each) for each in (low, weight))
                held |= skewed(canaries, total, *ends_of, cluster=crowd.affinity.users.largest)
    return Counts(runs=runs, events={"held": int(held.sum()), "missed": int((~held).sum())})


def objectives(seed: int, runs: int, *, name: str, rps: float) -> Counts:
    """Runs in which the critical level is breached within 20 minutes; name: of AT_HALF, "" for a service that fails."""
    crowd = replace(AT_HALF[name] if name else replace(CALM, base=0.02), rps=rps)
    streams, state = generate(crowd, runs=runs, seed=seed), Objectives()
    rows = np.array([state.add(OBJECTIVE, users=crowd.affinity.users) for _ in range(runs)])
    critical = np.zeros(runs, dtype=np.bool_)
    for tick, now in enumerate(streams.situation.times):
        asked, failed = streams.requests[:, tick, 0], streams.bad[:, tick, 0]
        counts = np.zeros((runs, 2, 3))
        counts[:, 0] = np.stack((asked, failed, failed), axis=1)
        state.take(rows, time=np.full(runs, now), counts=counts, live=np.ones(runs))
        critical |= state.rows["state"][rows, 0, 1] == 2.0
    return Counts(runs=runs, events={"critical": int(critical.sum()), "missed": int((~critical).sum())})


def _cells() -> tuple[Cell, ...]:
    healthy = [
        Cell(name=f"healthy: {name}", run=partial(evidence, name=name), at_most={"rolled back": 0.01}, slice_runs=20)
        for name in HEALTHY
    ]
    worse = [
        Cell(
            name=f"worse: {name}", run=partial(evidence, name=name),
            at_most={"missed": missed, "promoted": 0.002}, slice_runs=20,
        )
        for name, (_, missed) in WORSE.items()
    ]  # fmt: skip
    share = [
        Cell(
            name=f"share: {name}", run=partial(shares, name=name),
            at_most={"held": 0.002} if served == 1.0 else {"missed": 0.02}, slice_runs=20,
        )
        for name, (_, served) in SHARES.items()
    ]  # fmt: skip
    calm = [
        Cell(
            name=f"objective at half its threshold: {name}, {rps:g} rps",
            run=partial(objectives, name=name, rps=rps),
            at_most={"critical": 0.001}, chunk=1000, slice_runs=50,
        )
        for name in AT_HALF
        for rps in (0.4, 2.0, 20.0)
    ]  # fmt: skip
    broken = Cell(
        name="objective at ten times its threshold: correlation 10 %, 100 rps",
        run=partial(objectives, name="", rps=100.0),
        at_most={"missed": 0.02}, chunk=1000, slice_runs=50,
    )  # fmt: skip
    return (*healthy, *worse, *share, *calm, broken)


CAMPAIGN: Final = Campaign(
    name="affinity",
    claim="Where users stick to a track and the policy says so, a healthy canary is rolled back in at most 1 % of "
    "rollouts, held for its share in at most 0.2 %, and breaches an objective at half its threshold in at most 0.1 %.",
    cells=_cells(),
    sources=("analysis", "guardian/core", "benchmarks/campaigns", "benchmarks/detection"),
)
