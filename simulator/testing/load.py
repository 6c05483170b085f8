"""A bounded open-loop load generator: a fixed rate of requests, whatever the answers do, for a fixed time.

Open loop: requests leave when they are due, not when the last answer came; a latency counts from the time
its request was due. Arrivals are evenly spaced, or Poisson. It stops by itself, or at SIGTERM, and says
what it saw: answers by second, pod and status. As a process: `running_load`; inside a running loop:
`generate`.

It judges nothing and retries nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from simulator.testing.errors import ServiceError
from simulator.testing.process import Server, python_module
from simulator.testing.run import ServiceRun


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send.

    url: http://host:port/path. rate: requests per second. duration: seconds. poisson: exponential gaps
    instead of even ones. timeout: seconds until a request without answer counts as failed. connections:
    most at once; a request that finds none free is not sent and counted as dropped, so that the load stays
    bounded.
    """

    url: str
    rate: float = 200.0
    duration: float = 10.0
    poisson: bool = False
    seed: int = 1
    timeout: float = 5.0
    connections: int = 256
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.duration <= 0 or self.connections <= 0:
            raise ValueError(f"impossible load {self}: rate, duration and connections must be above 0")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of one second (unix time), pod and status. pod, track: empty where a proxy answered."""

    second: int
    pod: str
    track: str
    status: int
    count: int


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. started, ended: unix time; latency: seconds at 50, 95, 99, 100 %, 0 if none."""

    started: float
    ended: float
    sent: int
    failed: int
    dropped: int
    rows: tuple[Row, ...]
    latency: tuple[float, float, float, float]

    @property
    def answered(self) -> int:
        return sum(row.count for row in self.rows)

    @property
    def rate(self) -> float:
        """Requests sent per second."""
        return self.sent / (self.ended - self.started)

    def by(self, column: str, *, since: float = 0.0) -> Counter[str | int]:
        """Answers by `status`, `pod` or `track`, from unix second `since` on."""
        found: Counter[str | int] = Counter()
        for row in self.rows:
            if row.second >= since:
                found[getattr(row, column)] += row.count
        return found


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request on the way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.transport: asyncio.Transport | None = None
        self.due = 0.0
        self.busy = False
        self.timer: asyncio.TimerHandle | None = None
        self.pod, self.track = "", ""
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float, timeout: float) -> None:
        assert self.transport is not None  # noqa: S101 - only connected ones are idle
        self.due, self.busy = due, True
        self.pod, self.track = "", ""
        self.timer = self.load.loop.call_later(timeout, self.transport.abort)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            cast("asyncio.Transport", self.transport).abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"x-pod":
            self.pod = value.decode()
        elif name == b"x-track":
            self.track = value.decode()

    def on_message_complete(self) -> None:
        self._done()
        keep = self.parser.should_keep_alive()
        self.load.answered(self, self.parser.get_status_code())
        self.parser = httptools.HttpResponseParser(self)
        if keep:
            self.load.idle.append(self)
        else:
            cast("asyncio.Transport", self.transport).close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.transport = None
        self.load.open -= 1
        if self.busy:
            self._done()
            self.load.failed += 1

    def _done(self) -> None:
        self.busy = False
        if self.timer is not None:
            self.timer.cancel()


