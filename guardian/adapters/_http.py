"""HTTP as the adapters speak it: a deadline over the whole call, a limit on the answer, clear errors.

No retries and no decisions: the core's deadlines do both. A proxy set in the environment is not used.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from guardian.errors import AdapterError, GuardianError, Refused, Unavailable

Secret = Callable[[], str]
"""Reads a secret where it is kept, at each use: a changed file counts at once."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # it writes a line for every request

ANSWER_LIMIT: Final = 256 * 1024 * 1024
EXCERPT: Final = 300


def told(secret: Secret) -> str:
    """Return a secret as it is now. Raises Refused when it cannot be read: asking without it would be refused, too."""
    try:
        return secret()
    except GuardianError as error:
        raise Refused(error.what, where=error.where, remedy=error.remedy) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How we prove who we are: a bearer token, or user and password; nothing by default."""

    token: Secret | None = None
    username: str | None = None
    password: Secret | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of one request."""
        if self.token is not None:
            return {"Authorization": f"Bearer {told(self.token)}"}
        if self.username is not None and self.password is not None:
            pair = f"{self.username}:{told(self.password)}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and body. retry_after: seconds after which it may be asked again, None where that is not said."""

    status: int
    body: bytes
    content_type: str = ""
    retry_after: float | None = None

    @property
    def excerpt(self) -> str:
        """The body's beginning, as one line of text."""
        return " ".join(self.body[: 4 * EXCERPT].decode("utf-8", "replace").split())[:EXCERPT]


class HttpClient:
    """A pool of connections to one service. `close` ends it."""

    def __init__(
        self, *, timeout: float, ca: Path | None = None, login: Login | None = None, connections: int = 8
    ) -> None:
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(ca)) if ca is not None else True
        self.timeout = timeout
        self._login = login or Login()
        self._client = httpx.AsyncClient(
            timeout=timeout, verify=verify, trust_env=False, follow_redirects=False,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )  # fmt: skip

    async def ask(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = ANSWER_LIMIT,
        timeout: float | None = None,
    ) -> Answer:
        """Send one request; `timeout` (seconds) covers all of it, to the last byte of the answer.

        Raises Unavailable when there is no whole answer in time, Refused when the answer is larger than
        `limit`.
        """
        deadline = self.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(deadline):
                return await self._ask(method, url, form=form, content=content, headers=headers, limit=limit)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Unavailable(
                f"no answer within {deadline:g} s",
                where=url,
                remedy="check that it runs and is not overloaded",
            ) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Refused(f"cannot be asked: {error}", where=url, remedy="write http://host:port") from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"no connection: {str(error) or type(error).__name__}",
                where=url,
                remedy="check address and network",
            ) from error

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None,
        content: bytes | None,
        headers: Mapping[str, str] | None,
        limit: int,
    ) -> Answer:
        sent = {**self._login.headers(), **(headers or {})}
        async with self._client.stream(method, url, data=form, content=content, headers=sent) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > limit:
                    raise Refused(
                        f"the answer is larger than {limit} bytes", where=url, remedy="ask for less at a time"
                    )
                parts.append(part)
            return Answer(
                status=response.status_code,
                body=b"".join(parts),
                content_type=response.headers.get("content-type", ""),
                retry_after=_seconds(response.headers.get("retry-after", "")),
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _seconds(retry_after: str) -> float | None:
    """Return what a Retry-After header says, which may be seconds or a date (RFC 9110, 10.2.3)."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None


def refusal(answer: Answer, url: str) -> AdapterError:
    """Return the error that an answer outside 2xx is; Unavailable when it may be another one later."""
    what = f"answered {answer.status}: {answer.excerpt}" if answer.body else f"answered {answer.status}"
    if answer.status in {408, 425, 429} or answer.status >= 500:
        return Unavailable(what, where=url, remedy="see its log; it will be asked again", after=answer.retry_after)
    if answer.status in {401, 403}:
        return Refused(what, where=url, remedy="check token, user and password for it in guardian.yaml")
    if 300 <= answer.status < 400:
        return Refused(what, where=url, remedy="give the address it redirects to")
    return Refused(what, where=url, remedy="check the address and what is asked for")
