"""Messages of a broker to facts: decoded here, never by the client, so that one bad message blocks nobody.

A message is done (its offset committed) only when the journal holds what followed from it, or the
dead-letter topic holds the message. The next messages are decoded while these become durable.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from guardian.core.facts import Fact
from guardian.core.model import EventRef, Instant
from guardian.errors import AdapterError, EventError
from guardian.ports import Clock, EventSource, Inbox, Received
from guardian.runtime.health import Health
from guardian.runtime.telemetry import Telemetry
from guardian.wire import Decoded

_log = structlog.get_logger(__name__)
_AT_ONCE: Final = 64
"""Messages decoded and concluded before other tasks get their turn; some 5 ms."""
_AHEAD: Final = 64
"""Batches decoded and waiting for the journal."""
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0)

Decode = Callable[[Received, Instant], Decoded]
"""Reads one message, given when it came. Raises EventError."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """Messages that were decoded, and the tasks that store what they say or put them aside."""

    received: Sequence[Received]
    stored: Sequence[Task[Any]]

    @property
    def over(self) -> bool:
        """Whether nothing of it is under way."""
        return all(task.done() for task in self.stored)

    @property
    def durable(self) -> Sequence[Received]:
        """The messages if all are safe; none when the daemon is stopping: they come again."""
        safe = all(not task.cancelled() and task.exception() is None for task in self.stored)
        return self.received if safe else ()


class Intake:
    """Brings what an event source gives to the inbox until cancelled."""

    def __init__(
        self,
        *,
        source: EventSource,
        decode: Decode,
        inbox: Inbox,
        clock: Clock,
        telemetry: Telemetry,
        health: Health,
    ) -> None:
        self._source, self._decode, self._inbox, self._clock = source, decode, inbox, clock
        self._telemetry, self._health = telemetry, health
        self._ahead: deque[_Ahead] = deque()
        self._places, self._grown = asyncio.Semaphore(_AHEAD), asyncio.Event()

    async def run(self) -> None:
        """Take messages; go on after the broker was away."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._finish(), name="intake-done")
            attempt = 0
            while True:
                try:
                    async for received in self._source.messages():
                        self._health.clear("events")
                        attempt = 0
                        for start in range(0, len(received), _AT_ONCE):
                            await self._take(received[start : start + _AT_ONCE], tasks)
                except AdapterError as error:
                    self._health.report("events", f"no deploy events from the broker: {error}")
                await asyncio.sleep(_BACKOFF[min(attempt, len(_BACKOFF) - 1)])
                attempt += 1

    async def _take(self, received: Sequence[Received], tasks: asyncio.TaskGroup) -> None:
        facts: list[Fact] = []
        rejected: list[tuple[Received, EventError]] = []
        now = self._clock.now()
        for message in received:
            try:
                decoded = self._decode(message, now)
            except EventError as error:
                rejected.append((message, error))
                continue
            facts += decoded.facts
            for note in decoded.notes:
                _log.info("event_note", topic=message.topic, offset=message.offset, text=note)
        stored: list[Task[Any]] = [tasks.create_task(self._inbox.put(facts, wait=True), name="intake-put")]
        if rejected:
            stored.append(tasks.create_task(self._reject(rejected), name="dead-letters"))
        await asyncio.sleep(0)  # the put begins, so that batches enter the inbox in their order
        self._ahead.append(_Ahead(received, stored))
        self._grown.set()
        await self._places.acquire()

    async def _finish(self) -> None:
        """Tell the source what is done: at once all that has become durable meanwhile."""
        while True:
            while not self._ahead:
                self._grown.clear()
                await self._grown.wait()
            await asyncio.wait(self._ahead[0].stored)
            done: list[Received] = []
            while self._ahead and self._ahead[0].over:
                done += self._ahead.popleft().durable
                self._places.release()
            if done:
                await self._until_done(done)

    async def _until_done(self, received: Sequence[Received]) -> None:
        try:
            await self._source.done(received)
        except AdapterError as error:
            # The offsets are committed with the next batch; until then the messages are repeats, without effect.
            self._health.report("events", f"offsets are not committed: {error}")

    async def _reject(self, rejected: Sequence[tuple[Received, EventError]]) -> None:
        """Put messages aside, whatever it takes: they must be there before their offsets are committed."""
        for message, error in rejected:
            self._telemetry.dead_letters.labels(error.reason).inc()
            place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            _log.warning("event_rejected", reason=error.reason, text=str(error), **place)
            await self._put_aside(message, error.reason)

    async def _put_aside(self, message: Received, reason: str) -> None:
        attempt = 0
        while True:
            try:
                await self._source.dead_letter(message, reason)
            except AdapterError as problem:
                self._health.report("dead-letter", f"a rejected message cannot be put aside: {problem}")
                await asyncio.sleep(_BACKOFF[min(attempt, len(_BACKOFF) - 1)])
                attempt += 1
            else:
                self._health.clear("dead-letter")
                return


def fallback_of(message: Received) -> EventRef:
    """Return the identity of a message that carries none of its own: where it stands in its topic."""
    return EventRef(source=f"kafka/{message.topic}", id=f"{message.partition}/{message.offset}")
