"""Tapes in a folder: FOLDER/ENVIRONMENT/SERVICE/BEGAN-NUMBER.parquet, bounded by size and age, oldest dropped first.

One writer a folder. A part is there whole or not at all: what a crash left unfinished is removed at the next start.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from guardian.adapters._tape import header_of, part_in, read_part, read_title, write_part
from guardian.core.model import Instant, Seconds
from guardian.core.tape import Header, Part
from guardian.errors import TapeError

SUFFIX: Final = ".parquet"
Key = tuple[str, str, Path]
_OURS: Final = re.compile(r"\d+\.\d{6}-\d{6}\.parquet")
"""Names of parts; whatever else lies in the folder is left alone."""
NEVER: Final = Seconds(math.inf)


class TapeFolder:
    """Keeps parts. size: most bytes of one service. age: seconds after which a part is dropped."""

    def __init__(self, folder: Path, *, size: float = math.inf, age: Seconds = NEVER) -> None:
        self._folder, self._size, self._age = folder, size, age

    def begin(self, now: Instant) -> None:
        """Make the folder; remove what a crash left unfinished, and what is too old. Raises TapeError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for unfinished in self._folder.glob("*/*/*.part"):
                unfinished.unlink()
            for place in self._folder.glob("*/*/"):
                self._drop(place, now)
        except OSError as cause:
            raise self._full(self._folder, cause) from cause

    def keep(self, part: Part) -> int:
        """Store a part and return its bytes; safe to call in a thread. Raises TapeError, and nothing is stored."""
        header = part.header
        place = self._folder / _safe(header.environment) / _safe(header.service)
        path = place / f"{header.began:.6f}-{header.number:06d}{SUFFIX}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            write_part(part, path)
            size = path.stat().st_size
            self._drop(place, header.ended)
        except OSError as cause:
            raise self._full(path, cause) from cause
        return size

    def _drop(self, place: Path, now: Instant) -> None:
        """Drop the oldest parts of a service until it is within its bounds; the newest one stays."""
        files = sorted(file for file in place.glob(f"*{SUFFIX}") if _OURS.fullmatch(file.name))
        sizes = [file.stat() for file in files]
        total = sum(one.st_size for one in sizes)
        for number, (file, one) in enumerate(zip(files, sizes, strict=True)):
            too_old = float(file.name.rpartition("-")[0]) + self._age < now
            too_many = total > self._size and number < len(files) - 1
            if not (too_old or too_many):
                return
            file.unlink()
            total -= one.st_size

    def _full(self, path: Path, cause: OSError) -> TapeError:
        return TapeError(
            f"cannot be written: {cause.strerror or cause}", where=str(path),
            remedy="free space or mend the rights; rollouts go on, what they were given meanwhile is not recorded",
        )  # fmt: skip


def parts_of(paths: Iterable[Path]) -> dict[Key, list[tuple[Header, Path]]]:
    """Return the parts in files and folders by environment, service and folder, oldest first. Raises TapeError.

    The folder keeps runs of a simulation apart: they tell of the same time.
    """
    found: dict[Key, list[tuple[Header, Path]]] = {}
    for file in dict.fromkeys(file.resolve() for path in paths for file in _files(path)):
        header = header_of(file)
        found.setdefault((header.environment, header.service, file.parent), []).append((header, file))
    for parts in found.values():
        parts.sort(key=lambda one: (one[0].began, one[0].number))
    return found


def written_by(path: Path) -> str:
    """Return the version of slo-guardian that wrote a part. Raises TapeError."""
    return read_title(path).guardian


def read(path: Path) -> Part:
    """Return the part in a file. Raises TapeError."""
    return read_part(path)


def read_bytes(data: bytes, *, where: Path) -> Part:
    """Return the part whose file has this content, for whoever has not its folder. Raises TapeError."""
    return part_in(data, where)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    files = sorted(path.rglob(f"*{SUFFIX}"))
    if not files:
        raise TapeError(
            f"holds no tape: no file in it ends in {SUFFIX}", where=str(path),
            remedy="name what `guardian simulate --tape` wrote, or the folder of guardian.yaml's `record`",
        )  # fmt: skip
    yield from files


def _safe(name: str) -> str:
    """Return a name as one folder, whatever is in it."""
    return quote(name, safe=" ").replace(".", "%2E") if set(name) <= {"."} else quote(name, safe=" ")
