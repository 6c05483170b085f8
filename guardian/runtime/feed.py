"""Durable decisions as a stream: the newest from memory, older ones from the journal. Readers keep their own place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from guardian.core.events import decision_event
from guardian.core.paging import over
from guardian.core.records import Record
from guardian.core.rollout import Rollout
from guardian.ports import Journal
from guardian.wire.decisions import encode_decision
from guardian.wire.entry import decode_entry

_REMEMBERED: Final = 5_000
"""Newest decisions kept in memory."""
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Told:
    """One decision event: the journal row it came from, its place in that row, key and CloudEvents JSON.

    page: key of the page, "" where it is none. over: keys of incidents that are over by it.
    """

    seq: int
    index: int
    key: str
    type: str
    body: bytes
    page: str = ""
    over: tuple[str, ...] = ()


class Decided:
    """The records of one journal row. after: the rollout right after each record; None where nobody remembers."""

    __slots__ = ("_told", "after", "records", "seq")

    def __init__(self, seq: int, records: tuple[Record, ...], after: tuple[Rollout | None, ...] | None = None) -> None:
        self.seq, self.records, self.after = seq, records, after
        self._told: list[Told] | None = None

    def told(self, after: Sequence[Rollout | None]) -> list[Told]:
        """Return the row's events, given the rollout right after each record; made once, for all who tell them."""
        if self._told is None:
            found = []
            for index, (record, rollout) in enumerate(zip(self.records, after, strict=True)):
                if rollout is None or not record.sequence:  # type: ignore[union-attr]
                    continue
                event = decision_event(record, rollout)  # type: ignore[arg-type]
                if event is not None:
                    page, ended = getattr(record, "key", ""), over(record, rollout)  # type: ignore[arg-type]
                    body = encode_decision(event)
                    found.append(Told(self.seq, index, event.service, event.type, body, page, ended))
            self._told = found
        return self._told


class Feed:
    """What the journal holds, in order. `push` is called once per durable row. remembered: rows kept in memory."""

    def __init__(self, journal: Journal, *, remembered: int = _REMEMBERED) -> None:
        self.head = 0
        self._journal = journal
        self._newest: deque[Decided] = deque(maxlen=remembered)
        self._grown = asyncio.Event()

    def push(self, decided: Decided) -> None:
        """Add the row after the newest one."""
        self.head = decided.seq
        self._newest.append(decided)
        self._grown.set()

    async def after(self, seq: int) -> Sequence[Decided]:
        """Wait for rows after `seq`; return some of them, in order, without a gap."""
        while self.head <= seq:
            self._grown.clear()
            await self._grown.wait()
        return await self.so_far(seq)

    async def so_far(self, seq: int) -> Sequence[Decided]:
        """Return some of the rows after `seq`, none when there are none."""
        if self.head <= seq:
            return ()
        if self._newest and self._newest[0].seq <= seq + 1:
            first = seq + 1 - self._newest[0].seq
            return [self._newest[i] for i in range(first, min(first + _AT_ONCE, len(self._newest)))]
        return await asyncio.to_thread(self._read, seq)

    def _read(self, seq: int) -> list[Decided]:
        rows = self._journal.read(after=seq, limit=_AT_ONCE)
        return [Decided(row.seq, decode_entry(row.body, seq=row.seq).records) for row in rows]
