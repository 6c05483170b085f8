"""What a search has measured, kept in a file as it comes: a search that was killed goes on where it was.

JSON lines: a header that says what is searched, then one line a finished task. A last line that was torn is dropped.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedIOBase, RawIOBase
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from guardian.errors import ConfigError
from simulator.tuning.trial import Tried

KIND: Final = "TuningState"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched: digests of the policy, the space, the scenarios and the tapes, and what plays them."""

    kind: str = KIND
    policy: str
    space: str
    scenarios: str
    made_with: str
    tapes: str = ""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    runs: tuple[Tried, ...]


class Kept:
    """Finished tasks by key; each one that is added is on the disk before `add` returns."""

    def __init__(
        self, found: Mapping[str, tuple[Tried, ...]], file: RawIOBase | BufferedIOBase | None = None, where: str = ""
    ) -> None:
        self._found, self._file, self._where = dict(found), file, where

    def get(self, key: str) -> tuple[Tried, ...] | None:
        """Return the runs of a task that was done."""
        return self._found.get(key)

    def add(self, key: str, runs: tuple[Tried, ...]) -> None:
        """Keep the runs of a task. Raises ConfigError where they cannot be written."""
        self._found[key] = runs
        if self._file is not None:
            _append(self._file, _Line(key=key, runs=runs), self._where)


@contextmanager
def kept_in(path: Path | None, header: Header) -> Iterator[Kept]:
    """Open what was kept, or begin it; None keeps it in memory only.

    Raises ConfigError where the file cannot be used, belongs to another search, or another process has it.
    """
    if path is None:
        yield Kept({})
        return
    where = f"--state {path}"
    if path.exists() and not path.is_file():
        _refuse(where, "is no file")
    try:
        file = path.open("a+b")
    except OSError as error:
        raise ConfigError(
            f"cannot be opened: {error.strerror}", where=where, remedy="check the path and its rights"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                "is in use by another search", where=where, remedy="wait for it, or name another file"
            ) from None
        yield Kept(_read(file, header, where), file, where)


def _read(file: RawIOBase | BufferedIOBase, header: Header, where: str) -> dict[str, tuple[Tried, ...]]:
    file.seek(0)
    whole = file.read()
    end = whole.rfind(b"\n") + 1
    lines = whole[:end].splitlines()
    if not lines:
        if whole and not msgspec.json.encode(header).startswith(whole):
            _refuse(where, "is something else")
        file.truncate(0)
        _append(file, header, where)
        return {}
    try:
        old = msgspec.json.decode(lines[0], type=Header)
    except msgspec.DecodeError:
        _refuse(where, "is something else")
    if old.kind != KIND:
        _refuse(where, "is something else")
    if old != header:
        other = [
            name
            for name in ("policy", "space", "scenarios", "tapes", "made_with")
            if getattr(old, name) != getattr(header, name)
        ]
        _refuse(where, f"is of another search: {', '.join(other).replace('made_with', 'version')} changed since")
    file.truncate(end)  # a torn last line: its task is done again
    found = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            kept = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError as error:
            raise ConfigError(f"is damaged: {error}", where=f"{where}:{number}", remedy="remove the line") from None
        found[kept.key] = kept.runs
    return found


def _refuse(where: str, what: str) -> NoReturn:
    raise ConfigError(what, where=where, remedy="name another file, or remove this one to begin anew")


def _append(file: RawIOBase | BufferedIOBase, line: msgspec.Struct, where: str) -> None:
    try:
        file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        remedy = "make room; what is in the file is kept, and the same command goes on from it"
        raise ConfigError(f"cannot be written: {error.strerror}", where=where, remedy=remedy) from None
