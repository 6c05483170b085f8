"""The server as a stranger meets it: what it bears from a connection that has shown no token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from starlette.types import Receive, Scope, Send

from guardian.web.protocol import MOST_HEAD
from guardian.web.server import WebServer, bind

BEGINNINGS = [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\nHost: x\r\nX-Many: 1\r\n"]


async def _echo(_scope: Scope, receive: Receive, send: Send) -> None:
    size, more = 0, True
    while more:
        part = await receive()
        size, more = size + len(part.get("body", b"")), part.get("more_body", False)
    text = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where an application that counts bodies is served."""
    bound = bind("127.0.0.1", 0)
    server = WebServer(_echo, on=bound)
    serving = asyncio.create_task(server.run())
    yield bound.getsockname()[1]
    server.stop()
    await serving


@pytest.mark.parametrize("beginning", BEGINNINGS)
async def test_a_head_without_end_is_cut_off(port: int, beginning: bytes) -> None:
    """Kept, it would take all memory of the process before anybody is asked who they are."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    filler = b"X-Many: 1\r\n" * 100 if beginning.endswith(b"\n") else b"a" * 1000
    with suppress(ConnectionError):
        writer.write(beginning)
        for _ in range(20 * MOST_HEAD // 1000):
            writer.write(filler)
            await writer.drain()
    answer = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(10.0):
            answer = await reader.read()
    assert answer[:12] in (b"", b"HTTP/1.1 400")  # a reset may take the answer with it
    assert reader.at_eof() or reader.exception() is not None
    writer.close()


async def test_long_bodies_and_many_requests_on_one_connection_are_served(port: int) -> None:
    """Only heads are bounded, each by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = 4 * MOST_HEAD
    for _ in range(5):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"b" * size)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(len(str(size))) == str(size).encode()
    writer.close()


async def test_trailers_are_no_headers(port: int) -> None:
    """What follows a body does not add to what was asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Late: 1\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await reader.readexactly(1) == b"2"
    writer.close()
