"""Decision events as server-sent events. Each has an id, by which a listener that was cut off goes on.

A listener that cannot keep up is cut off, so that it holds nobody back; its browser connects again by itself.
"""

from __future__ import annotations

import asyncio
from asyncio import Queue
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from guardian.errors import EventError, Unavailable

_BUFFER: Final = 1_000
"""Events a listener may be behind."""
_HEARTBEAT: Final = 15.0  # seconds; proxies cut silent connections


class Told(Protocol):
    """A decision event and where it stands: journal row, and place in that row."""

    @property
    def seq(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def body(self) -> bytes: ...


Replay = Callable[[int], AsyncIterator[Sequence[Told]]]
"""Yields all events after a journal row, as far as the journal goes now."""
Position = tuple[int, int]


class Hub:
    """Gives every listener every event. most: listeners at a time."""

    def __init__(self, *, replay: Replay, most: int) -> None:
        self._replay, self._most = replay, most
        self._listeners: set[Queue[Told | None]] = set()
        self._closed = False

    @property
    def listening(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    async def publish(self, events: Sequence[Told]) -> None:
        """Hand events to all who listen; never waits."""
        for queue in tuple(self._listeners):
            for event in events:
                if queue.full():
                    self._cut(queue)
                    break
                queue.put_nowait(event)

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for queue in tuple(self._listeners):
            self._cut(queue)

    def _cut(self, queue: Queue[Told | None]) -> None:
        self._listeners.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def listen(self, after: Position | None) -> AsyncIterator[bytes]:
        """Return frames: first what came after `after` and is in the journal, then what comes.

        Raises Unavailable when too many listen already, or the daemon is stopping.
        """
        if self._closed or len(self._listeners) >= self._most:
            what = "the guardian is stopping" if self._closed else f"{self._most} listeners are connected already"
            raise Unavailable(what, remedy="try again later; limits.streams in guardian.yaml says how many may listen")
        return self._frames(after)

    async def _frames(self, after: Position | None) -> AsyncIterator[bytes]:
        with self._listener() as queue:
            yield b"retry: 1000\n\n"
            last = after or (0, 0)
            if after is not None:
                async for events in self._replay(after[0] - 1):
                    for event in events:
                        if (event.seq, event.index) > last:
                            last = (event.seq, event.index)
                            yield frame(event)
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        came = await queue.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if came is None:
                    return
                if (came.seq, came.index) > last:
                    last = (came.seq, came.index)
                    yield frame(came)

    @contextmanager
    def _listener(self) -> Iterator[Queue[Told | None]]:
        queue: Queue[Told | None] = Queue(_BUFFER)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)


def frame(event: Told) -> bytes:
    """Return one event as it goes over the wire; its JSON has no line breaks."""
    return b"id: %d.%d\nevent: %s\ndata: %s\n\n" % (event.seq, event.index, event.type.encode(), event.body)


def position(last_event_id: str) -> Position | None:
    """Return where a listener stopped, as it says it; a bare journal row means all of that row was seen.

    Raises EventError when it is no such id.

    >>> position("12.1"), position("12"), position("")
    ((12, 1), (12, 1048576), None)
    """
    if not last_event_id:
        return None
    seq, dot, index = last_event_id.partition(".")
    if len(last_event_id) < 40 and seq.isdecimal() and (index.isdecimal() or not dot):
        return int(seq), int(index) if dot else 1 << 20
    raise EventError(
        f"Last-Event-ID '{last_event_id[:40]}' is not an id of this stream",
        remedy="send the id of the last event you had, or leave it out to begin now",
    )
