"""Notices as JSON to a webhook: {"dedup", "summary", "body"}, with the key again as header Idempotency-Key.

The receiver is what makes a repeat harmless: the key is the same for all repeats of one notice.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from guardian.adapters._http import Answer, HttpClient, refusal, told
from guardian.errors import AdapterError


class WebhookNotifier:
    """Notifier by HTTP POST. url: read at each use, since such addresses often are secrets themselves."""

    def __init__(self, client: HttpClient, *, url: Callable[[], str], name: str = "webhook") -> None:
        self._client, self._url, self._name = client, url, name

    async def notify(self, *, dedup: str, summary: str, body: str) -> None:
        """Send the notice. Raises Unavailable or Refused. See Notifier."""
        content = msgspec.json.encode({"dedup": dedup, "summary": summary, "body": body})
        url = told(self._url)
        try:
            answer = await self._post(url, dedup, content)
        except AdapterError as error:
            raise self._without(url, error) from None
        if not 200 <= answer.status < 300:
            raise self._without(url, refusal(answer, self._name))

    async def _post(self, url: str, dedup: str, content: bytes) -> Answer:
        headers = {"Content-Type": "application/json", "Idempotency-Key": dedup}
        return await self._client.ask("POST", url, content=content, headers=headers, limit=1024 * 1024)

    def _without(self, url: str, error: AdapterError) -> AdapterError:
        """Return the error without the address: /readyz and the log show it to people who must not know that."""
        what, parts = error.what, urlsplit(url)
        for secret in (url, f"{parts.path}?{parts.query}" if parts.query else "", parts.path):
            what = what.replace(secret, "(address)") if len(secret) > 1 else what
        return type(error)(what, where=self._name, remedy=error.remedy)
