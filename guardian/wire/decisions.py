"""Decision events out: DecisionEvent -> CloudEvents JSON. The same event is always the same bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

import msgspec

from guardian.core.events import DecisionEvent

SOURCE: Final = "slo-guardian"
_ENVELOPE: Final = frozenset({"type", "id"})
_FIELDS: Final = tuple(name for name in DecisionEvent.__struct_fields__ if name not in _ENVELOPE)
_VALUES: Final = attrgetter(*_FIELDS)
_ENCODER: Final = msgspec.json.Encoder()


def rfc3339(instant: float) -> str:
    """Return unix seconds as RFC 3339 UTC with milliseconds.

    >>> rfc3339(1795251600.25)
    '2026-11-21T09:00:00.250Z'
    """
    time = datetime.fromtimestamp(instant, UTC)
    return time.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def decision_data(event: DecisionEvent) -> dict[str, Any]:
    """Return the `data` of a decision event, fields in the order of the contract."""
    return _data(event, rfc3339(event.decided_at))


def _data(event: DecisionEvent, decided_at: str) -> dict[str, Any]:
    data = dict(zip(_FIELDS, _VALUES(event), strict=True))
    data["decided_at"] = decided_at
    if data["cause"] is msgspec.UNSET:
        del data["cause"]
    return data


def encode_decision(event: DecisionEvent, *, source: str = SOURCE) -> bytes:
    """Return the event as structured CloudEvents JSON; its Kafka key is `event.service`."""
    decided_at = rfc3339(event.decided_at)
    return _ENCODER.encode(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": source,
            "type": event.type,
            "subject": event.service,
            "time": decided_at,
            "datacontenttype": "application/json",
            "data": _data(event, decided_at),
        }
    )
