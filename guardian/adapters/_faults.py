"""Finds the line and column at which a CSV file of samples cannot be understood; slow, used once a file has failed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from guardian.errors import SamplesError


def locate(path: Path, numbers: Sequence[str]) -> SamplesError | None:
    """The first line with a wrong number of columns, a bad number or bytes that are no text; None: none found."""
    try:
        with path.open(encoding="utf-8", newline="") as text:
            reader = csv.reader(text)
            header = next(reader, [])
            for row in reader:
                if len(row) != len(header):
                    return _uneven(path, reader.line_num, row, header)
                for name, value in zip(header, row, strict=True):
                    if name in numbers and not _is_number(value):
                        return SamplesError(
                            f"{value!r} is not a number",
                            where=f"{path}: line {reader.line_num}, column {name}",
                            remedy="write a decimal number, or nothing where it does not apply",
                        )
    except UnicodeDecodeError as cause:
        return SamplesError(f"byte {cause.start} is not UTF-8", where=str(path), remedy="write the file in UTF-8")
    return None


def _uneven(path: Path, line: int, row: Sequence[str], header: Sequence[str]) -> SamplesError:
    """Return the error of a line with fewer or more values than the header has columns."""
    if len(row) < len(header):
        where = f"{path}: line {line}, column {header[len(row)]}"
        what = f"ends after {len(row)} values, the header names {len(header)} columns"
    else:
        where = f"{path}: line {line}, value {len(header) + 1}"
        what = f"has {len(row)} values, the header names {len(header)} columns"
    remedy = f"write {len(header) - 1} commas a line: columns that do not apply are empty, decimals have a point"
    return SamplesError(what, where=where, remedy=remedy)


def _is_number(value: str) -> bool:
    try:
        float(value or "0")
    except ValueError:
        return False
    return True
