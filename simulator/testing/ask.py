"""One plain HTTP request to a loopback service: no TLS context and no pool, so it is cheap to repeat."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

PATIENCE: Final = 60.0
"""Longest wait for one answer (s): the machine may be busy with other things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status code and body."""

    status: int
    body: bytes


def ask(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = PATIENCE,
) -> Answer:
    """Send one request; OSError or HTTPException when there is no answer within `timeout` seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read())
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether a GET is answered 200 within a second."""
    try:
        return ask(url, timeout=1.0).status == 200
    except (OSError, http.client.HTTPException):
        return False
