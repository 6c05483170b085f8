"""Every command that changes HAProxy's weights, recorded on its way: a runtime socket before the real one.

The guardian is given this socket instead of HAProxy's own; lines pass on as they are, and so do the answers. So no
change is too short to be seen, and the test can strike just before or just after one. It judges nothing.
"""

from __future__ import annotations

import re
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.testing.haproxy import HaProxy

SET: Final = re.compile(r"set server [^/]+/(\S+) weight (\d+)")

Weights = Mapping[str, int]


def share_of(weights: Weights) -> float:
    """Return the canary's share of these weights, rounded to a tenth of a percent; 0 where nobody is served."""
    whole = sum(weights.values())
    return round(weights["canary"] / whole, 3) if whole else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One line of commands that HAProxy carried out at `at` (unix seconds), and the weights after each of them."""

    at: float
    states: tuple[Weights, ...]

    @property
    def share(self) -> float:
        """The canary's share after the line."""
        return share_of(self.states[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambush:
    """What is done at the line that makes this share: before HAProxy gets it, which it then never does, or after."""

    share: float
    strike: Callable[[], None]
    carried_out: bool


class Wire:
    """Stands before one proxy's runtime socket from `start` to `stop`. socket: where to connect to."""

    def __init__(self, proxy: HaProxy) -> None:
        self.socket: Path = proxy.socket.with_name("wire.sock")
        self._proxy = proxy
        self._written: list[Written] = []
        self._ambushes: list[Ambush] = []
        self._away = False  # since it was, it may have forgotten its weights
        self._writing = threading.Lock()
        self._server = _Server(str(self.socket), self.ask)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="wire", daemon=True)

    @property
    def shares(self) -> list[float]:
        """The share at the start, then after every line that changed weights: each write counts."""
        return [one.share for one in self._written]

    @property
    def states(self) -> list[Weights]:
        """All weights that HAProxy had, those between two commands of a line included."""
        return [state for one in self._written for state in one.states]

    def when(self, share: float, *, after: float = 0.0) -> float | None:
        """Unix time of the first line that made this share at or after `after`; None when there was none."""
        return next((one.at for one in self._written if one.at >= after and one.share == share), None)

    def start(self) -> None:
        self._written.append(Written(at=time.time(), states=(self._proxy.weights(),)))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ambush(self, share: float, strike: Callable[[], None], *, carried_out: bool) -> None:
        """Have `strike` called at the next line that makes the canary's share this one, however long that takes."""
        with self._writing:
            self._ambushes.append(Ambush(share=share, strike=strike, carried_out=carried_out))

    def set_weights(self, weights: Weights) -> None:
        """Write these weights in one line, as the guardian does; AssertionError when HAProxy refuses."""
        backend = self._proxy.backend
        answer = self.ask("; ".join(f"set server {backend}/{name} weight {one}" for name, one in weights.items()))
        assert not answer, answer

    def ask(self, line: str) -> str:
        """Pass a line on and return HAProxy's answer; OSError while it is away."""
        try:
            return self._ask(line)
        except OSError:
            self._away = True
            raise

    def _ask(self, line: str) -> str:
        if SET.search(line) is None:
            return self._proxy.ask(line)
        with self._writing:
            states = self._states(line)
            ambush = next((one for one in self._ambushes if one.share == share_of(states[-1])), None)
            if ambush is not None:
                self._ambushes.remove(ambush)
            answer = self._write(line, states) if ambush is None or ambush.carried_out else ""
        if ambush is not None:
            ambush.strike()
        return answer

    def _states(self, line: str) -> list[Weights]:
        """Return the weights after each command of the line."""
        weights: Weights = self._proxy.weights() if self._away else self._written[-1].states[-1]
        self._away = False
        states: list[Weights] = []
        for name, number in SET.findall(line):
            weights = {**weights, name: int(number)}
            states.append(weights)
        return states

    def _write(self, line: str, states: list[Weights]) -> str:
        answer = self._proxy.ask(line)
        if not answer:
            self._written.append(Written(at=time.time(), states=tuple(states)))
        return answer


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """One line and one answer a connection, as HAProxy does it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, ask: Callable[[str], str]) -> None:
        super().__init__(path, _Line)
        self.ask = ask


class _Line(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        try:
            line = self.rfile.readline().decode().strip()
            self.wfile.write(f"{self.server.ask(line)}\n\n".encode())
        except OSError:
            return  # one of both ends is gone: a daemon that was killed, a proxy that is stopped
