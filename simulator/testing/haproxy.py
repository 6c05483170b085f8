"""A real HAProxy of one's own: one frontend, one backend, its runtime socket.

The helpers here are for tests (set up, look on from outside); the product's own router speaks to the same
socket.
"""

from __future__ import annotations

import csv
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from simulator.testing import programs
from simulator.testing.ask import PATIENCE
from simulator.testing.errors import ServiceError
from simulator.testing.process import Server, listening
from simulator.testing.run import ServiceRun

CONFIG: Final = """\
global
  stats socket {socket} level admin mode 600
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout check 10s
frontend fe
  bind 127.0.0.1:{port}
  default_backend {backend}
backend {backend}
  balance roundrobin
  option httpchk GET /health
{servers}
"""


class HaProxy:
    """One running proxy. url: of its frontend. socket: path of the runtime API. backend: its name in there.

    Weights set at run time are forgotten by `restart`, as by any reload.
    """

    def __init__(self, *, port: int, socket_path: Path, backend: str, server: Server) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.port = port
        self.socket = socket_path
        self.backend = backend
        self.server = server

    def start(self) -> None:
        """Start and wait until the frontend accepts and every server was checked once."""
        self.server.start()
        self.server.wait_ready(self._ready)

    def restart(self) -> None:
        """Stop and start with the configured weights; connections are cut."""
        self.server.stop()
        self.start()

    def ask(self, command: str) -> str:
        """One command (or several, joined by `;`) to the runtime API; the answer may be an error."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.socket))
            client.sendall(command.encode() + b"\n")
            parts = []
            while part := client.recv(65_536):
                parts.append(part)
        return b"".join(parts).decode().strip()

    def set_weights(self, weights: Mapping[str, int]) -> None:
        """Give each named server its weight, 0..256."""
        answer = self.ask("; ".join(f"set server {self.backend}/{name} weight {w}" for name, w in weights.items()))
        if answer:
            raise ServiceError(f"HAProxy refused: {answer}", where=str(self.socket), remedy="see `show stat`")

    def rows(self) -> dict[str, dict[str, str]]:
        """`show stat` of the backend's servers: name -> column -> text."""
        table = csv.DictReader(self.ask("show stat").removeprefix("# ").splitlines())
        return {
            row["svname"]: row
            for row in table
            if row["pxname"] == self.backend and row["svname"] not in {"BACKEND", "FRONTEND"}
        }

    def weights(self) -> dict[str, int]:
        """Weight of each server, as accepted by HAProxy, all of one moment. Raises ValueError when cut off."""
        lines = self.ask(f"show servers state {self.backend}").splitlines()
        names = next((line[1:].split() for line in lines if line.startswith("#")), [])
        rows = [dict(zip(names, line.split(), strict=True)) for line in lines[2:]]
        return {row["srv_name"]: int(row["srv_uweight"]) for row in rows}

    def served(self) -> dict[str, int]:
        """Requests given to each server since the start."""
        return {name: int(row["stot"]) for name, row in self.rows().items()}

    def wait_until(self, name: str, status: str, *, deadline: float = 60.0) -> None:
        """Wait until the health check says `status` (UP, DOWN); ServiceError after the deadline (s)."""
        limit = time.monotonic() + deadline
        while not (found := self.rows()[name]["status"]).startswith(status):
            if time.monotonic() > limit:
                raise ServiceError(f"{name} is {found}, not {status}, after {deadline:g} s", where=self.url)
            time.sleep(0.02)

    def _ready(self) -> bool:
        if not (self.socket.exists() and listening(self.port)):
            return False
        try:
            return all(row["check_status"] not in {"", "INI"} for row in self.rows().values())
        except OSError:
            return False


@contextmanager
def running_haproxy(
    run: ServiceRun,
    servers: Mapping[str, str],
    *,
    weights: Mapping[str, int] | None = None,
    backend: str = "be",
) -> Iterator[HaProxy]:
    """Proxy over `servers` (name -> host:port), until the block ends.

    weights: at the start; by default 100 for the server named stable (or the first) and 0 for the others.
    """
    first = "stable" if "stable" in servers else next(iter(servers))
    start = {name: 100 if name == first else 0 for name in servers} | dict(weights or {})
    folder, port = run.workdir("haproxy"), run.port()
    lines = [
        f"  server {name} {address} weight {start[name]} check inter 200ms fall 2 rise 1"
        for name, address in servers.items()
    ]
    config = folder / "haproxy.cfg"
    path = folder / "admin.sock"
    config.write_text(CONFIG.format(socket=path, port=port, backend=backend, servers="\n".join(lines)))
    argv = [*programs.command(programs.HAPROXY, folder=folder), "-f", str(config)]
    with Server("haproxy", argv, folder=folder, run=run) as server:
        proxy = HaProxy(port=port, socket_path=path, backend=backend, server=server)
        proxy.start()
        yield proxy
