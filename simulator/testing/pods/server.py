"""The pod's process: serves HTTP/1.1 on loopback until SIGTERM; its argument is a PodPlan in JSON.

GET /            200 or 500 after the drawn latency; headers x-pod, x-track, x-version
GET /health /ready /live /version /metrics
POST /control    a Behaviour in JSON: replaces the present one, answers it back

Metrics are what the ecosystem's usual libraries give: http_requests_total{service,track,pod,status} and
http_request_duration_seconds{service,track,pod}, plus the process metrics (its start time among them); a gauge
queue_length and a counter orders_total (each good answer is an order), both with {service,track,pod}. The measured
duration is the real one, not the drawn one. A bare protocol instead of a framework: the CPU
belongs to what is tested.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import Final, cast

import httptools
import msgspec
import uvloop
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from simulator.testing.pods.behaviour import Behaviour, PodPlan

REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    500: b"Internal Server Error",
    503: b"Unavailable",
}
TEXT: Final = b"text/plain; charset=utf-8"
JSON: Final = b"application/json"
METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Pod:
    """State of the process: its present behaviour and its metrics."""

    def __init__(self, plan: PodPlan) -> None:
        who = plan.identity
        self.identity = who
        self.behaviour = plan.behaviour
        self.chance = random.Random(plan.seed)  # noqa: S311 - a simulation, not a secret
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = {"service": who.service, "track": who.track, "pod": who.pod} | ({"zone": who.zone} if who.zone else {})
        requests = Counter("http_requests", "Requests answered.", [*labels, "status"], registry=self.registry)
        self.by_status = {status: requests.labels(**labels, status=str(status)) for status in (200, 500)}
        self.orders = Counter("orders", "Orders taken.", list(labels), registry=self.registry).labels(**labels)
        queue = Gauge("queue_length", "Orders that wait.", list(labels), registry=self.registry).labels(**labels)
        queue.set_function(lambda: self.behaviour.queue)
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time from the request to its answer.",
            list(labels),
            buckets=plan.buckets,
            registry=self.registry,
        ).labels(**labels)
        self.marks = b"x-pod: %b\r\nx-track: %b\r\nx-version: %b\r\n" % (
            who.pod.encode(),
            who.track.encode(),
            who.version.encode(),
        )

    def ask(self, method: bytes, path: bytes, body: bytes) -> tuple[int, bytes, bytes]:
        """Status, content type and body for every path but `/`."""
        if method == b"POST" and path == b"/control":
            return self._control(body)
        now = self.behaviour
        if path in {b"/health", b"/live"}:
            return (200 if now.healthy else 503), TEXT, b"ok\n" if now.healthy else b"unhealthy\n"
        if path == b"/ready":
            return (200 if now.ready else 503), TEXT, b"ready\n" if now.ready else b"not ready\n"
        if path == b"/version":
            return 200, JSON, msgspec.json.encode({"version": self.identity.version})
        if path == b"/metrics":
            return (200, METRICS, generate_latest(self.registry)) if now.metrics else (503, TEXT, b"no metrics\n")
        return 404, TEXT, b"no such path\n"

    def _control(self, body: bytes) -> tuple[int, bytes, bytes]:
        try:
            self.behaviour = msgspec.json.decode(body, type=Behaviour)
        except (msgspec.DecodeError, ValueError) as error:
            return 400, TEXT, f"{error}\n".encode()
        return 200, JSON, msgspec.json.encode(self.behaviour)


class Connection(asyncio.Protocol):
    """One kept-alive connection; the client waits for an answer before it sends the next request."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self.path = b""
        self.body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            if self.transport is not None:
                self.transport.close()

    def on_message_begin(self) -> None:
        self.path = b""
        self.body.clear()

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        path = self.path.partition(b"?")[0]
        keep = self.parser.should_keep_alive()
        if path != b"/":
            status, kind, body = self.pod.ask(self.parser.get_method(), path, bytes(self.body))
            self.answer(status, kind, body, keep)
            return
        pod, started = self.pod, time.monotonic()
        if pod.behaviour.hang:
            return
        status = 500 if pod.chance.random() < pod.behaviour.error_ratio else 200
        delay = pod.behaviour.latency.draw(pod.chance)
        if delay <= 0:
            self.served(status, started, keep)
        else:
            self.loop.call_later(delay, self.served, status, started, keep)

    def served(self, status: int, started: float, keep: bool) -> None:  # noqa: FBT001 - called by call_later
        """Answer `/` and count it."""
        self.pod.by_status[status].inc()
        if status == 200:
            self.pod.orders.inc()
        self.pod.duration.observe(time.monotonic() - started)
        self.answer(status, TEXT, b"failed\n" if status == 500 else b"hello\n", keep)

    def answer(self, status: int, kind: bytes, body: bytes, keep: bool) -> None:  # noqa: FBT001
        """Write one answer; the client may have gone meanwhile."""
        if self.transport is None:
            return
        self.transport.write(
            b"HTTP/1.1 %d %b\r\n%bcontent-type: %b\r\ncontent-length: %d\r\nconnection: %b\r\n\r\n%b"
            % (
                status,
                REASONS[status],
                self.pod.marks,
                kind,
                len(body),
                b"keep-alive" if keep else b"close",
                body,
            )
        )
        if not keep:
            self.transport.close()


async def serve(plan: PodPlan) -> None:
    """Serve until cancelled."""
    pod = Pod(plan)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(pod), "127.0.0.1", plan.port, reuse_address=True, backlog=1024
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(msgspec.json.decode(sys.argv[1], type=PodPlan)))
