"""Alertmanager's webhook (version 4) and Grafana's (version 1) -> one fact per alert.

Each alert is judged by its own status: a group that is firing may hold resolved alerts. Unknown keys are accepted,
since Alertmanager retries 5xx only and a 400 would lose the alert.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from guardian.core.facts import AlertSeen
from guardian.core.model import EventRef, Instant
from guardian.errors import EventError
from guardian.wire.reading import LATEST, MOST_BYTES, Decoded, convert, read_json

SOURCES: Final = {"4": "alertmanager", "1": "grafana"}
"""Version -> who sent it; members of one Alertmanager cluster share the source, so their copies are one alert."""


class Status(StrEnum):
    """How an alert stands."""

    FIRING = "firing"
    RESOLVED = "resolved"


class _Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of a group."""

    status: Status
    starts_at: datetime
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ends_at: datetime | None = None
    fingerprint: Annotated[str, Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None


class _Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """What is posted."""

    version: str
    alerts: tuple[_Alert, ...]
    truncated_alerts: int | None = 0


def decode_alerts(body: bytes, *, limit: int = MOST_BYTES) -> Decoded:
    """Return one AlertSeen per alert. Raises EventError with its reason, and nothing else."""
    webhook = convert(read_json(body, limit=limit), _Webhook)
    source = SOURCES.get(webhook.version)
    if source is None:
        what = f"webhook version '{webhook.version}' is not known"
        raise EventError(what, reason="unknown-type", remedy="send Alertmanager's version 4 or Grafana's 1")
    facts = tuple(_seen(alert, source, index) for index, alert in enumerate(webhook.alerts))
    truncated = webhook.truncated_alerts or 0
    notes = (f"{truncated} alerts of the group were cut off: raise max_alerts",) if truncated > 0 else ()
    return Decoded(facts=facts, notes=notes)


def _seen(alert: _Alert, source: str, index: int) -> AlertSeen:
    labels = alert.labels or {}
    starts_at = _instant(alert.starts_at, f"alerts[{index}].startsAt")
    fingerprint = alert.fingerprint or fingerprint_of(labels)
    resolved = alert.status is Status.RESOLVED
    ended = resolved and alert.ends_at is not None and alert.ends_at.year > 1
    return AlertSeen(
        # Annotations are rendered anew at each evaluation: never part of the identity.
        event=EventRef(source=source, id=f"{fingerprint}/{starts_at:.3f}/{alert.status.value}"),
        firing=not resolved,
        starts_at=starts_at,
        labels=labels,
        annotations=alert.annotations or {},
        ends_at=_instant(alert.ends_at, f"alerts[{index}].endsAt") if ended and alert.ends_at else None,
    )


def fingerprint_of(labels: dict[str, str]) -> str:
    """Return an identity of the labels, for senders that give none."""
    ordered = msgspec.json.encode(sorted(labels.items()))
    return hashlib.sha256(ordered).hexdigest()[:16]


def _instant(time: datetime, field: str) -> Instant:
    """Return unix seconds; "0001-01-01" means unknown to Alertmanager and is 0: before every rollout."""
    if time.tzinfo is None:
        raise EventError(f"field '{field}' has no zone", reason="bad-time", remedy="end it with Z or +00:00")
    return Instant(min(max(time.timestamp(), 0.0), LATEST))
