"""Requests a second of the simulator's request grain: ten minutes at 200 requests/s, nothing to wait for.

The reference is SimPy alone with as many events a request (EVENTS): it arrives, begins, has been worked on, ends. Its
times are drawn ahead in one block; no pods, no counters, no scrapes.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from simpy import Environment, Event

from benchmarks.rounds import Bench, Better, Measures
from guardian.core.model import Instant, Seconds
from simulator.chance import Chance
from simulator.library import find, load
from simulator.request.language import Grain
from simulator.request.world import RequestWorld
from simulator.scenario import Scenario
from simulator.units import EVENTS

RATE: Final = 200.0
LASTS: Final = 600.0


def busy() -> Scenario:
    """Return a shipped healthy release, request by request, without history."""
    shipped = load(find("S17")[0], grain=Grain.REQUEST)
    traffic = shipped.spec.traffic.model_copy(update={"rate": RATE})
    changes = {"traffic": traffic, "faults": (), "history": 0.0, "lasts": Seconds(LASTS)}
    return Scenario(metadata=shipped.metadata, spec=shipped.spec.model_copy(update=changes), policy=shipped.policy)


def bare(gaps: list[float], works: list[float]) -> Environment:
    """Return an environment in which every request is a process that waits once."""
    environment = Environment()

    def request(work: float) -> Generator[Event, Any, None]:
        yield environment.timeout(work)

    def users() -> Generator[Event, Any, None]:
        for gap, work in zip(gaps, works, strict=True):
            yield environment.timeout(gap)
            environment.process(request(work))

    environment.process(users())
    return environment


@contextmanager
def ten_minutes() -> Iterator[Measures]:
    """Draw what the reference needs once; ours draws its own while it is timed."""
    scenario, seeds, count = busy(), iter(range(1, 1000)), int(RATE * LASTS)
    chance = np.random.default_rng(1)
    gaps = chance.exponential(1 / RATE, count).tolist()
    works = (0.08 * np.exp(0.5 * chance.standard_normal(count))).tolist()

    def ours() -> float:
        world = RequestWorld(scenario, Chance(next(seeds)))
        began = time.perf_counter()
        world.advance(Instant(world.opening + LASTS))
        return sum(pod.routed for pod in world.pods) / (time.perf_counter() - began)

    def reference() -> float:
        environment = bare(gaps, works)
        began = time.perf_counter()
        environment.run()
        return count / (time.perf_counter() - began)

    yield Measures(ours=ours, reference=reference, detail=lambda: {"events per request": EVENTS})


BENCH: Final = Bench(
    name="simulator-requests",
    unit="requests/s",
    better=Better.HIGHER,
    reference="bare SimPy, as many events a request",
    prepare=ten_minutes,
)
