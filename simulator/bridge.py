"""Lets `async` ports run in SimPy's virtual time: a coroutine becomes a process, sleeping an event.

So platform and telemetry are written once, against the Clock port, for virtual time and for the real daemon.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from simpy import Environment
from simpy.events import Event

from guardian.core.model import Instant

T = TypeVar("T")
Waiting = Generator[Event, Any, T]


class _Until:
    """Awaits one SimPy event."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def __await__(self) -> Generator[Event, Any, None]:
        yield self._event


class VirtualClock:
    """The environment's time as a guardian.ports.Clock; usable only inside `awaited`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def now(self) -> Instant:
        """Return the virtual time in unix seconds."""
        return Instant(float(self._environment.now))

    async def sleep_until(self, at: Instant) -> None:
        """Wait in virtual time."""
        left = at - self._environment.now
        if left > 0:
            await _Until(self._environment.timeout(left))


def awaited(coroutine: Coroutine[Any, Any, T]) -> Waiting[T]:
    """Return what a coroutine returns, from within a process: `yield from` this."""
    try:
        waited_for = coroutine.send(None)
        while True:
            result = yield waited_for
            waited_for = coroutine.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
