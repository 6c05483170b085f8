"""Notices in memory, as a pager would show them: one entry per key. For runs without anybody to tell."""

from __future__ import annotations

from guardian.ports import Notice


class MemoryNotifier:
    """Pager that keeps the newest notice of each key, and how often it came. open: dedup keys by incident."""

    def __init__(self) -> None:
        self.notices: dict[str, Notice] = {}
        self.times: dict[str, int] = {}
        self.open: dict[str, str] = {}

    async def notify(self, notice: Notice) -> None:
        """Keep the notice. See Notifier."""
        self.notices[notice.dedup] = notice
        self.times[notice.dedup] = self.times.get(notice.dedup, 0) + 1
        self.open[notice.incident] = notice.dedup

    async def resolve(self, incident: str) -> None:
        """Close the incident. See Pager."""
        self.open.pop(incident, None)
