"""When events become durable, as an onlooker sees it: the daemon's journal, read over a connection of our own."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

EVERY: Final = 0.002
"""Seconds between two looks; asking whether anything was committed takes some microseconds."""


@contextmanager
def watching(file: Path) -> Iterator[Mapping[str, float]]:
    """Note when each event, by its id, is first seen in the journal (unix seconds), until the block ends."""
    shown: dict[str, float] = {}
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(file, shown, ended), name="journal-watch")
    watch.start()
    try:
        yield shown
    finally:
        ended.set()
        watch.join()


def _watch(file: Path, shown: dict[str, float], ended: threading.Event) -> None:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as journal:
        version, last = -1, 0
        while not ended.wait(EVERY):
            newest = journal.execute("PRAGMA data_version").fetchone()[0]
            if newest == version:
                continue
            version = newest
            rows = journal.execute("SELECT seq, event FROM journal WHERE seq > ? ORDER BY seq", (last,)).fetchall()
            now = time.time()
            for seq, event in rows:
                last = seq
                if event is not None:
                    shown.setdefault(event, now)
