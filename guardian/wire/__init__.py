"""Bytes from outside -> facts, records -> bytes: pure, one file per format, and the table of webhook formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from guardian.wire.alertmanager import decode_alerts
from guardian.wire.cloudevents import decode_event, read_headers
from guardian.wire.reading import Decoded, Headers

DECODERS: Final[dict[str, Callable[[bytes], Decoded]]] = {
    "alertmanager": decode_alerts,
}
"""Webhooks in: name -> decoder; served at POST /hooks/NAME. Grafana posts to the same one."""

__all__ = ["DECODERS", "Decoded", "Headers", "decode_alerts", "decode_event", "read_headers"]
