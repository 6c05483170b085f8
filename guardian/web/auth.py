"""Who may ask: everybody with the token, where there is one; without, only programs on this machine.

A browser is such a program, and any page it shows may make it send requests: without a token, requests that
come from another origin, or to a name that is not loopback's (DNS rebinding), are refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from guardian.web.problem import problem

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""Paths that probes ask without a token; they tell no secrets."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Wraps the application. token: reads the secret at each use; None when none is configured."""

    def __init__(self, app: ASGIApp, *, token: Callable[[], str] | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        given = _headers(scope)
        if self._token is None:
            if (why := _foreign(given)) is not None:
                remedy = "set 'token:' in guardian.yaml and send it as a bearer token"
                await problem(403, why, remedy=remedy)(scope, receive, send)
                return
        elif not _matches(given.get(b"authorization", b""), self._token()):
            remedy = "send 'Authorization: Bearer TOKEN' with the token of guardian.yaml"
            answer = problem(
                401, "the bearer token is missing or wrong", headers={"WWW-Authenticate": "Bearer"}, remedy=remedy
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    wanted = (b"authorization", b"origin", b"host")
    return {name: value for name, value in scope["headers"] if name in wanted}


def _matches(header: bytes, token: str) -> bool:
    scheme, _, given = header.partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token.encode())


def _foreign(given: dict[bytes, bytes]) -> str | None:
    """Return what shows that a browser was made to send this, None when nothing does."""
    host = given.get(b"host", b"127.0.0.1").decode("latin-1")
    if _name(f"//{host}") not in _LOOPBACK:
        return f"'{host}' is not a name of this machine's loopback address"
    origin = given.get(b"origin")
    if origin is not None and _name(origin.decode("latin-1")) not in _LOOPBACK:
        return "the request comes from a page of another origin"
    return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
