"""Notices as log lines: what a person would be told, where the log goes. Repeats are written again."""

from __future__ import annotations

import structlog

from guardian.ports import Notice

_log = structlog.get_logger(__name__)


class LogNotifier:
    """Notifier that writes to the log at level warning."""

    async def notify(self, notice: Notice) -> None:
        """Write the notice. See Notifier."""
        _log.warning("notice", dedup=notice.dedup, summary=notice.summary, body=notice.body)
