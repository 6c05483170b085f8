"""Bytes from outside -> facts, records -> bytes: pure, one file per format, and the table of webhook formats."""

from __future__ import annotations

from typing import Final, Protocol

from guardian.wire.alertmanager import decode_alerts
from guardian.wire.cloudevents import decode_event, read_headers
from guardian.wire.reading import MOST_BYTES, Decoded, Headers


class Decoder(Protocol):
    """Reads the body of a webhook, which may have `limit` bytes. Raises EventError, and nothing else."""

    def __call__(self, body: bytes, *, limit: int = MOST_BYTES) -> Decoded: ...


DECODERS: Final[dict[str, Decoder]] = {
    "alertmanager": decode_alerts,
}
"""Webhooks in: name -> decoder; served at POST /hooks/NAME. Grafana posts to the same one."""

__all__ = ["DECODERS", "Decoded", "Decoder", "Headers", "decode_alerts", "decode_event", "read_headers"]
