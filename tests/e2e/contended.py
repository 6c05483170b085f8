"""Another writer who is always a moment faster: a forwarding server between the guardian and the real API server.

Everything passes on as it is, with the guardian's own token. While armed, the other one's real patch of the same
object is made just before the guardian's is passed on, so that the real API server refuses it as stale. It speaks
plain HTTP on loopback.
"""

from __future__ import annotations

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from simulator.testing.kubelab.api import KubeApi
from tests.e2e.waiting import PATIENCE

PASSED_ON: Final = ("accept", "accept-encoding", "authorization", "content-type", "user-agent")
HANDED_BACK: Final = ("content-type", "content-encoding", "audit-id", "retry-after", "warning")
ANNOTATION: Final = "somebody/else"


class ContendedApi:
    """Serves from `start` to `stop`. path: of the object. other: whose patches come before the guardian's."""

    def __init__(self, behind: KubeApi, *, path: str, other: KubeApi) -> None:
        self.behind, self._path, self._other = behind, path, other
        self._armed, self._written, self._counting = 0, 0, threading.Lock()
        self.answers: list[int] = []
        """What the API server said to the guardian's patches of the object, in order."""
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="contended", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def arm(self, times: int) -> None:
        """Have the other one be faster at the next patches of the object."""
        with self._counting:
            self._armed = times

    def kubeconfig(self, of: Path) -> Path:
        """Return a copy of a kubeconfig that leads here."""
        config = json.loads(of.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        file = of.with_suffix(".contended")
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return file

    def contend(self, method: str, path: str) -> bool:
        """Make the other one's patch if this is a patch of the object and armed; say whether it is one."""
        if (method, urlsplit(path).path) != ("PATCH", self._path):
            return False
        with self._counting:
            if self._armed:
                self._armed -= 1
                self._written += 1
                self._other.patch(self._path, {"metadata": {"annotations": {ANNOTATION: str(self._written)}}})
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: ContendedApi) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.api = api


class _Request(BaseHTTPRequestHandler):
    """Passes one request on and its answer back; each has a connection of its own to the API server."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_PATCH(self) -> None:
        self._pass_on()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing of what went well."""

    def _pass_on(self) -> None:
        api = self.server.api
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        contended = api.contend(self.command, self.path)
        connection = http.client.HTTPSConnection(
            urlsplit(api.behind.url).netloc, context=api.behind.tls, timeout=PATIENCE
        )
        try:
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            connection.request(self.command, self.path, body=body or None, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if contended:
            api.answers.append(answer.status)
        self.send_response(answer.status)
        for name in HANDED_BACK:
            if (value := answer.headers.get(name)) is not None:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
