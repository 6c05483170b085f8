"""One part of a tape as a Parquet file: written whole or not at all, read with a clear word on what is wrong with it.

The header is in the file's metadata, entries are rows in their order. Which files there are is tapes/folder.py's part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from guardian.core.looks import Observed
from guardian.core.model import Instant, Seconds
from guardian.core.tape import VERSION, Entry, Header, Part
from guardian.errors import TapeError
from guardian.wire.tape import Kind, Row, Title, decode_entry, decode_title, encode_entry, encode_title

TITLE: Final = b"slo-guardian.tape"
"""Key of the file's metadata that holds the header."""
SCHEMA: Final = pa.schema(
    [
        ("entry", pa.int64()),  # numbers entries from 0; the samples of one batch share it
        ("kind", pa.string()),
        ("at", pa.float64()),  # the engine's now, unix seconds
        ("ahead", pa.float64()),
        ("body", pa.string()),
        ("series", pa.int64()),
        ("time", pa.float64()),
        ("value", pa.float64()),
        ("started", pa.float64()),
    ]
)
_SAMPLE: Final = ("series", "time", "value", "started")


def write_part(part: Part, path: Path) -> None:
    """Write a part beside its place, then move it there. Raises OSError; nothing is left then."""
    title = encode_title(part.header, guardian=version("slo-guardian"))
    table = _table(part.entries).replace_schema_metadata({TITLE: title})
    unfinished = path.with_suffix(".part")
    try:
        with unfinished.open("wb") as file:
            # NaN has many bits here (the staleness marker is one): a dictionary of values would know only one NaN
            pq.write_table(table, file, compression="zstd", use_dictionary=["kind", "body"])
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_title(path: Path) -> Title:
    """Return what a file says of itself. Raises TapeError when it is no part of a tape, or of another version."""
    return _title(path, path)


def _title(source: Path | pa.BufferReader, path: Path) -> Title:
    try:
        metadata = pq.read_schema(source).metadata or {}
    except (pa.ArrowException, OSError) as cause:
        raise _unreadable(path, cause) from cause
    if TITLE not in metadata:
        raise TapeError(
            "is a Parquet file, but no tape", where=str(path),
            remedy="name what `guardian simulate --tape` or a daemon with `record` wrote; samples are for `judge`",
        )  # fmt: skip
    try:
        title = decode_title(metadata[TITLE])
    except msgspec.MsgspecError as cause:
        raise _damaged(path, f"its header does not read: {cause}") from cause
    if isinstance(title, int):
        raise TapeError(
            f"is a tape of version {title}; this is version {VERSION}", where=str(path),
            remedy="replay it with the slo-guardian that wrote it, or a newer one",
        )  # fmt: skip
    return title


def read_part(path: Path) -> Part:
    """Return the part in a file. Raises TapeError."""
    return _part(lambda: path, path)


def part_in(data: bytes, path: Path) -> Part:
    """Return the part whose file has this content. path: what errors call it. Raises TapeError."""
    return _part(lambda: pa.BufferReader(data), path)


def _part(source: Callable[[], Path | pa.BufferReader], path: Path) -> Part:
    header = _title(source(), path).header
    try:
        table = pq.read_table(source())
    except (pa.ArrowException, OSError) as cause:
        raise _unreadable(path, cause) from cause
    if table.schema.names != SCHEMA.names:
        raise _damaged(path, f"its columns are {', '.join(table.schema.names)}, not {', '.join(SCHEMA.names)}")
    return Part(header=header, entries=tuple(_entries(table, path)))


def _table(entries: Sequence[Entry]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for number, entry in enumerate(entries):
        row = encode_entry(entry)
        count = 1 if row.samples is None else len(row.samples.series)
        plain = {"entry": number, "at": row.at, "ahead": row.ahead}
        for name, value in plain.items():
            columns[name].append(np.full(count, value))
        columns["kind"] += [row.kind.value] * count
        columns["body"] += [row.body] * count
        for name in _SAMPLE:
            own = np.full(1, row.series if name == "series" else np.nan)
            columns[name].append(getattr(row.samples, name) if row.samples is not None else own)
    arrays = [
        pa.array(columns[name] if field.type == pa.string() else _joined(columns[name], field.type), type=field.type)
        for name, field in zip(SCHEMA.names, SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _joined(parts: list[Any], kind: pa.DataType) -> Any:
    dtype = np.int64 if kind == pa.int64() else np.float64
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)


def _entries(table: pa.Table, path: Path) -> Iterator[Entry]:
    numbers = table["entry"].to_numpy()
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    ends = np.append(starts[1:], len(numbers))[: len(starts)]
    kinds, bodies = (table[name].take(pa.array(starts)).to_pylist() for name in ("kind", "body"))
    at, ahead, series = (table[name].to_numpy() for name in ("at", "ahead", "series"))
    samples = {name: table[name].to_numpy() for name in _SAMPLE}
    for number, (begin, end) in enumerate(zip(starts, ends, strict=True)):
        try:
            kind = Kind(kinds[number])
            batch = Observed(**{name: samples[name][begin:end] for name in _SAMPLE})
            row = Row(
                kind=kind, at=Instant(float(at[begin])), ahead=Seconds(float(ahead[begin])), body=bodies[number],
                series=int(series[begin]), samples=batch if kind is Kind.OBSERVED else None,
            )  # fmt: skip
            yield decode_entry(row)
        except (msgspec.MsgspecError, ValueError) as cause:
            raise _damaged(path, f"row {int(begin) + 1} does not read: {cause}") from cause


def header_of(path: Path) -> Header:
    """Return the header of a part. Raises TapeError."""
    return read_title(path).header


def _unreadable(path: Path, cause: Exception) -> TapeError:
    if isinstance(cause, OSError) and cause.errno:
        what = f"cannot be read: {os.strerror(cause.errno)}"
        return TapeError(what, where=str(path), remedy="check the path and its rights")
    return _damaged(path, f"is cut off, or is no Parquet file: {str(cause).splitlines()[0]}")


def _damaged(path: Path, what: str) -> TapeError:
    return TapeError(what, where=str(path), remedy="restore a copy, or leave this part out: the others can be replayed")
