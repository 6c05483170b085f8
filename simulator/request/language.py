"""What a scenario may say of how requests are served: the section `request`. Values only.

A request is routed to a pod, waits for a worker, works (`service.latency`, bent by faults), calls what it needs, and
answers. Nothing here says how long a request takes in the end, or how many fail: that follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, model_validator

from guardian.config.fields import Name
from guardian.config.findings import complaint, hint
from simulator.faults import Fault, MemoryLeak, Outage
from simulator.units import FOREVER, Duration, Metric, Part, Portion, Spread

Positive = Annotated[Duration, Field(gt=0)]
Workers = Annotated[int, Field(ge=1, le=100_000)]
MOST_EVENTS: Final = 1e9
"""Events a run in request grain may have: some hours of one core."""


class Grain(StrEnum):
    """How finely a run is simulated: counts per scrape, or request by request."""

    FLOW = "flow"
    REQUEST = "request"


class Patience(Part):
    """How long a caller waits for an answer, and how often it asks again.

    backoff: before the first retry, doubled before each further one; a caller waits between half of it and all.
    """

    timeout: Positive = FOREVER
    retries: Annotated[int, Field(ge=0, le=20)] = 0
    backoff: Duration = 0.1


class Cache(Part):
    """Answers a caller remembers, each pod its own: empty when a pod starts, filled by what was asked.

    keys: how many different things are asked for; the k-th is asked in proportion to k ** -skew (Zipf).
    """

    keys: Annotated[int, Field(ge=1, le=10_000_000)]
    skew: Annotated[float, Field(ge=0, le=5)] = 1.0


class Call(Patience):
    """A call to a dependency, by each request while it holds its worker; with a cache, for what is not in it only."""

    to: Name
    cache: Cache | None = None


class Capacity(Part):
    """workers: requests worked on at once, if there is a limit. queue: how many more may wait; the next is refused."""

    workers: Workers | None = None
    queue: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    calls: tuple[Call, ...] = ()

    @model_validator(mode="after")
    def _queue_is_before_something(self) -> Capacity:
        if self.queue is not None and self.workers is None:
            raise complaint("a `queue` without `workers` is never used", "add `workers`, or remove it", at=("queue",))
        return self


class Dependency(Capacity):
    """Something that is called; one for both tracks. Its own work is log-normal; errors: share that fails."""

    name: Name
    median: Positive
    sigma: Spread = 0.3
    errors: Portion = 0.0


class Memory(Part):
    """A heap, in shares of the pod's limit. live: in use for good. garbage: left by each request.

    A full heap is collected: everything stands still for `pause` x live. A heap that stays full kills the pod; it is
    back after `restart`, empty-handed. metric: gauge that shows the share in use after the last collection.
    """

    live: Portion
    garbage: Portion
    pause: Duration
    restart: Duration = 20.0
    metric: Metric = "process_memory_live_ratio"

    @model_validator(mode="after")
    def _fits(self) -> Memory:
        if self.live + self.garbage >= FULL:
            what = f"live {self.live:.0%} and garbage {self.garbage:.0%} of one request do not fit into {FULL:.0%}"
            raise complaint(what, "write less", at=("live",))
        return self


FULL: Final = 0.98
"""Share of the limit in live use at which a pod is killed."""


class Autoscaler(Part):
    """Each track has as many pods as keep `busy` of their workers busy; `service.pods` are the most.

    least: how many there are at the start. every: between two looks. ready: from the order until a pod serves.
    settle: how long fewer pods must have been enough before there are fewer.
    """

    least: Annotated[int, Field(ge=1, le=1000)] = 1
    busy: Annotated[Portion, Field(gt=0)]
    every: Positive = 15.0
    ready: Duration = 20.0
    settle: Duration = 300.0


class Loop(Part):
    """Clients that ask, wait for the answer, think and ask again: who is slow is asked less. Beside `traffic`.

    thinks: on average; exponential. keeps_track: each client stays with one track as long as weights do, and moves with
    them; otherwise every request goes where the router sends it.
    """

    clients: Annotated[int, Field(ge=1, le=100_000)]
    thinks: Positive
    keeps_track: bool = True


class Requests(Capacity):
    """The section `request`; workers, queue and calls are those of each pod. faults: instead of the scenario's.

    cpu: gauge that shows how many workers were at work on average since the last scrape, as a share of all where their
    number has a limit; waiting for others is no work.
    """

    clients: Patience = Patience()
    loops: tuple[Loop, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    memory: Memory | None = None
    cpu: Metric | None = None
    autoscaler: Autoscaler | None = None
    faults: tuple[Fault, ...] | None = None

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Requests:
        names = [one.name for one in self.dependencies]
        for number, name in enumerate(names):
            if name in names[:number]:
                what = f"two dependencies are named '{name}'"
                raise complaint(what, "name each once", at=("dependencies", number, "name"))
        for path, call in self._calls():
            if call.to not in names:
                remedy = hint(call.to, names) if names else "write it under `dependencies`"
                raise complaint(f"there is no dependency '{call.to}'", remedy, at=(*path, "to"))
        for path, ring in self._rings():
            what = f"the calls go round in a circle: {' -> '.join(ring)}"
            raise complaint(what, "remove one of them: a request would never end", at=path)
        if self.autoscaler is not None and self.workers is None:
            raise complaint("an autoscaler needs workers that can be busy", "add `workers`", at=("autoscaler",))
        for path, what, remedy in missing_causes(self, self.faults or ()):
            raise complaint(what, remedy, at=path)
        return self

    def _calls(self) -> Iterator[tuple[tuple[str | int, ...], Call]]:
        """Yield every call, and where it is written."""
        for at, call in enumerate(self.calls):
            yield ("calls", at), call
        for number, one in enumerate(self.dependencies):
            for at, call in enumerate(one.calls):
                yield ("dependencies", number, "calls", at), call

    def _rings(self) -> Iterator[tuple[tuple[str | int, ...], list[str]]]:
        """Yield circles among the calls: where the one that closes it is written, and the way round."""
        edges = {one.name: [call.to for call in one.calls] for one in self.dependencies}
        for number, one in enumerate(self.dependencies):
            for at, call in enumerate(one.calls):
                way = _way(edges, call.to, one.name)
                if way:
                    yield ("dependencies", number, "calls", at), [one.name, *way]


def _way(edges: dict[str, list[str]], start: str, goal: str) -> list[str]:
    """Return the shortest way along the calls, both ends included; empty where none is."""
    ways, known = [[start]], {start}
    for way in ways:  # grows while it is walked: breadth first
        if way[-1] == goal:
            return way
        fresh = [name for name in edges[way[-1]] if name not in known]
        known.update(fresh)
        ways.extend([*way, name] for name in fresh)
    return []


def missing_causes(
    section: Requests | None, faults: tuple[Fault, ...]
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield faults whose cause the section does not have: where in the file, what, and what to do."""
    names = [one.name for one in section.dependencies] if section is not None else []
    for number, fault in enumerate(faults):
        if isinstance(fault, Outage) and fault.of not in names:
            remedy = hint(fault.of, names) if names else "write it under `request: dependencies:`"
            yield ("faults", number, "of"), f"there is no dependency '{fault.of}'", remedy
        if isinstance(fault, MemoryLeak) and (section is None or section.memory is None):
            remedy = "add `request: memory: {live: 50%, garbage: 0.1%, pause: 100ms}`"
            yield ("faults", number), "a memory leak in pods without a `memory`", remedy
