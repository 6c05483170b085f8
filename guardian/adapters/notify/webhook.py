"""Notices as JSON to a webhook: {"dedup", "summary", "body"}, with the key again as header Idempotency-Key.

The receiver is what makes a repeat harmless: the key is the same for all repeats of one notice.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from guardian.adapters._http import HttpClient, refusal, told


class WebhookNotifier:
    """Notifier by HTTP POST. url: read at each use, since such addresses often are secrets themselves."""

    def __init__(self, client: HttpClient, *, url: Callable[[], str], name: str = "webhook") -> None:
        self._client, self._url, self._name = client, url, name

    async def notify(self, *, dedup: str, summary: str, body: str) -> None:
        """Send the notice. Raises Unavailable or Refused. See Notifier."""
        content = msgspec.json.encode({"dedup": dedup, "summary": summary, "body": body})
        headers = {"Content-Type": "application/json", "Idempotency-Key": dedup}
        answer = await self._client.ask("POST", told(self._url), content=content, headers=headers, limit=1024 * 1024)
        if not 200 <= answer.status < 300:
            raise refusal(answer, self._name)
