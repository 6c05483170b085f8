"""Reads a long table of samples (CONTRACTS section 6), CSV or Parquet, a batch at a time, and checks every row.

Raises SamplesError with file, line (or row) and column at the first row that breaks the contract. It holds
one batch, the names seen so far and the newest time of each rollout; it judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
BLOCK_BYTES: Final = 24 << 20
TEXTS: Final = ("rollout_id", "track", "pod", "metric", "le")
NUMBERS: Final = ("t", "dt", "requests", "bad", "count", "value")
OPTIONAL: Final = ("value", "requests", "bad", "le", "count")
TRACKS: Final = ("stable", "canary")


class Samples:
    """Rows of some files, in order. `rollouts`, `metrics`, `pods` grow as names are met."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self.rollouts: list[str] = []
        self.metrics: list[str] = []
        self.pods: list[str] = []
        self._codes: dict[str, dict[str, int]] = {"rollout_id": {}, "metric": {}, "pod": {}}
        self._bounds: dict[str, float] = {"": float("nan")}
        self._newest = np.zeros(0)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of all files. Raises SamplesError."""
        for path in self._paths:
            yield from self._file(path)

    def _file(self, path: Path) -> Iterator[Batch]:
        row = 0
        try:
            for table in open_table(path):
                batch = self._convert(table, path, row)
                row += len(batch)
                if len(batch):
                    yield batch
        except (pa.ArrowException, OSError, UnicodeDecodeError) as cause:
            raise self._unreadable(path, cause) from cause

    def _unreadable(self, path: Path, cause: Exception) -> SamplesError:
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

    def _convert(self, table: pa.RecordBatch, path: Path, row: int) -> Batch:
        numbers = {name: _floats(table, name) for name in NUMBERS}
        track, tracks = _coded(table, "track")
        codes = {name: self._numbered(name, *_coded(table, name)) for name in ("rollout_id", "metric", "pod")}
        le, les = _coded(table, "le")
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
        for name in names:
            if name not in known:
                known[name] = len(listed)
                listed.append(name)
        return np.array([known[name] for name in names] or [0])[codes]

    def _bound(self, text: str) -> float:
        """The bucket's bound as a number ('1' = '1.0'); -inf marks a text that is none."""
        if text not in self._bounds:
            try:
                value = float(text)
            except ValueError:
                value = float("-inf")
            self._bounds[text] = value if value >= 0 else float("-inf")
        return self._bounds[text]

    def _check(self, batch: Batch, path: Path, row: int, *, wrong_bound: npt.NDArray[np.bool_]) -> None:
        """Raise at the first row that breaks the contract."""
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
            line = row + at + (2 if path.suffix != ".parquet" else 1)
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


def open_table(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of one file, with the contract's columns typed. Raises SamplesError for a wrong ending or header."""
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            _check_header(path, file.schema_arrow.names)
            columns = [name for name in file.schema_arrow.names if name in (*TEXTS, *NUMBERS)]
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)
        return
    if path.suffix != ".csv":
        raise SamplesError(
            f"ends in '{path.suffix}'", where=str(path), remedy="name the file .csv or .parquet, as it is written"
        )
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
            column_types=types, include_columns=[name for name in header if name in types],
            null_values=[""], strings_can_be_null=False,
        ),
    ) as reader:  # fmt: skip
        yield from reader


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


def _coded(table: pa.RecordBatch, name: str) -> tuple[Ints, list[str]]:
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
