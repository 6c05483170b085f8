"""JSON to a service that knows us by a secret: an address, or a key in what is sent. No error shows the secret.

/readyz and the log show errors to people who must not know it, and an answer may repeat what it was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from guardian.adapters._http import HttpClient, refusal
from guardian.errors import AdapterError, Unavailable

_ANSWER_LIMIT = 1024 * 1024


async def post(
    client: HttpClient,
    url: str,
    content: object,
    *,
    name: str,
    secrets: tuple[str, ...],
    headers: Mapping[str, str] | None = None,
) -> None:
    """Return when it was taken (2xx). name: who refused, in errors. Raises Unavailable or Refused."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    try:
        answer = await client.ask("POST", url, content=msgspec.json.encode(content), headers=sent, limit=_ANSWER_LIMIT)
    except AdapterError as error:
        raise _without(secrets, error, name) from None
    if not 200 <= answer.status < 300:
        raise _without(secrets, refusal(answer, name), name)


def address_parts(url: str) -> tuple[str, ...]:
    """Return the parts of a secret address that must not be told, longest first."""
    parts = urlsplit(url)
    found = (url, f"{parts.path}?{parts.query}" if parts.query else "", parts.path)
    return tuple(part for part in found if len(part) > 1)


def _without(secrets: tuple[str, ...], error: AdapterError, name: str) -> AdapterError:
    what = error.what
    for secret in secrets:
        what = what.replace(secret, "(secret)")
    if isinstance(error, Unavailable):
        return Unavailable(what, where=name, remedy=error.remedy, after=error.after)
    return type(error)(what, where=name, remedy=error.remedy)