class Load:
    """The generator's state while it runs."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        parts = urlsplit(plan.url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        extra = "".join(f"{name}: {value}\r\n" for name, value in plan.headers)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.request = f"GET {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n{extra}\r\n".encode()
        self.idle: deque[_Connection] = deque()
        self.sent = self.failed = self.dropped = self.open = 0
        self.cells: Counter[tuple[int, str, str, int]] = Counter()
        self.latencies: list[float] = []
        self.stopped = asyncio.Event()
        self.opening: set[asyncio.Task[None]] = set()
        self.offset = time.time() - time.monotonic()  # the loop's own clock is too coarse for latencies

    def answered(self, connection: _Connection, status: int) -> None:
        now = time.monotonic()
        self.cells[int(now + self.offset), connection.pod, connection.track, status] += 1
        self.latencies.append(now - connection.due)

    def fire(self, due: float) -> None:
        """Send one request now, over an idle connection or a new one."""
        while self.idle:
            connection = self.idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                self.sent += 1
                connection.send(self.request, due, self.plan.timeout)
                return
        if self.open >= self.plan.connections:
            self.dropped += 1
            return
        self.sent += 1
        self.open += 1
        task = self.loop.create_task(self._connect(due))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _connect(self, due: float) -> None:
        try:
            async with asyncio.timeout(self.plan.timeout):
                _, connection = await self.loop.create_connection(lambda: _Connection(self), self.host, self.port)
        except (OSError, TimeoutError):
            self.open -= 1
            self.failed += 1
            return
        connection.send(self.request, due, self.plan.timeout)

    async def run(self) -> LoadReport:
        """Send until the duration is over or `stopped` is set, then wait for the last answers."""
        began = time.monotonic()
        for offset in _arrivals(self.plan):
            await self._pause(began + offset - time.monotonic())
            if self.stopped.is_set():
                break
            self.fire(began + offset)
        await self._pause(began + self.plan.duration - time.monotonic())
        ended = time.monotonic()
        await self._drain()
        return self._report(began, ended)

    async def _pause(self, seconds: float) -> None:
        """Sleep, or less when stopped. Far cheaper than awaiting the event with a timeout each time."""
        while seconds > 0 and not self.stopped.is_set():
            await asyncio.sleep(min(seconds, 0.25))
            seconds -= 0.25

    async def _drain(self) -> None:
        limit = self.loop.time() + self.plan.timeout + 1.0
        while self.loop.time() < limit and self.sent > self.failed + len(self.latencies):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # an event set by each answer would cost more than these last looks
        for task in self.opening:
            task.cancel()
        while self.idle:
            transport = self.idle.pop().transport
            if transport is not None:
                transport.close()
        await asyncio.sleep(0)

    def _report(self, began: float, ended: float) -> LoadReport:
        ordered = sorted(self.latencies)
        picks = [
            ordered[min(int(len(ordered) * q), len(ordered) - 1)] if ordered else 0.0 for q in (0.5, 0.95, 0.99, 1)
        ]
        rows = (
            Row(second=second, pod=pod, track=track, status=status, count=count)
            for (second, pod, track, status), count in sorted(self.cells.items())
        )
        return LoadReport(
            started=began + self.offset,
            ended=ended + self.offset,
            sent=self.sent,
            failed=self.failed,
            dropped=self.dropped,
            rows=tuple(rows),
            latency=(picks[0], picks[1], picks[2], picks[3]),
        )


def _arrivals(plan: LoadPlan) -> Iterator[float]:
    """When to send, in seconds from the start, rising, all below the duration."""
    if not plan.poisson:
        yield from (number / plan.rate for number in range(math.ceil(plan.rate * plan.duration - 1e-9)))
        return
    chance = random.Random(plan.seed)  # noqa: S311 - arrivals, not secrets
    due = chance.expovariate(plan.rate)
    while due < plan.duration:
        yield due
        due += chance.expovariate(plan.rate)


async def generate(plan: LoadPlan) -> LoadReport:
    """Send the load from the running event loop."""
    return await Load(plan).run()


class LoadProcess:
    """Load that runs in a process of its own, so that it neither slows nor is slowed by the test's loop."""

    def __init__(self, plan: LoadPlan, server: Server) -> None:
        self.plan = plan
        self.server = server

    def report(self) -> LoadReport:
        """Wait until the plan is over; what came back."""
        limit = time.monotonic() + self.plan.duration + self.plan.timeout + 120.0
        while self.server.running and time.monotonic() < limit:
            time.sleep(0.02)
        return self._read()

    def stop(self) -> LoadReport:
        """Send no more requests from now on; what came back until here."""
        self.server.stop(grace=self.plan.timeout + 5.0)
        return self._read()

    def _read(self) -> LoadReport:
        file = _report_file(self.server.folder)
        if self.server.running or not file.exists():
            raise ServiceError(
                "the load generator left no report", where=str(self.server.log), remedy=self.server.log_tail()
            )
        return msgspec.json.decode(file.read_bytes(), type=LoadReport)


@contextmanager
def running_load(run: ServiceRun, plan: LoadPlan) -> Iterator[LoadProcess]:
    """Load from now on, until its plan or the block ends."""
    folder = run.workdir("load")
    argv = python_module(__name__, msgspec.json.encode(plan).decode(), str(_report_file(folder)))
    with Server("load", argv, folder=folder, run=run) as server:
        server.start()
        server.wait_ready((folder / "started").exists)
        yield LoadProcess(plan, server)


def _report_file(folder: Path) -> Path:
    return folder / "report.json"


async def _main(plan: LoadPlan, file: Path) -> None:
    load = Load(plan)
    load.loop.add_signal_handler(signal.SIGTERM, load.stopped.set)
    (file.parent / "started").touch()
    report = await load.run()
    file.write_bytes(msgspec.json.encode(report))


if __name__ == "__main__":
    uvloop.run(_main(msgspec.json.decode(sys.argv[1], type=LoadPlan), Path(sys.argv[2])))
