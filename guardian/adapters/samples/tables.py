"""Reads a long table of samples (CONTRACTS section 6), CSV or Parquet, a batch at a time, and checks every row.

Raises SamplesError with file, line (or row) and column at the first row that breaks the contract. It holds
one batch, the names seen so far and the newest time of each rollout; it judges nothing. Which rollouts are read
together, where there are many, is waves.py's part.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from guardian.adapters._faults import locate
from guardian.core.samples import Batch
from guardian.errors import SamplesError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BATCH_ROWS: Final = 400_000
"""Rows handed on at once: with fewer, a file of one rollout after the other has too few of them side by side."""
READ_ROWS: Final = 100_000
"""Rows read from Parquet at once; what they take while they are decoded is several times a batch."""
BLOCK_BYTES: Final = 6 << 20
TEXTS: Final = ("rollout_id", "track", "pod", "metric", "le")
NUMBERS: Final = ("t", "dt", "requests", "bad", "count", "value")
OPTIONAL: Final = ("value", "requests", "bad", "le", "count")
TRACKS: Final = ("stable", "canary")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Rows begin..end-1 of a file, counted from 0."""

    path: Path
    begin: int = 0
    end: int = sys.maxsize


class Samples:
    """Rows of some files, in order. `rollouts`, `metrics`, `pods` grow as names are met.

    only: the rollouts whose rows are read, in the order in which they are numbered; None: all.
    """

    def __init__(self, files: Sequence[Path | Stretch], *, only: Sequence[str] | None = None) -> None:
        self._stretches = [file if isinstance(file, Stretch) else Stretch(path=file) for file in files]
        self._all = only is None
        self.rollouts: list[str] = list(only or ())
        self.metrics: list[str] = []
        self.pods: list[str] = []
        numbers = {name: number for number, name in enumerate(self.rollouts)}
        self._codes: dict[str, dict[str, int]] = {"rollout_id": numbers, "metric": {}, "pod": {}}
        self._bounds: dict[str, float] = {"": float("nan")}
        self._newest = np.zeros(0)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of all files. Raises SamplesError."""
        parts: list[Batch] = []
        for stretch in self._stretches:
            for row, table in open_table(stretch):
                batch = self._convert(table, stretch.path, row) if self._all else self._some(table, stretch.path, row)
                parts.append(batch)
                if sum(map(len, parts)) >= BATCH_ROWS:
                    yield Batch.joined(parts)
                    parts = []
        if sum(map(len, parts)):
            yield Batch.joined(parts)

    def _some(self, table: pa.RecordBatch, path: Path, row: int) -> Batch:
        """The rows of the rollouts that are read."""
        code, names = coded(table, "rollout_id")
        known = self._codes["rollout_id"]
        chosen = np.flatnonzero(np.array([name in known for name in names] or [False])[code])
        return self._convert(table.take(pa.array(chosen)), path, row + chosen)

    def _convert(self, table: pa.RecordBatch, path: Path, row: int | Ints) -> Batch:
        numbers = {name: _floats(table, name) for name in NUMBERS}
        track, tracks = coded(table, "track")
        codes = {name: self._numbered(name, *coded(table, name)) for name in ("rollout_id", "metric", "pod")}
        le, les = coded(table, "le")
        canary = np.array([TRACKS.index(text) if text in TRACKS else -1 for text in tracks] or [0])[track]
        bound = np.array([self._bound(text) for text in les] or [np.nan])[le]
        batch = Batch(
            rollout=codes["rollout_id"], metric=codes["metric"], pod=codes["pod"], canary=canary,
            time=numbers["t"], seconds=numbers["dt"], requests=numbers["requests"], bad=numbers["bad"],
            bound=bound, count=numbers["count"], value=numbers["value"],
        )  # fmt: skip
        self._check(batch, path, row, wrong_bound=np.isinf(bound) & (bound < 0))
        return batch

    def _numbered(self, column: str, codes: Ints, names: list[str]) -> Ints:
        known = self._codes[column]
        listed = {"rollout_id": self.rollouts, "metric": self.metrics, "pod": self.pods}[column]
        numbers = np.zeros(len(names) or 1, dtype=np.int64)
        met = np.bincount(codes, minlength=len(names))  # a dictionary may name more than there is
        for place in np.flatnonzero(met):
            name = names[place]
            if name not in known:
                known[name] = len(listed)
                listed.append(name)
            numbers[place] = known[name]
        return np.asarray(numbers[codes])

    def _bound(self, text: str) -> float:
        """The bucket's bound as a number ('1' = '1.0'); -inf marks a text that is none."""
        if text not in self._bounds:
            try:
                value = float(text)
            except ValueError:
                value = float("-inf")
            self._bounds[text] = value if value >= 0 else float("-inf")
        return self._bounds[text]

    def _check(self, batch: Batch, path: Path, row: int | Ints, *, wrong_bound: npt.NDArray[np.bool_]) -> None:
        """Raise at the first row that breaks the contract; row: number of the first row in its file, or of each."""
        n = len(batch)
        bucket = ~np.isnan(batch.bound)
        ratio = ~np.isnan(batch.requests)
        faults: list[tuple[npt.NDArray[np.bool_], str, str, str]] = [
            (batch.canary < 0, "track", "is neither 'stable' nor 'canary'", "name the track"),
            (~np.isfinite(batch.time), "t", "is not a finite number", "give the end of the interval in seconds"),
            (~(np.isfinite(batch.seconds) & (batch.seconds >= 0)), "dt", "is not a length >= 0", "give seconds"),
            (wrong_bound, "le", "is not a bound >= 0 or '+Inf'", "give seconds"),
            (batch.requests < 0, "requests", "is negative", "give deltas, not differences across resets"),
            (batch.bad < 0, "bad", "is negative", "give deltas, not differences across resets"),
            (batch.bad > batch.requests, "bad", "is more than requests", "0 <= bad <= requests"),
            (ratio & np.isnan(batch.bad), "bad", "is empty where requests is given", "give both"),
            (~ratio & ~np.isnan(batch.bad), "requests", "is empty where bad is given", "give both"),
            (batch.count < 0, "count", "is negative", "give the raw counter"),
            (bucket & np.isnan(batch.count), "count", "is empty where le is given", "give the raw counter"),
            (~bucket & ~np.isnan(batch.count), "le", "is empty where count is given", "name the bucket"),
            (np.isinf(batch.requests) | np.isinf(batch.count), "requests", "is infinite", "give a number"),
        ]  # fmt: skip
        backwards = self._backwards(batch)
        faults.append((backwards, "t", "is before an earlier row of the same rollout", "sort the rows by t"))
        first = [(int(np.argmax(bad)), column, what, todo) for bad, column, what, todo in faults if bad.any()]
        if first and n:
            at, column, what, todo = min(first, key=lambda each: each[0])
            line = (row + at if isinstance(row, int) else int(row[at])) + (2 if path.suffix != ".parquet" else 1)
            kind = "line" if path.suffix != ".parquet" else "row"
            name = self.rollouts[int(batch.rollout[at])]
            raise SamplesError(
                f"{what} (rollout {name!r}, t {batch.time[at]:g})",
                where=f"{path}: {kind} {line}, column {column}", remedy=todo,
            )  # fmt: skip

    def _backwards(self, batch: Batch) -> npt.NDArray[np.bool_]:
        """Rows whose time is before one already seen of their rollout; remembers the newest times."""
        more = len(self.rollouts) - len(self._newest)
        self._newest = np.concatenate((self._newest, np.full(more, -np.inf)))
        out = np.zeros(len(batch), dtype=np.bool_)
        if np.all(batch.time[1:] >= batch.time[:-1]):
            out = batch.time < self._newest[batch.rollout]
        else:
            order = np.argsort(batch.rollout, kind="stable")
            rollout, time = batch.rollout[order], batch.time[order]
            same = np.concatenate(([False], rollout[1:] == rollout[:-1]))
            earlier = np.where(same, np.concatenate(([-np.inf], time[:-1])), self._newest[rollout])
            out[order] = time < earlier
        np.maximum.at(self._newest, batch.rollout, batch.time)
        return out


