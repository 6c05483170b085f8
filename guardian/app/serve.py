"""One daemon from start to stop: lock, journal, policies, engine, web, signals.

A stop (SIGTERM, SIGINT or the event handed in) takes nothing more, stores what was taken and lets go of
everything; a journal that gives up ends the process with JournalError, nothing acknowledged that is not
stored.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from guardian.adapters.journal.sqlite import SqliteJournal
from guardian.app.connections import Connections
from guardian.app.desk import desk_of
from guardian.app.kafka import link_of
from guardian.app.notices import Notices
from guardian.app.policies import PolicyFolder
from guardian.app.watched import watched
from guardian.config.policy import load_policies
from guardian.config.settings import Settings
from guardian.core.model import Seconds
from guardian.core.policies import Policies
from guardian.ports import Clock, Journal
from guardian.runtime.daemon import Daemon, Limits, Outside
from guardian.runtime.equipment import Equip, Sources
from guardian.runtime.lock import folder_lock
from guardian.runtime.logs import DecisionLog
from guardian.runtime.monitor import Monitor, Watched
from guardian.runtime.outbox import Outlet
from guardian.runtime.steady import SteadyClock
from guardian.runtime.story import Told
from guardian.runtime.taping import Recording
from guardian.runtime.telemetry import Telemetry
from guardian.web.api import build_api
from guardian.web.server import WebServer, bind
from guardian.web.stream import Hub

_log = structlog.get_logger(__name__)
JOURNAL = "journal.sqlite"
"""Name of the journal in the data folder."""
TAPES = "tapes"
"""Name of the folder of tapes there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A world to stand in for the one that guardian.yaml names: the demo's, or a test's."""

    clock: Clock
    equip: Equip
    sources: Sources


class _Stopped(Exception):
    """The daemon was asked to stop, and has."""


async def serve(
    settings: Settings,
    *,
    platform: Platform | None = None,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run the daemon of these settings until it is stopped.

    stop: stops it, beside the signals. ready: called once with the address when events are taken. Raises
    ConfigError, PolicyError or Unavailable (the address) before it serves, JournalError when the data folder is
    in use, or the journal cannot be read or written.
    """
    stop = stop if stop is not None else asyncio.Event()
    with folder_lock(settings.data):
        policies = Policies(load_policies(settings.policies))
        async with _journal(settings.data / JOURNAL) as journal, AsyncExitStack() as stack:
            clock = platform.clock if platform is not None else SteadyClock()
            connections = Connections(settings, clock=clock)
            stack.push_async_callback(connections.close)
            connections.watch(policies)
            notices = Notices(settings, clock=clock)
            stack.push_async_callback(notices.close)
            await notices.begin(journal)
            life = _Life(settings, connections, journal, policies, platform, clock, notices)
            if life.kafka is not None:
                stack.push_async_callback(life.kafka.close)
            try:
                await life.run(stop, ready)
            except* _Stopped:
                _log.info("stopped")


