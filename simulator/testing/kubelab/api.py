"""A plain client of the Kubernetes API for setting tests up: JSON in, JSON out, watches as lines.

Small on purpose: it loads in milliseconds, so that the stand-in for kubelets stays light. The product and
the tests of its adapters use the official client.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from ruamel.yaml import YAML

from simulator.testing.errors import ServiceError

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
Json = dict[str, Any]


class ApiError(ServiceError):
    """The API server said no. status: the HTTP code."""

    def __init__(self, what: str, *, status: int, where: str) -> None:
        super().__init__(what, where=where)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeApi:
    """One API server as one user. Every call has its own connection, so it may be used from several threads."""

    url: str
    tls: ssl.SSLContext
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        """Client for the file's current context; certificates, keys and tokens in the file or beside it."""
        config = YAML(typ="safe", pure=True).load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        with tempfile.TemporaryDirectory(prefix="kubeconfig-") as folder:
            tls = ssl.create_default_context(cafile=_file(cluster, "certificate-authority", Path(folder)))
            certificate = _file(user, "client-certificate", Path(folder))
            if certificate is not None:
                tls.load_cert_chain(certificate, _file(user, "client-key", Path(folder)))
        headers = {"authorization": f"Bearer {user['token']}"} if "token" in user else {}
        if certificate is None and not headers:
            raise ServiceError(
                "the user has neither certificate nor token",
                where=str(kubeconfig),
                remedy="name a kubeconfig with client-certificate(-data) or token",
            )
        return cls(url=cluster["server"], tls=tls, headers=headers)

    def get(self, path: str) -> Json:
        return self._call("GET", path)

    def post(self, path: str, body: Json) -> Json:
        return self._call("POST", path, body)

    def patch(self, path: str, body: Json, *, kind: str = MERGE) -> Json:
        return self._call("PATCH", path, body, kind)

    def delete(self, path: str, body: Json | None = None) -> Json:
        return self._call("DELETE", path, body)

    def ready(self) -> bool:
        """Whether /readyz says ok."""
        try:
            response, connection = self._send("GET", "/readyz", None, "", 1.0)
        except (OSError, http.client.HTTPException):
            return False
        connection.close()
        return response.status == 200

    def watch(self, path: str, version: str, *, seconds: int = 60) -> Iterator[Json]:
        """Events after `version` (a resourceVersion), for at most `seconds`."""
        mark = "&" if "?" in path else "?"
        query = f"watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
        response, connection = self._send("GET", f"{path}{mark}{query}", None, "", seconds + 10.0)
        try:
            if response.status != 200:
                raise _refused(response.status, response.read(), path)
            for line in response:
                yield json.loads(line)
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        response, connection = self._send(method, path, body, kind, self.timeout)
        try:
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise _refused(response.status, answer, path)
        decoded: Json = json.loads(answer)
        return decoded

    def _send(
        self, method: str, path: str, body: Json | None, kind: str, timeout: float
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPSConnection]:
        connection = http.client.HTTPSConnection(urlsplit(self.url).netloc, context=self.tls, timeout=timeout)
        try:
            text = None if body is None else json.dumps(body).encode()
            connection.request(method, path, body=text, headers={**self.headers, "content-type": kind})
            return connection.getresponse(), connection
        except BaseException:
            connection.close()
            raise


def _refused(status: int, body: bytes, path: str) -> ApiError:
    try:
        text = json.loads(body).get("message", "")
    except ValueError:
        text = body.decode(errors="replace")
    return ApiError(f"{status}: {text.strip()}", status=status, where=path)


def _named(entries: list[Json], name: str) -> Json:
    return next(entry for entry in entries if entry["name"] == name)


def _file(entry: Json, name: str, folder: Path) -> str | None:
    """Path of what the entry names or holds; None when it does neither."""
    if f"{name}-data" in entry:
        file = folder / name
        file.touch(mode=0o600)
        file.write_bytes(base64.b64decode(entry[f"{name}-data"]))
        return str(file)
    return entry.get(name)
