"""From the journal to a world: the fold of all records, and where each sink stands in it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from guardian.core.world import World
from guardian.ports import Journal
from guardian.runtime.outbox import CURSOR
from guardian.runtime.story import Story
from guardian.wire.entry import decode_entry

_log = structlog.get_logger(__name__)
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The world after row `head`, and the story of each sink that has a cursor."""

    world: World
    head: int
    stories: Mapping[str, Story]


async def recover(journal: Journal) -> Recovered:
    """Read the whole journal.

    Raises JournalError for a row that does not read, IllegalTransition for one that does not fit those
    before it.
    """
    cursors = _cursors(journal)
    world, head = World(), 0
    stories = {name: Story() for name, seq in cursors.items() if seq == 0}
    with _without_collection():
        while rows := journal.read(after=head, limit=_AT_ONCE):
            for row in rows:
                for record in decode_entry(row.body, seq=row.seq).records:
                    world.apply(record)
                head = row.seq
                for name, seq in cursors.items():
                    if seq == head:
                        stories[name] = Story(seq=head, world=world)
            await asyncio.sleep(0)  # the web answers meanwhile that we are not ready
    for name, seq in cursors.items():
        if seq > head:
            _log.warning("cursor_ahead", sink=name, cursor=seq, head=head)
            stories[name] = Story(seq=head, world=world)
    return Recovered(world=world, head=head, stories=stories)


def _cursors(journal: Journal) -> dict[str, int]:
    return {name.removeprefix(CURSOR): int(value) for name, value in journal.notes(CURSOR).items()}


@contextmanager
def _without_collection() -> Iterator[None]:
    """The fold only allocates; the garbage collector would walk all of it again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
