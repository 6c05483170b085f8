"""Notices as incidents of PagerDuty: triggered, and resolved when what they are about is over (Events API v2).

PagerDuty itself drops repeats: all events of one incident carry the same `dedup_key`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from guardian.adapters._http import HttpClient, Secret, told
from guardian.adapters._post import post
from guardian.ports import Notice

URL: Final = "https://events.pagerduty.com"
_SUMMARY: Final = 1024
_KEY: Final = 255
"""Longest summary and dedup_key that PagerDuty takes."""


class PagerDutyNotifier:
    """Pager by Events API v2. url: of PagerDuty, without the path. key: routing key of the integration."""

    def __init__(self, client: HttpClient, *, key: Secret, url: str = URL, name: str = "pagerduty") -> None:
        self._client, self._key, self._url, self._name = client, key, url.rstrip("/"), name

    async def notify(self, notice: Notice) -> None:
        """Trigger the incident. Raises Unavailable or Refused. See Pager."""
        await self._send(trigger(notice))

    async def resolve(self, incident: str) -> None:
        """Resolve the incident. Raises Unavailable or Refused. See Pager."""
        await self._send({"event_action": "resolve", "dedup_key": dedup_key(incident)})

    async def _send(self, event: Mapping[str, Any]) -> None:
        key = told(self._key)
        content = {"routing_key": key, **event}
        await post(self._client, f"{self._url}/v2/enqueue", content, name=self._name, secrets=(key,))


def trigger(notice: Notice) -> dict[str, Any]:
    """Return the JSON that opens the notice's incident, or adds to it while it is open."""
    event: dict[str, Any] = {
        "event_action": "trigger",
        "dedup_key": dedup_key(notice.incident),
        "client": "slo-guardian",
        "payload": {
            "summary": notice.summary[:_SUMMARY],
            "source": notice.subject,
            "severity": notice.urgency,
            "timestamp": datetime.fromtimestamp(notice.at, UTC).isoformat(),
            "custom_details": {"reason": notice.reason, **notice.facts, "notice": notice.dedup},
        },
    }
    if notice.link:
        event |= {"client_url": notice.link, "links": [{"href": notice.link, "text": "the rollout"}]}
    return event


def dedup_key(incident: str) -> str:
    """Return the incident's key as PagerDuty takes it; a longer one ends in a digest of all of it.

    >>> dedup_key("checkout-1/no-data-errors")
    'checkout-1/no-data-errors'
    """
    digest = hashlib.sha256(incident.encode()).hexdigest()
    return incident if len(incident) <= _KEY else f"{incident[: _KEY - 1 - len(digest)]}-{digest}"
