"""Decision events in the order of the journal: rollouts as they were right after each record. Sends nothing.

Rows that have just become durable remember what they led to; a story is for those that are read back.
"""

from __future__ import annotations

from collections.abc import Iterable

from guardian.core.rollout import Rollout
from guardian.core.world import World
from guardian.runtime.feed import Decided, Told

__all__ = ["Story", "Told", "remembered", "told"]


def remembered(rows: Iterable[Decided]) -> bool:
    """Whether all of these rows remember what they led to, so that no world is needed to tell of them."""
    return all(row.after is not None for row in rows)


def told(rows: Iterable[Decided]) -> list[Told]:
    """Return the events, in order, of rows that remember what they led to."""
    return [one for row in rows if row.after is not None for one in row.told(row.after)]


class Story:
    """The world as it was at one place in the journal; `tell` moves on and returns the events of what it read.

    It forgets what the engine's world forgets, and no earlier: both are the fold of the same records.
    """

    def __init__(self, *, seq: int = 0, world: World | None = None) -> None:
        self.seq = seq
        self._world = world.copy() if world is not None else World()

    def tell(self, rows: Iterable[Decided]) -> list[Told]:
        """Apply rows, which must follow each other; return their events in order."""
        return [one for row in rows for one in row.told(self._apply(row))]

    def skip(self, rows: Iterable[Decided]) -> None:
        """Apply rows, which must follow each other, without telling of them."""
        for row in rows:
            self._apply(row)

    def _apply(self, row: Decided) -> list[Rollout | None]:
        self.seq = row.seq
        return [self._world.apply(record) for record in row.records]
