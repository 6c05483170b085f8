"""Events in memory: a source fed by `put`, a sink that keeps what it is given. For runs without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from guardian.adapters._offsets import Progress
from guardian.ports import Received

TOPIC = "memory"


class MemorySource:
    """EventSource that gives what `put` was called with, in order, and again from `committed` after a new start."""

    def __init__(self) -> None:
        self.dead_letters: list[tuple[Received, str]] = []
        self.committed = 0
        """Offset of the next message wanted: everything before it is done."""
        self._messages: list[Received] = []
        self._progress = Progress()
        self._grown = asyncio.Event()

    def put(self, body: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> Received:
        """Add a message; returns it as it will be given."""
        message = Received(body=body, headers=tuple(headers), topic=TOPIC, partition=0, offset=len(self._messages))
        self._messages.append(message)
        self._grown.set()
        return message

    async def messages(self) -> AsyncIterator[Sequence[Received]]:
        """Give all messages that are not done, then further ones as they come."""
        given = self.committed
        self._progress = Progress()
        while True:
            if given < len(self._messages):
                found = self._messages[given:]
                given = len(self._messages)
                for message in found:
                    self._progress.deliver(message.offset)
                yield found
            else:
                self._grown.clear()
                await self._grown.wait()

    async def done(self, received: Sequence[Received]) -> None:
        """Let the offset move past these."""
        for message in received:
            self._progress.finish(message.offset)
        offset = self._progress.committable()
        if offset is not None:
            self.committed = max(self.committed, offset)

    async def dead_letter(self, received: Received, reason: str) -> None:
        """Keep a message that cannot be understood, then let the offset move past it."""
        self.dead_letters.append((received, reason))
        await self.done([received])


class MemorySink:
    """EventSink that keeps the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, bytes]] = []

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Keep (key, CloudEvents JSON) pairs in order."""
        self.events.extend(events)
