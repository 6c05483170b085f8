"""Constant-rate POSTs, open loop: each leaves when it is due, and its latency counts from then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Seconds from due to answered, in the order of the answers, and how many answers had which status."""

    latencies: Sequence[float]
    statuses: dict[int, int]


def post_all(url: str, bodies: Sequence[bytes], *, rate: float, connections: int = 16) -> Posted:
    """Post every body at `rate` per second over kept-alive connections."""
    return uvloop.run(_post_all(url, bodies, rate, connections))


async def _post_all(url: str, bodies: Sequence[bytes], rate: float, connections: int) -> Posted:
    parts = urlsplit(url)
    due: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    workers = [
        asyncio.create_task(_worker(parts.hostname or "", parts.port or 80, parts.path, due, latencies, statuses))
        for _ in range(connections)
    ]
    began = time.monotonic()
    for number, body in enumerate(bodies):
        at = began + number / rate
        if (left := at - time.monotonic()) > 0:
            await asyncio.sleep(left)
        due.put_nowait((at, body))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return Posted(latencies=latencies, statuses=statuses)


async def _worker(
    host: str,
    port: int,
    path: str,
    due: asyncio.Queue[tuple[float, bytes] | None],
    latencies: list[float],
    statuses: dict[int, int],
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: "
    while (item := await due.get()) is not None:
        at, body = item
        writer.write(head.encode() + b"%d\r\n\r\n" % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies.append(time.monotonic() - at)
        statuses[status] = statuses.get(status, 0) + 1
    writer.close()