class _Life:
    """The objects of one daemon, and the tasks they run in."""

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        journal: Journal,
        policies: Policies,
        platform: Platform | None,
        clock: Clock,
        notices: Notices,
    ) -> None:
        self.kafka = link_of(settings)
        self._settings, self._connections = settings, connections
        self._hub = Hub(replay=self._replay, most=settings.limits.streams)
        telemetry = Telemetry()
        self._outside = Outside(
            clock=clock,
            journal=journal,
            log=DecisionLog(sys.stderr.buffer, level=settings.log),
            equip=platform.equip if platform is not None else connections.equip,
            sources=platform.sources if platform is not None else connections.source,
            events=self.kafka.events if self.kafka is not None else None,
            decode=self.kafka.decode if self.kafka is not None else None,
            outlets=[*self._outlets(), *notices.outlets],
            recording=recording_of(settings),
        )
        limits = Limits(
            room=settings.limits.waiting,
            checkpoint=Seconds(settings.intervals.checkpoint),
            stop=Seconds(settings.intervals.stop),
        )
        self._daemon = Daemon(outside=self._outside, policies=policies, limits=limits, telemetry=telemetry)
        self._monitor = self._monitored(telemetry)
        self._notices = notices
        self._folder = PolicyFolder(
            settings.policies,
            taken=self._reload,
            refused=self._daemon.keep_policies,
            every=Seconds(settings.intervals.policies),
        )

    def _monitored(self, telemetry: Telemetry) -> Monitor | None:
        wanted = self._settings.monitor
        if not wanted.enabled:
            return None

        def services() -> Iterator[Watched]:
            engine = self._daemon.engine
            return watched(self._settings, engine.policies, engine.world, self._connections.past)

        return Monitor(
            wanted=services,
            clock=self._outside.clock,
            over=Seconds(wanted.over),
            every=Seconds(wanted.every),
            registry=telemetry.registry,
        )

    async def _monitor_past(self) -> None:
        await self._daemon.recovered.wait()
        if self._monitor is not None:
            await self._monitor.run()

    def _replay(self, after: int) -> AsyncIterator[Sequence[Told]]:
        return self._daemon.replay(after)

    def _outlets(self) -> Sequence[Outlet]:
        hub = self._hub
        stream = Outlet(name="stream", publish=hub.publish, durable=False, listening=lambda: hub.listening)
        return [stream] if self.kafka is None else [stream, self.kafka.outlet]

    def _reload(self, policies: Policies) -> None:
        self._connections.watch(policies)
        self._daemon.reload(policies)

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None] | None) -> None:
        """Serve until `stop`. Leaves by _Stopped, in a group."""
        listen = self._settings.listen
        bound = bind(listen.host, listen.port)
        host, port = bound.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        desk = desk_of(self._settings, self._daemon, self._outside, self._hub, self._connections, monitor=self._monitor)
        web = WebServer(build_api(desk), on=bound)
        with _signals(stop, self._folder.reload):
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(web.run(), name="web")
                running = tasks.create_task(self._daemon.run(), name="daemon")
                others = {
                    tasks.create_task(self._folder.run(), name="policies"),
                    tasks.create_task(self._monitor_past(), name="monitor"),
                    tasks.create_task(self._notices.run(), name="notices"),
                }
                _log.info("listening", url=url)
                await self._until(stop, url, ready)
                _log.info("stopping")
                self._hub.close()
                web.stop()
                await self._daemon.stop()
                await serving
                for task in (ending := {running, *others}):
                    task.cancel()
                await asyncio.wait(ending)
                raise _Stopped

    async def _until(self, stop: asyncio.Event, url: str, ready: Callable[[str], None] | None) -> None:
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell(url, ready), name="ready")
            await stop.wait()
            telling.cancel()

    async def _tell(self, url: str, ready: Callable[[str], None] | None) -> None:
        await self._daemon.recovered.wait()
        _log.info("ready", url=url)
        if ready is not None:
            ready(url)


def recording_of(settings: Settings) -> Recording | None:
    """Return what is recorded, and where; None where nothing is."""
    record = settings.record
    if record is None:
        return None
    # pyarrow takes 0.1 s and 40 MB, which nobody pays who records nothing
    from guardian.adapters.tapes.folder import TapeFolder  # noqa: PLC0415

    folder = record.folder if record.folder is not None else settings.data / TAPES
    services = frozenset(record.services)
    return Recording(
        tape=TapeFolder(folder, size=record.size, age=Seconds(record.age)),
        wanted=lambda service: not services or service in services,
        every=Seconds(record.part),
    )


@asynccontextmanager
async def _journal(path: Path) -> AsyncIterator[Journal]:
    journal = await asyncio.to_thread(SqliteJournal, path)
    try:
        yield journal
    finally:
        await journal.close()


@contextmanager
def _signals(stop: asyncio.Event, reload: Callable[[], None]) -> Iterator[None]:
    """Have signals do their work while this lasts; where they cannot be had (another thread), go without."""
    loop = asyncio.get_running_loop()
    wanted: dict[signal.Signals, Callable[[], Any]] = {
        signal.SIGTERM: stop.set,
        signal.SIGINT: stop.set,
        signal.SIGHUP: reload,
    }
    taken: list[signal.Signals] = []
    for number, act in wanted.items():
        try:
            loop.add_signal_handler(number, act)
        except (RuntimeError, ValueError):
            break
        taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
