"""Decision events to their sinks, read off the journal after each sink's cursor. A sink that is down holds only itself.

Delivery is at least once: after a crash some events are sent again, byte for byte the same, under the same
id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from guardian.core.model import Seconds
from guardian.errors import GuardianError, Unavailable
from guardian.ports import EventSink, Journal
from guardian.runtime.feed import Decided, Feed, Told
from guardian.runtime.health import Health
from guardian.runtime.story import Story, remembered, told
from guardian.runtime.telemetry import Telemetry

_log = structlog.get_logger(__name__)
_DEADLINE: Final = Seconds(30.0)
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_PATIENCE: Final = 3600.0
"""Most seconds that a sink may have us wait before it is asked again."""
CURSOR: Final = "cursor/"
"""Prefix of the journal notes that say how far each sink is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A sink by name. durable: its cursor is kept, so it misses nothing; else it begins with what comes next.

    listening: whether anybody takes events now; while nobody does, none are made for it. A durable sink always listens.
    """

    name: str
    publish: Callable[[Sequence[Told]], Awaitable[None]]
    durable: bool = True
    listening: Callable[[], bool] = lambda: True


def outlet_of(name: str, sink: EventSink) -> Outlet:
    """Return the outlet that gives (key, event) pairs to a sink."""

    async def publish(events: Sequence[Told]) -> None:
        await sink.publish([(event.key, event.body) for event in events])

    return Outlet(name=name, publish=publish)


class Outbox:
    """Brings each outlet up to date and keeps it there. story_at: gives one who fell far behind a world."""

    def __init__(
        self,
        *,
        journal: Journal,
        feed: Feed,
        story_at: Callable[[int], Awaitable[Story]],
        telemetry: Telemetry,
        health: Health,
    ) -> None:
        self._journal, self._feed, self._telemetry, self._health = journal, feed, telemetry, health
        self._story_at = story_at

    async def run(self, outlets: Sequence[tuple[Outlet, Story]]) -> None:
        """Serve all outlets until cancelled, each from where its story stands."""
        async with asyncio.TaskGroup() as tasks:
            for outlet, story in outlets:
                tasks.create_task(self._serve(outlet, story), name=f"outbox-{outlet.name}")

    async def _serve(self, outlet: Outlet, begin: Story) -> None:
        sent = begin.seq
        story: Story | None = begin
        fell_behind = False
        self._telemetry.behind.labels(outlet.name).set_function(lambda: max(0, self._feed.head - sent))
        while True:
            rows = await self._feed.after(sent)
            if story is None and not remembered(rows):
                story, fell_behind = await self._story_at(sent), True  # from here on it folds for itself
            elif not fell_behind and remembered(rows):
                story = None  # it has caught up after a start, and goes on with what the engine remembers
            events = self._events(outlet, story, rows)
            if events:
                await self._publish(outlet, events)
            sent = rows[-1].seq
            if events and outlet.durable:
                self._journal.append((), notes={CURSOR + outlet.name: b"%d" % sent})

    @staticmethod
    def _events(outlet: Outlet, story: Story | None, rows: Sequence[Decided]) -> Sequence[Told]:
        if not outlet.durable and not outlet.listening():
            if story is not None:
                story.skip(rows)
            return ()
        return story.tell(rows) if story is not None else told(rows)

    async def _publish(self, outlet: Outlet, events: Sequence[Told]) -> None:
        """Give events to the sink until it has them."""
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(_DEADLINE):
                    await outlet.publish(events)
            except TimeoutError:
                await self._wait(outlet, f"no answer within {_DEADLINE:g}s", attempt)
                attempt += 1
            except GuardianError as error:
                asked = error.after if isinstance(error, Unavailable) else None
                await self._wait(outlet, str(error), attempt, least=asked or 0.0)
                attempt += 1
            except Exception as error:  # noqa: BLE001  a sink's mistake must not end the daemon
                _log.exception("sink_failed", sink=outlet.name)
                await self._wait(outlet, repr(error), attempt)
                attempt += 1
            else:
                self._health.clear(f"sink {outlet.name}")
                self._telemetry.published.labels(outlet.name).inc(len(events))
                return

    async def _wait(self, outlet: Outlet, text: str, attempt: int, *, least: float = 0.0) -> None:
        """Wait before the next attempt. least: what the sink asked for, in seconds."""
        self._health.report(f"sink {outlet.name}", f"decision events wait: {text}")
        await asyncio.sleep(max(_BACKOFF[min(attempt, len(_BACKOFF) - 1)], min(least, _PATIENCE)))
