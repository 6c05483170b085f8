"""A small real HTTP server for tests of what adapters make of answers: good, bad, slow and none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer; a pause (seconds) before the answer, or between each byte of it when it drips."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    drips: bool = False


@dataclass(slots=True)
class Web:
    """A running server and what it was asked."""

    url: str
    asked: list[Asked]


@asynccontextmanager
async def answering(answer: Callable[[Asked], Reply]) -> AsyncIterator[Web]:
    """Serve on loopback until the block ends."""
    web = Web("", [])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await _read(reader)) is not None:
                web.asked.append(asked)
                await _reply(writer, answer(asked))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    web.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield web
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
    method, path, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method=method, path=path, headers=headers, body=body)


async def _reply(writer: asyncio.StreamWriter, reply: Reply) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(reply.body)), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if not reply.drips:
        await asyncio.sleep(reply.pause)
    writer.write(f"HTTP/1.1 {reply.status} Said\r\n{lines}\r\n".encode())
    if reply.drips:
        for octet in reply.body:
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(reply.pause)
    else:
        writer.write(reply.body)
    await writer.drain()
