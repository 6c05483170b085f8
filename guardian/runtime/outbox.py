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
from guardian.errors import GuardianError
from guardian.ports import EventSink, Journal
from guardian.runtime.feed import Feed
from guardian.runtime.health import Health
from guardian.runtime.story import Story, Told
from guardian.runtime.telemetry import Telemetry

_log = structlog.get_logger(__name__)
_DEADLINE: Final = Seconds(30.0)
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
CURSOR: Final = "cursor/"
"""Prefix of the journal notes that say how far each sink is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A sink by name. durable: its cursor is kept, so it misses nothing; else it begins with what comes next."""

    name: str
    publish: Callable[[Sequence[Told]], Awaitable[None]]
    durable: bool = True


def outlet_of(name: str, sink: EventSink) -> Outlet:
    """Return the outlet that gives (key, event) pairs to a sink."""

    async def publish(events: Sequence[Told]) -> None:
        await sink.publish([(told.key, told.body) for told in events])

    return Outlet(name=name, publish=publish)


class Outbox:
    """Brings each outlet up to date and keeps it there. `stories`: where each begins."""

    def __init__(self, *, journal: Journal, feed: Feed, telemetry: Telemetry, health: Health) -> None:
        self._journal, self._feed, self._telemetry, self._health = journal, feed, telemetry, health

    async def run(self, outlets: Sequence[tuple[Outlet, Story]]) -> None:
        """Serve all outlets until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for outlet, story in outlets:
                tasks.create_task(self._serve(outlet, story), name=f"outbox-{outlet.name}")

    async def _serve(self, outlet: Outlet, story: Story) -> None:
        sent = story.seq
        self._telemetry.behind.labels(outlet.name).set_function(lambda: max(0, self._feed.head - sent))
        while True:
            events = story.tell(await self._feed.after(story.seq))
            if events:
                await self._publish(outlet, events)
            sent = story.seq
            if events and outlet.durable:
                self._journal.append((), notes={CURSOR + outlet.name: b"%d" % sent})

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
                await self._wait(outlet, str(error), attempt)
                attempt += 1
            except Exception as error:  # noqa: BLE001  a sink's mistake must not end the daemon
                _log.exception("sink_failed", sink=outlet.name)
                await self._wait(outlet, repr(error), attempt)
                attempt += 1
            else:
                self._health.clear(f"sink {outlet.name}")
                self._telemetry.published.labels(outlet.name).inc(len(events))
                return

    async def _wait(self, outlet: Outlet, text: str, attempt: int) -> None:
        self._health.report(f"sink {outlet.name}", f"decision events wait: {text}")
        await asyncio.sleep(_BACKOFF[min(attempt, len(_BACKOFF) - 1)])
