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
                    return SamplesError(
                        f"has {len(row)} columns, the header has {len(header)}",
                        where=f"{path}: line {reader.line_num}, column {min(len(row), len(header))}",
                        remedy="write one value a column; an empty one for what does not apply",
                    )
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


def _is_number(value: str) -> bool:
    try:
        float(value or "0")
    except ValueError:
        return False
    return True
