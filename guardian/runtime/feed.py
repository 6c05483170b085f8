"""Durable decisions as a stream: the newest from memory, older ones from the journal. Readers keep their own place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from guardian.core.records import Record
from guardian.ports import Journal
from guardian.wire.entry import decode_entry

_REMEMBERED: Final = 5_000
"""Newest decisions kept in memory."""
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Decided:
    """The records of one journal row."""

    seq: int
    records: tuple[Record, ...]


class Feed:
    """What the journal holds, in order. `push` is called once per durable row."""

    def __init__(self, journal: Journal) -> None:
        self.head = 0
        self._journal = journal
        self._newest: deque[Decided] = deque(maxlen=_REMEMBERED)
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
