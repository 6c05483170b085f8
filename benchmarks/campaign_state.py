"""What an unfinished campaign has done so far, in a file that only grows: a header, then a line per chunk.

A line that was cut off by a crash is dropped. The rule that judges is not here but in benchmarks/cells.py.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from benchmarks.cells import Counts

FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the chunks of one file have in common; a change in any of it starts afresh.

    sources: digest of the code the counts depend on.
    commit, dirty, seed: as they were when the campaign began.
    """

    name: str
    sources: str
    commit: str
    dirty: bool
    seed: int
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Counts of one call of a cell's `run`.

    index: 0, 1, .. within the cell.
    session: 0, 1, .. : which start of the program it was. elapsed: seconds since that start.
    """

    cell: str
    index: int
    counts: Counts
    session: int
    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state file of one campaign."""

    path: Path
    header: Header

    @classmethod
    def open(cls, path: Path, fresh: Header, *, keep_seed: bool) -> Self:
        """Go on with the file there, if the same code wrote it; else begin a new one with `fresh`.

        keep_seed: the caller insists on the seed of `fresh`; another seed in the file then starts afresh.
        """
        old = _read_header(path)
        if old is not None and _continues(old, fresh, keep_seed=keep_seed):
            return cls(path=path, header=old)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(fresh)) + "\n", encoding="utf-8")
        return cls(path=path, header=fresh)

    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks that were written whole, in the order they ended."""
        return tuple(_decoded(self.path))

    def append(self, chunk: Chunk) -> None:
        """Add one chunk. A broken last line is left behind on a line of its own."""
        whole = self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + _encoded(chunk) + "\n")

    def remove(self) -> None:
        """Forget it: the results are written."""
        self.path.unlink(missing_ok=True)


def _continues(old: Header, fresh: Header, *, keep_seed: bool) -> bool:
    same_code = (old.format, old.name, old.sources) == (fresh.format, fresh.name, fresh.sources)
    return same_code and (old.seed == fresh.seed or not keep_seed)


def _read_header(path: Path) -> Header | None:
    """The header of the file; None when there is no file or it does not begin with one."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    try:
        return Header(**json.loads(first))
    except (TypeError, ValueError):
        return None


def _encoded(chunk: Chunk) -> str:
    figures = {
        name: [value if math.isfinite(value) else str(value) for value in values]
        for name, values in chunk.counts.figures.items()
    }
    counts = {"runs": chunk.counts.runs, "events": dict(chunk.counts.events), "figures": figures}
    line = {"cell": chunk.cell, "index": chunk.index, "session": chunk.session, "elapsed": chunk.elapsed}
    return json.dumps(line | {"counts": counts})


def _decoded(path: Path) -> Iterator[Chunk]:
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        try:
            raw = json.loads(line)
        except ValueError:
            continue
        counts = raw["counts"]
        figures = {name: tuple(map(float, values)) for name, values in counts["figures"].items()}
        yield Chunk(
            cell=raw["cell"],
            index=raw["index"],
            counts=Counts(runs=counts["runs"], events=counts["events"], figures=figures),
            session=raw["session"],
            elapsed=raw["elapsed"],
        )
