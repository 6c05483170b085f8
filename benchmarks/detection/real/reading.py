"""Reads the files of real measurements. It knows their columns and units, and makes nothing of them.

The files and their licences: docs/detection.md. They are in a folder of the reader's; this repository has none of them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "petshop_aa.csv": ("case", "node", "time_s", "requests", "errors", "p50_s", "p95_s", "p99_s"),
    "petshop_ab.csv": ("case", "symptom", "role", "time_s", "group", "requests", "errors", "p50_s", "p95_s", "p99_s"),
    "nezha_10s.csv": ("case", "fault", "time_s", "group", "requests", "errors", "p50_ms", "p95_ms", "p99_ms"),
    "azure_vm_noise.csv": ("op", "sku", "ops_per_s"),
    "azure_llm_10s.csv": ("time_s", "requests"),
    "nginx_org_5s.csv": ("time_s", "group", "requests", "errors_5xx", "errors_4xx"),
}
"""File -> the columns that are read."""

Row = Mapping[str, str]


class DataMissingError(LookupError):
    """Files that are not there or not what they should be; the text says which, and where to find them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One interval of one series. time: seconds, its end or start as the file has it; quantiles: seconds, NaN: none."""

    time: float
    requests: float
    errors: float
    p50: float = float("nan")
    p95: float = float("nan")
    p99: float = float("nan")


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """All rows of one file. Raises DataMissingError that names the columns it lacks."""
    with (folder / name).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lacking = [column for column in FILES[name] if column not in (reader.fieldnames or ())]
        if lacking:
            raise DataMissingError(f"{name}: no column {', '.join(lacking)}; see docs/detection.md, Real data")
        return list(reader)


def require(folder: Path) -> None:
    """Raise DataMissingError that lists every file the folder lacks."""
    lacking = [name for name in FILES if not (folder / name).is_file()]
    if lacking:
        raise DataMissingError(
            f"the data folder lacks {', '.join(lacking)}; docs/detection.md, Real data, says what they are and whose"
        )


def point(row: Row, *, errors: Sequence[str] = ("errors",), unit: str = "s") -> Point:
    """One row. errors: columns that are added up. unit: of the quantiles' columns, s or ms."""
    scale = 1.0 if unit == "s" else 0.001
    found = {name: row.get(f"{name}_{unit}", "") for name in ("p50", "p95", "p99")}
    quantiles = {name: float(text) * scale if text else float("nan") for name, text in found.items()}
    bad = sum(float(row[column] or 0.0) for column in errors)
    return Point(time=float(row["time_s"]), requests=float(row["requests"] or 0.0), errors=bad, **quantiles)


def series(
    found: Sequence[Row], keys: Sequence[str], **options: Sequence[str] | str
) -> dict[tuple[str, ...], list[Point]]:
    """Points of each series, in the order of time. keys: columns whose values name a series."""
    errors, unit = options.get("errors", ("errors",)), str(options.get("unit", "s"))
    out: dict[tuple[str, ...], list[Point]] = {}
    for row in found:
        out.setdefault(tuple(row[key] for key in keys), []).append(point(row, errors=tuple(errors), unit=unit))
    return {key: sorted(points, key=lambda one: one.time) for key, points in out.items()}
