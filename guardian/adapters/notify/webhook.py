"""Notices as JSON to a webhook: {"dedup", "summary", "body"}, with the key again as header Idempotency-Key.

The receiver is what makes a repeat harmless: the key is the same for all repeats of one notice.
"""

from __future__ import annotations

from guardian.adapters._http import HttpClient, Secret, told
from guardian.adapters._post import address_parts, post
from guardian.ports import Notice


class WebhookNotifier:
    """Notifier by HTTP POST. url: read at each use, since such addresses often are secrets themselves."""

    def __init__(self, client: HttpClient, *, url: Secret, name: str = "webhook") -> None:
        self._client, self._url, self._name = client, url, name

    async def notify(self, notice: Notice) -> None:
        """Send the notice. Raises Unavailable or Refused. See Notifier."""
        url = told(self._url)
        content = {"dedup": notice.dedup, "summary": notice.summary, "body": notice.body}
        headers = {"Idempotency-Key": notice.dedup}
        await post(self._client, url, content, name=self._name, secrets=address_parts(url), headers=headers)
