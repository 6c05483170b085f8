"""Notices in memory: one entry per key, as a pager would show them. For runs without anybody to tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a person was told, and how often it was repeated."""

    summary: str
    body: str
    times: int = 1


class MemoryNotifier:
    """Notifier that keeps the newest notice of each key."""

    def __init__(self) -> None:
        self.notices: dict[str, Notice] = {}

    async def notify(self, *, dedup: str, summary: str, body: str) -> None:
        """Keep the notice. See Notifier."""
        before = self.notices.get(dedup)
        self.notices[dedup] = Notice(summary=summary, body=body, times=1 + (before.times if before else 0))