def open_table(stretch: Stretch, columns: Sequence[str] = (*TEXTS, *NUMBERS)) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of some rows of a file, with the number of each one's first row; the contract's columns are typed.

    Raises SamplesError for a wrong ending or header, and for what cannot be read.
    """
    path = stretch.path
    try:
        if path.suffix == ".parquet":
            yield from _parquet(stretch, columns)
        elif path.suffix == ".csv":
            yield from _csv(stretch, columns)
        else:
            raise SamplesError(
                f"ends in '{path.suffix}'", where=str(path), remedy="name the file .csv or .parquet, as it is written"
            )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as cause:
        raise _unreadable(path, cause) from cause


def _unreadable(path: Path, cause: Exception) -> SamplesError:
    if isinstance(cause, OSError) and not isinstance(cause, pa.ArrowException):
        what = cause.strerror or str(cause)
        return SamplesError(f"cannot be read: {what}", where=str(path), remedy="check the path and its rights")
    found = locate(path, NUMBERS) if path.suffix != ".parquet" else None
    if found is not None:
        return found
    return SamplesError(
        f"is not a readable table: {str(cause).splitlines()[0]}", where=str(path),
        remedy="write CSV (header, comma, UTF-8) or Parquet, by file ending",
    )  # fmt: skip


def _parquet(stretch: Stretch, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    schema = pq.read_schema(stretch.path)
    _check_header(stretch.path, schema.names)
    texts = [name for name in TEXTS if name in schema.names and pa.types.is_string(schema.field(name).type)]
    with pq.ParquetFile(stretch.path, read_dictionary=texts, pre_buffer=False) as file:
        groups = np.array([file.metadata.row_group(each).num_rows for each in range(file.metadata.num_row_groups)])
        ends = np.cumsum(groups)
        wanted = np.flatnonzero((ends > stretch.begin) & (ends - groups < stretch.end))
        if not len(wanted):
            return
        batches = file.iter_batches(
            batch_size=READ_ROWS, use_threads=False, columns=[name for name in schema.names if name in columns],
            row_groups=wanted.tolist(),
        )  # fmt: skip
        yield from _within(stretch, batches, int((ends - groups)[wanted[0]]))


def _csv(stretch: Stretch, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    path = stretch.path
    with path.open(encoding="utf-8") as text:
        header = text.readline().rstrip("\r\n").removeprefix("\ufeff").split(",")
    header = [name.strip().strip('"') for name in header]
    _check_header(path, header)
    types: dict[str, Any] = {name: pa.dictionary(pa.int32(), pa.string()) for name in TEXTS}
    types |= {name: pa.float64() for name in NUMBERS}
    with pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES, column_names=header, skip_rows=1),
        convert_options=pacsv.ConvertOptions(
            column_types=types, include_columns=[name for name in header if name in columns],
            null_values=[""], strings_can_be_null=False,
        ),
    ) as reader:  # fmt: skip
        yield from _within(stretch, reader, 0)


def _within(stretch: Stretch, batches: Iterable[pa.RecordBatch], row: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of a stretch, and the number of each batch's first; row: number of the first row of all."""
    for batch in batches:
        first, last = max(stretch.begin - row, 0), min(stretch.end - row, batch.num_rows)
        if first < last:
            yield row + first, batch.slice(first, last - first)
        row += batch.num_rows
        if row >= stretch.end:
            return


