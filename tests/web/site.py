"""The API over a real daemon in memory, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx

from guardian.adapters.journal.memory import MemoryJournal
from guardian.app.connections import Connections
from guardian.app.desk import desk_of
from guardian.config.settings import Settings
from guardian.runtime.daemon import Daemon
from guardian.runtime.outbox import Outlet
from guardian.web.api import build_api
from guardian.web.desk import SampleTaker
from guardian.web.stream import Hub, Told
from tests.runtime.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Site:
    """A client of the API, and what is behind it."""

    client: httpx.AsyncClient
    stage: Stage
    daemon: Daemon
    hub: Hub
    journal: MemoryJournal


@asynccontextmanager
async def site(
    *,
    token: Callable[[], str] | None = None,
    takers: Sequence[SampleTaker] = (),
    room: int = 1000,
    host: str = "127.0.0.1",
    streams: int = 10,
    settings: Settings | None = None,
) -> AsyncIterator[Site]:
    """Serve the API of a daemon over memory until the end.

    settings: with environments, metrics are looked for where they say.
    """
    journal = MemoryJournal()
    stage = Stage(journal=journal, room=room)
    daemons: list[Daemon] = []

    def replay(after: int) -> AsyncIterator[Sequence[Told]]:
        return daemons[0].replay(after)

    hub = Hub(replay=replay, most=streams)
    stage.outlets = [Outlet(name="stream", publish=hub.publish, durable=False)]
    async with stage.running() as daemon:
        daemons.append(daemon)
        settings = settings or Settings()
        connections = Connections(settings, clock=stage.clock)
        stage.sources = connections.source if settings.environments else None
        desk = desk_of(settings, daemon, stage.outside(), hub, connections)
        app = build_api(replace(desk, token=token, takers=tuple(takers)))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            yield Site(client=client, stage=stage, daemon=daemon, hub=hub, journal=journal)
        hub.close()
