"""Serving the API with uvicorn inside our own task group: its signals are ours, its logs are ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from guardian.errors import Unavailable
from guardian.web.protocol import BoundedProtocol

_BACKLOG: Final = 1024
_GRACE: Final = 3
"""Seconds that requests under way may take once the server stops."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the daemon."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one. Raises Unavailable when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}",
            where="guardian.yaml: listen",
            remedy="choose another 'listen:' address, or stop what listens there",
        ) from error
    bound.setblocking(False)  # noqa: FBT003  its signature
    return bound


class WebServer:
    """Serves one application on one socket until `stop`."""

    def __init__(self, app: ASGIApp, *, on: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            loop="none",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server, self._socket = _Server(config), on

    async def run(self) -> None:
        """Serve until `stop` is called or the task is cancelled."""
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            self._server.force_exit = True
            raise

    def stop(self) -> None:
        """Accept nothing more; `run` returns when the requests under way are answered."""
        self._server.should_exit = True