def _check_header(path: Path, header: Sequence[str]) -> None:
    separator = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if separator is not None:
        raise SamplesError(
            f"its columns are separated by {separator!r}", where=f"{path}: line 1",
            remedy="separate them by commas, and write decimals with a point",
        )  # fmt: skip
    for name in (*TEXTS, *NUMBERS):
        if name not in header and name not in OPTIONAL:
            raise SamplesError(
                f"has no column '{name}'; it has {', '.join(header) or 'none'}", where=f"{path}: line 1, column {name}",
                remedy="write the columns of docs/reference/samples.md",
            )  # fmt: skip


def coded(table: pa.RecordBatch, name: str) -> tuple[Ints, list[str]]:
    """Codes of a text column and the texts they stand for; an absent column or value is ''."""
    if name not in table.schema.names:
        return np.zeros(table.num_rows, dtype=np.int64), [""]
    column = table.column(name)
    if not pa.types.is_dictionary(column.type):
        if not pa.types.is_string(column.type):
            column = column.cast(pa.string())
        column = column.dictionary_encode()
    texts = ["" if text is None else str(text) for text in column.dictionary.to_pylist()]
    codes = column.indices
    if codes.null_count:
        codes = pc.fill_null(codes.cast(pa.int32()), len(texts))
        texts.append("")
    return codes.to_numpy(zero_copy_only=False).astype(np.int64), texts


def _floats(table: pa.RecordBatch, name: str) -> Floats:
    if name not in table.schema.names:
        return np.full(table.num_rows, np.nan)
    column = table.column(name)
    if pa.types.is_null(column.type):
        return np.full(table.num_rows, np.nan)
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
