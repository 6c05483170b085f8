"""What serves a request: workers and a queue before them, and calls to others with patience and a memory.

A pod and a dependency are both servers. Knows no metrics, no users and no faults: their effects are attributes that
others set.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from simpy import Environment, Event, Process, Timeout

from simulator.request.language import Capacity, Patience

Steps = Generator[Event, Any, bool]
"""Steps of a SimPy process that ends with whether it went well."""


def ask(environment: Environment, attempt: Callable[[], Steps], patience: Patience, luck: Callable[[], float]) -> Steps:
    """Try until one attempt goes well, or patience ends. luck: draws 0..1, spread the waits before retries."""
    for number in range(patience.retries + 1):
        if number:
            yield Timeout(environment, patience.backoff * 2 ** (number - 1) * (1 + luck()) / 2)
        if (yield from _within(environment, attempt(), patience.timeout)):
            return True
    return False


def _within(environment: Environment, work: Steps, limit: float) -> Steps:
    """Wait so long for work at most; it goes on when nobody waits any more, as a server's does."""
    if limit == math.inf:
        return (yield from work)
    answer = Event(environment)

    def carried() -> Generator[Event, Any, None]:
        well = yield from work
        if not answer.triggered:
            answer.succeed(well)

    def given_up(_: Event) -> None:
        if not answer.triggered:
            answer.succeed(value=False)

    Process(environment, carried())
    Timeout(environment, limit).callbacks.append(given_up)
    well: bool = yield answer
    return well


class Server:
    """Works on as many requests at once as it has workers; the others wait in line, or are refused.

    life: goes up when the process dies, and what it was at work on is lost. stopped: until when everything stands
    still; paused: seconds it has stood still so far. worked: seconds of work begun so far.
    """

    __slots__ = ("busy", "environment", "life", "lines", "paused", "places", "stopped", "waiting", "worked", "workers")

    def __init__(self, environment: Environment, capacity: Capacity) -> None:
        self.environment = environment
        self.workers = math.inf if capacity.workers is None else capacity.workers
        self.places = math.inf if capacity.queue is None else capacity.queue
        self.waiting: deque[Event] = deque()
        self.busy = self.life = 0
        self.paused, self.stopped, self.worked = 0.0, -math.inf, 0.0
        self.lines: Sequence[Line] = ()

    def serve(self, work: float, *, fails: bool, slot: int) -> Steps:
        """Wait for a worker, work so many seconds, call others; slot: of the pod that the user met.

        False: refused, failed, or the process died.
        """
        environment, life = self.environment, self.life
        began = environment.now
        if self.busy < self.workers:
            self.busy += 1
        elif len(self.waiting) < self.places:
            turn = Event(environment)
            self.waiting.append(turn)
            yield turn
            if self.life != life:
                return False
        else:
            self.note(began, well=False)
            return False
        self.worked += work
        paused, late = self.paused, self.stopped - environment.now
        yield Timeout(environment, work + late if late > 0 else work)
        while self.paused > paused:
            paused, late = self.paused, self.paused - paused
            yield Timeout(environment, late)
        well = not fails
        for line in self.lines:
            well = (yield from line.call(slot)) and well
        if self.life != life:
            return False
        if self.waiting:
            self.waiting.popleft().succeed()  # the next in line takes over the worker
        else:
            self.busy -= 1
        self.note(began, well=well)
        return well

    def note(self, began: float, *, well: bool) -> None:
        """Be told of a request that ended; a process that dies notes nothing."""

    def pause(self, seconds: float) -> None:
        """Stand still from now on, or on top of what it stands still already."""
        self.paused += seconds
        self.stopped = max(self.stopped, self.environment.now) + seconds

    def die(self) -> None:
        """Lose all that is being worked on and waits, and what was remembered."""
        self.life += 1
        self.busy, self.stopped = 0, -math.inf
        waiting, self.waiting = self.waiting, deque()
        for turn in waiting:
            turn.succeed()
        for line in self.lines:
            line.known.clear()


class Called(Server):
    """A dependency: a server that draws its own work. errors, slow: chance to fail and factor on work, by slot."""

    __slots__ = ("errors", "luck", "slow", "work")

    def __init__(
        self, environment: Environment, capacity: Capacity, *, work: Callable[[], float], luck: Callable[[], float]
    ) -> None:
        super().__init__(environment, capacity)
        self.work, self.luck = work, luck
        self.errors: list[float] = []
        self.slow: list[float] = []

    def answer(self, slot: int) -> Steps:
        """Serve one call that a request to the pod of this slot leads to."""
        return self.serve(self.work() * self.slow[slot], fails=self.luck() < self.errors[slot], slot=slot)


@dataclass(slots=True, kw_only=True)
class Line:
    """From one caller to one dependency. key: draws what is asked for; None without a cache. known: what is cached."""

    to: Called
    patience: Patience
    luck: Callable[[], float]
    key: Callable[[], int] | None = None
    known: set[int] = field(default_factory=set)

    def call(self, slot: int) -> Steps:
        """Ask, unless the answer is known; remember a good one."""
        key = self.key() if self.key is not None else -1
        if key in self.known:
            return True
        well = yield from ask(self.to.environment, lambda: self.to.answer(slot), self.patience, self.luck)
        if well and key >= 0:
            self.known.add(key)
        return well
