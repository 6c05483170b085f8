"""JSON logs, one object a line: event name and fields. A decision is logged once, from its record."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import msgspec
import structlog

from guardian.core import records as r

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_WARNINGS: Final = (r.Paged, r.RollbackOrdered)
_ROUTINE: Final = (r.EffectOrdered, r.EffectEnded, r.PolicyAdopted)
"""Logged at level debug: a decision that matters stands beside each of them."""


def configure_logs(level: str, *, out: BinaryIO | None = None) -> None:
    """Write logs of that level and above to `out` (default: standard error); libraries only warnings."""
    threshold = _LEVELS[level]
    stream = out if out is not None else sys.stderr.buffer
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = _Forward()
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)


class DecisionLog:
    """Logs conclusions as they are in the journal, under `record`; written in one go, since there may be many."""

    def __init__(self, out: BinaryIO, *, level: str) -> None:
        self._out, self._threshold = out, _LEVELS[level]
        self._encode = msgspec.json.Encoder().encode
        self._heads: dict[type, bytes | None] = {}

    def write(self, records: Iterable[r.Record]) -> None:
        """Log each record once."""
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        lines = [line for record in records if (line := self._line(record, stamp)) is not None]
        if lines:
            self._out.write(b"".join(lines))
            self._out.flush()

    def _line(self, record: r.Record, stamp: str) -> bytes | None:
        kind = type(record)
        if kind not in self._heads:
            self._heads[kind] = self._head(kind)
        head = self._heads[kind]
        if head is None:
            return None
        return head + b'"timestamp":"%s","record":%s}\n' % (stamp.encode(), self._encode(record))

    def _head(self, kind: type) -> bytes | None:
        """Return how each line about such a record begins; None when it is below the level that is logged."""
        level = "warning" if issubclass(kind, _WARNINGS) else "debug" if issubclass(kind, _ROUTINE) else "info"
        if _LEVELS[level] < self._threshold:
            return None
        return b'{"event":"%s","level":"%s",' % (_snake(kind.__name__).encode(), level.encode())


class _Forward(logging.Handler):
    """Brings what libraries log into the same form, and keeps one that repeats itself from filling the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._log = structlog.get_logger("library")
        self._last: tuple[str, str] = ("", "")
        self._repeats = 0

    def emit(self, record: logging.LogRecord) -> None:
        key = (record.name, record.getMessage())
        self._repeats = self._repeats + 1 if key == self._last else 0
        self._last = key
        if self._repeats & (self._repeats - 1):  # of repeats, only the 1st, 2nd, 4th, 8th ...
            return
        fields: dict[str, Any] = {"logger": record.name, "text": key[1], "repeats": self._repeats}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._log.log(record.levelno, "library", **fields)


def _render(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> bytes:
    return msgspec.json.encode(fields, enc_hook=str)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
