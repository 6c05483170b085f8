"""Messages of a broker to facts: decoded here, never by the client, so that one bad message blocks nobody.

A message is done (its offset committed) only when the journal holds what followed from it, or the
dead-letter topic holds the message. The next messages are decoded while these become durable.
"""

from __future__ import annotations

import asyncio
from asyncio import Queue, Task
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from guardian.core.facts import Fact
from guardian.core.model import EventRef, Instant
from guardian.errors import AdapterError, EventError
from guardian.ports import Clock, EventSource, Inbox, Receipt, Received
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
        self._ahead: Queue[tuple[Sequence[Received], Task[tuple[Receipt, ...]]]] = Queue(_AHEAD)

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
        for message in received:
            try:
                decoded = self._decode(message, self._clock.now())
            except EventError as error:
                await self._reject(message, error)
                continue
            facts += decoded.facts
            for note in decoded.notes:
                _log.info("event_note", topic=message.topic, offset=message.offset, text=note)
        stored = tasks.create_task(self._inbox.put(facts, wait=True), name="intake-put")
        await asyncio.sleep(0)  # the put begins, so that batches enter the inbox in their order
        await self._ahead.put((received, stored))

    async def _finish(self) -> None:
        while True:
            received, stored = await self._ahead.get()
            await asyncio.wait({stored})
            if stored.cancelled() or stored.exception() is not None:
                continue  # the daemon is stopping: these messages come again
            await self._until_done(received)

    async def _until_done(self, received: Sequence[Received]) -> None:
        try:
            await self._source.done(received)
        except AdapterError as error:
            # The offsets are committed with the next batch; until then the messages are repeats, without effect.
            self._health.report("events", f"offsets are not committed: {error}")

    async def _reject(self, message: Received, error: EventError) -> None:
        """Put the message aside, whatever it takes: it must be there before its offset is committed."""
        self._telemetry.dead_letters.labels(error.reason).inc()
        place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
        _log.warning("event_rejected", reason=error.reason, text=str(error), **place)
        attempt = 0
        while True:
            try:
                await self._source.dead_letter(message, error.reason)
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
