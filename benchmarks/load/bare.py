"""The reference for HTTP: bare FastAPI and msgspec behind uvicorn, which reads a webhook's body and answers 200.

It decodes into the same shape and keeps nothing: no journal, no engine, no login.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response

from simulator.testing.ask import answers
from simulator.testing.process import Server, python_module
from simulator.testing.run import ServiceRun


class Alert(msgspec.Struct):
    """What is read of an alert."""

    status: str
    labels: dict[str, str]
    startsAt: str  # noqa: N815 - Alertmanager's name
    fingerprint: str = ""
    annotations: dict[str, str] = {}


class Group(msgspec.Struct):
    """What is read of a webhook."""

    status: str
    alerts: list[Alert]


def app() -> FastAPI:
    """The application."""
    bare = FastAPI()

    @bare.get("/healthz")
    async def healthz() -> Response:
        return Response(b"ok")

    @bare.post("/hooks/{name}")
    async def hook(request: Request, name: str) -> Response:
        group = msgspec.json.decode(await request.body(), type=Group)
        body = msgspec.json.encode({"name": name, "alerts": len(group.alerts)})
        return Response(body, media_type="application/json")

    return bare


@contextmanager
def running_bare(run: ServiceRun) -> Iterator[tuple[str, Server]]:
    """The application as a process, until the block ends: its URL and the process."""
    port = run.port()
    url = f"http://127.0.0.1:{port}"
    with Server("bare", python_module(__name__, str(port)), folder=run.workdir("bare"), run=run) as server:
        server.start()
        server.wait_ready(lambda: answers(f"{url}/healthz"))
        yield url, server


if __name__ == "__main__":
    uvicorn.run(app(), port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="error", access_log=False)
