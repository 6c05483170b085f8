"""Decision events in the order of the journal: rollouts as they were right after each record. Sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guardian.core.events import decision_event
from guardian.core.world import World
from guardian.runtime.feed import Decided
from guardian.wire.decisions import encode_decision


@dataclass(frozen=True, slots=True)
class Told:
    """One decision event: the journal row it came from, its place in that row, key and CloudEvents JSON."""

    seq: int
    index: int
    key: str
    type: str
    body: bytes


class Story:
    """The world as it was at one place in the journal; `tell` moves on and returns the events of what it read.

    It forgets what the engine's world forgets, and no earlier: both are the fold of the same records.
    """

    def __init__(self, *, seq: int = 0, world: World | None = None) -> None:
        self.seq = seq
        self._world = world.copy() if world is not None else World()

    def tell(self, rows: Iterable[Decided]) -> list[Told]:
        """Apply rows, which must follow each other; return their events in order."""
        return [told for row in rows for told in self._row(row)]

    def _row(self, row: Decided) -> Iterator[Told]:
        self.seq = row.seq
        for index, record in enumerate(row.records):
            after = self._world.apply(record)
            if after is None or not record.sequence:  # type: ignore[union-attr]
                continue
            event = decision_event(record, after)  # type: ignore[arg-type]
            if event is not None:
                yield Told(row.seq, index, event.service, event.type, encode_decision(event))
