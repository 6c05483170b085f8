"""Reading a journal from outside: is it whole, and what does it say. Never writes; the daemon may run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from guardian.adapters._chain import GENESIS, link, opened, translated
from guardian.core.model import Seconds
from guardian.errors import JournalError

_ROWS = "SELECT seq, at, rollout, source, event, body, chain FROM journal ORDER BY seq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A whole journal: its rows, and the hash of the last one; kept elsewhere, that proves a later copy."""

    rows: int
    head: str


def verify(path: Path) -> Verified:
    """Follow the hash chain over all rows. Raises JournalError naming the first row that does not fit."""
    _exists(path)
    chain, last = GENESIS, 0
    with translated(path), closing(opened(path, busy=Seconds(5.0))) as connection:
        connection.execute("BEGIN")  # one snapshot, while the daemon goes on writing
        for *columns, stored in connection.execute(_ROWS):
            if columns[0] != last + 1:
                raise _damaged(path, last + 1, "is missing")
            chain = link(chain, tuple(columns))
            if chain != stored:
                raise _damaged(path, columns[0], "is not what was written there")
            last = columns[0]
        seq, head = _head(connection.execute("SELECT name, value FROM meta").fetchall())
        if (seq, head) != (last, chain):
            raise _damaged(path, last + 1, f"is missing: {seq} rows were stored")
    return Verified(rows=last, head=chain.hex())


def export(path: Path, *, after: int = 0) -> Iterator[bytes]:
    """Yield each row after that seq as one line of JSON: seq, at, rollout, source, id, fact, records."""
    _exists(path)
    with translated(path), closing(opened(path, busy=Seconds(5.0))) as connection:
        query = "SELECT seq, at, rollout, source, event, body FROM journal WHERE seq > ? ORDER BY seq"
        for seq, at, rollout, source, event, body in connection.execute(query, (after,)):
            entry = msgspec.json.decode(body)
            line = {"seq": seq, "at": at, "rollout": rollout, "source": source, "id": event, **entry}
            yield msgspec.json.encode(line) + b"\n"


def _head(meta: list[tuple[str, object]]) -> tuple[object, object]:
    values = dict(meta)
    return values.get("seq"), values.get("chain")


def _exists(path: Path) -> None:
    if not path.is_file():
        raise JournalError("does not exist", where=str(path), remedy="name the data folder of a guardian that has run")


def _damaged(path: Path, seq: int, what: str) -> JournalError:
    proved = f"rows 1 to {seq - 1} are proved" if seq > 1 else "no row is proved"
    remedy = (
        f"{proved}; stop the daemon, put this file aside and a copy in its place that `guardian journal verify COPY` "
        "finds whole; without one, start in an empty data folder: what rolls out just now is then unknown to it"
    )
    return JournalError(f"row {seq} {what}", where=str(path), remedy=remedy)
