"""Samples per second that streamed metrics take in: unpacked, read, told apart and kept, all of them watched.

Not the web server before it. The reference only unpacks and parses: it knows neither series nor replicas,
and keeps nothing.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import cramjam

from benchmarks.rounds import Bench, Better, Measures
from guardian.adapters._remote_write_pb2 import Label, WriteRequest
from guardian.adapters.metrics.streamed import StreamedSource
from guardian.core.model import Place
from guardian.core.policy import Labels
from guardian.runtime.clock import SystemClock
from tests.builders import ERRORS

SERIES: Final = 2_000
"""Of one request, as Prometheus 2 sends by default at most."""
REQUESTS: Final = 50


def request(at: float) -> bytes:
    """One scrape of 2,000 counters, packed: six labels each."""
    message = WriteRequest()
    for number in range(SERIES):
        labels = {
            "__name__": "http_requests_total",
            "instance": f"10.0.{number // 250}.{number % 250}:8080",
            "pod": f"checkout-6f7c9d{number // 4:05d}",
            "service": "checkout",
            "status": ("200", "404", "500", "503")[number % 4],
            "track": "stable",
        }
        series = message.timeseries.add()
        series.labels.extend(Label(name=name, value=value).SerializeToString() for name, value in labels.items())
        series.samples.add(timestamp=round(at * 1000) + number % 1000, value=float(number % 4 == 0) * at)
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


@contextmanager
def requests() -> Iterator[Measures]:
    """Make the requests once; the source has seen their series before, as in all scrapes but the first."""
    clock = SystemClock()
    began = clock.now() - REQUESTS
    bodies = [request(began + second) for second in range(REQUESTS)]

    async def receive() -> float:
        source = StreamedSource(clock=clock)
        source.watch(Place(service="checkout", environment="production"), (ERRORS,), Labels())
        await source.receive(bodies[0])
        start = time.process_time()
        for body in bodies:
            kept = await source.receive(body)
            assert kept == SERIES
        return SERIES * REQUESTS / (time.process_time() - start)

    def parse() -> float:
        known: dict[bytes, int] = {}
        start = time.process_time()
        for body in bodies:
            message = WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
            samples = [
                (known.setdefault(b"".join(series.labels), len(known)), sample.timestamp, sample.value)
                for series in message.timeseries
                for sample in series.samples
            ]
            assert len(samples) == SERIES
        return SERIES * REQUESTS / (time.process_time() - start)

    yield Measures(ours=lambda: asyncio.run(receive()), reference=parse)


BENCH: Final = Bench(
    name="remote-write",
    unit="samples/s per core",
    better=Better.HIGHER,
    reference="generated protobuf code alone",
    prepare=requests,
)
