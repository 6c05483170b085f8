"""Lets `async` ports run in SimPy's virtual time: a coroutine becomes a process, sleeping an event.

So platform and telemetry are written once, against the Clock port, for virtual time and for the real daemon.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar, cast

from simpy import Environment, Interrupt
from simpy.events import Event

from guardian.core.model import Instant
from guardian.errors import AdapterError, Unavailable

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


def attempted(environment: Environment, call: Coroutine[Any, Any, T], within: float) -> Waiting[T | AdapterError]:
    """Return what a call to a port returns, or the error it raises; what takes longer is cut short.

    within: seconds. Where the process that asks is interrupted, the call is cut short as well.
    """
    process = environment.process(_ended(call))
    try:
        yield process | environment.timeout(within)
    except Interrupt:
        process.interrupt()
        raise
    if process.triggered:
        return cast("T | AdapterError", process.value)
    process.interrupt()
    return Unavailable(f"no answer within {within:g}s")


def _ended(call: Coroutine[Any, Any, T]) -> Waiting[T | AdapterError | None]:
    try:
        return (yield from awaited(call))
    except AdapterError as error:
        return error
    except Interrupt:
        call.close()
        return None
