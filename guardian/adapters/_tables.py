"""Rows of a long table of samples as they are in the file, CSV or Parquet, by file ending: batches of typed columns.

Raises SamplesError for a wrong ending or header and for what cannot be read. What the rows say is looked at by
samples/tables.py.
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
from guardian.errors import SamplesError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

READ_ROWS: Final = 50_000
"""Rows read from Parquet at once; what they take while they are decoded is several times a batch."""
BLOCK_BYTES: Final = 6 << 20
TEXTS: Final = ("rollout_id", "track", "pod", "metric", "le", "stratum")
NUMBERS: Final = ("t", "dt", "requests", "bad", "count", "value")
OPTIONAL: Final = ("value", "requests", "bad", "le", "count", "stratum")
TOGETHER: Final = {"requests": "bad", "bad": "requests", "le": "count", "count": "le"}
"""Columns of which one says nothing without the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Rows begin..end-1 of a file, counted from 0."""

    path: Path
    begin: int = 0
    end: int = sys.maxsize


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
    needed = {TOGETHER[name] for name in header if name in TOGETHER}
    for name in (*TEXTS, *NUMBERS):
        if name not in header and (name not in OPTIONAL or name in needed):
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


def floats(table: pa.RecordBatch, name: str) -> Floats:
    if name not in table.schema.names:
        return np.full(table.num_rows, np.nan)
    column = table.column(name)
    if pa.types.is_null(column.type):
        return np.full(table.num_rows, np.nan)
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
