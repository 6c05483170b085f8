"""Time of a simulated half hour at 2,000 requests/s, decisions included: scrapes every 10 s, 6 pods, 2 guardrails.

The release is healthy, so every look of the half hour is made. The reference draws the same counts with numpy alone: no
world around them, no engine, no decision.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from benchmarks.rounds import Bench, Better, Measures
from guardian.core.model import Seconds, Verdict
from simulator.library import find, load
from simulator.run import run
from simulator.scenario import Scenario, Spec
from simulator.service import Pods

RATE: Final = 2000.0
LASTS: Final = 1800.0
PODS: Final = Pods(stable=4, canary=2)


def half_hour(*, every: float = 10.0) -> Scenario:
    """Return a shipped healthy release, made busier, that is watched for half an hour and never decided before.

    every: seconds between two scrapes.
    """
    shipped = load(find("S17")[0])
    service = shipped.spec.service.model_copy(update={"pods": PODS})
    traffic = shipped.spec.traffic.model_copy(update={"rate": RATE})
    truth = shipped.spec.truth.model_copy(update={"verdict": Verdict.HOLD, "within": None})
    scrape = shipped.spec.scrape.model_copy(update={"every": every})
    changes = {
        "service": service, "traffic": traffic, "truth": truth, "faults": (), "lasts": Seconds(LASTS), "scrape": scrape
    }  # fmt: skip
    spec: Spec = shipped.spec.model_copy(update=changes)
    return Scenario(metadata=shipped.metadata, spec=spec, policy=shipped.policy)


def drawn(scenario: Scenario) -> None:
    """Draw requests, failures and buckets of every scrape of history and run, for all pods at once."""
    random = np.random.default_rng(1)
    rounds = int((scenario.spec.history + LASTS) / scenario.spec.scrape.every)
    latency = scenario.spec.service.latency
    for _ in range(rounds):
        total = random.poisson(np.full(PODS.stable + PODS.canary, RATE * scenario.spec.scrape.every / 6))
        random.binomial(total, 0.005)
        random.multinomial(total, latency.shares(np.ones(len(total)), np.full(len(total), latency.tail.share)))


@contextmanager
def scenario(every: float = 10.0) -> Iterator[Measures]:
    """Read the scenario once; each run sets everything else up anew."""
    busy = half_hour(every=every)
    seeds = iter(range(1, 1000))

    def ours() -> float:
        began = time.perf_counter()
        run(busy, next(seeds))
        return time.perf_counter() - began

    def reference() -> float:
        began = time.perf_counter()
        drawn(busy)
        return time.perf_counter() - began

    yield Measures(ours=ours, reference=reference)


BENCH: Final = Bench(
    name="simulator", unit="s", better=Better.LOWER, reference="numpy drawing the same counts", prepare=scenario
)
