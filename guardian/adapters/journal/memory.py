"""A journal that lasts as long as the process: for demos and tests. Same promise, but for the crash."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from guardian.core.model import EventRef
from guardian.errors import JournalError
from guardian.ports import Row


class MemoryJournal:
    """Keeps rows in a list. `trouble` may be set to see what a daemon does while its store fails."""

    def __init__(self) -> None:
        self.trouble: JournalError | None = None
        self._rows: list[Row] = []
        self._events: dict[EventRef, int] = {}
        self._notes: dict[str, bytes] = {}
        self._closed = False

    def append(self, rows: Sequence[Row], *, notes: Mapping[str, bytes | None] = {}) -> Future[int]:
        future: Future[int] = asyncio.get_running_loop().create_future()
        refusal = self._refusal(rows)
        if refusal is not None:
            future.set_exception(refusal)
            return future
        for row in rows:
            self._rows.append(replace(row, seq=len(self._rows) + 1))
            if row.event is not None:
                self._events[row.event] = len(self._rows)
        for name, value in notes.items():
            if value is None:
                self._notes.pop(name, None)
            else:
                self._notes[name] = value
        future.set_result(len(self._rows))
        return future

    def _refusal(self, rows: Sequence[Row]) -> JournalError | None:
        if self._closed:
            return JournalError("the journal is closed", remedy="open it again")
        events = [row.event for row in rows if row.event is not None]
        for event, times in Counter(events).items():
            if event in self._events or times > 1:
                return JournalError(
                    f"event {event.id} of {event.source} is in the journal already",
                    remedy="ask `known` before appending",
                )
        return None

    def known(self, events: Sequence[EventRef]) -> Mapping[EventRef, int]:
        return {event: self._events[event] for event in events if event in self._events}

    def read(self, *, after: int = 0, limit: int = 1000) -> Sequence[Row]:
        return self._rows[after : after + limit]

    def history(self, rollout: str, *, limit: int = 1000) -> Sequence[Row]:
        return [row for row in self._rows if row.rollout == rollout][-limit:]

    def notes(self, prefix: str = "") -> Mapping[str, bytes]:
        return {name: value for name, value in self._notes.items() if name.startswith(prefix)}

    async def close(self) -> None:
        self._closed = True
