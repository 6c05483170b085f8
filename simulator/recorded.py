"""Recorded rates: a CSV file named in a scenario takes its place there, so the scenario needs no file any more.

Knows the columns of the file; what may be a rate is traffic.py's part.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from guardian.config.source import Document, YamlPath
from guardian.errors import ScenarioError

COLUMNS: Final = ("time_s", "requests_per_s")


def with_series(document: Document) -> Document:
    """Return a scenario in which the rows of each recorded series stand instead of its file's name.

    Files are found beside the file that names them. Raises ScenarioError for one that cannot be read.
    """
    data = document.data
    spec = data.get("spec") if isinstance(data, Mapping) else None
    if not isinstance(spec, Mapping):
        return document
    changed = _filled(document, ("spec",), spec)
    others = spec.get("beside")
    if isinstance(others, list):
        services = [_filled(document, ("spec", "beside", number), one) for number, one in enumerate(others)]
        changed = {**changed, "beside": services}
    return replace(document, data={**data, "spec": changed})


def _filled(document: Document, path: YamlPath, service: Any) -> Any:
    """Return a mapping that has `traffic`, with rows where a file was named."""
    traffic = service.get("traffic") if isinstance(service, Mapping) else None
    named = traffic.get("series") if isinstance(traffic, Mapping) and traffic.get("kind") == "recorded" else None
    if not isinstance(traffic, Mapping) or not isinstance(named, str):
        return service
    place = (*path, "traffic", "series")
    where = document.where(place)
    if named.startswith("$"):
        remedy = "write the file's name; a family of recordings is a file for each, with `extends`"
        raise ScenarioError("a parameter cannot name a recorded series", where=where, remedy=remedy)
    beside = Path(document.files.get(document.resolve(place), document.file)).parent
    return {**service, "traffic": {**traffic, "series": rows(beside / named, where=where)}}


def rows(file: Path, *, where: str) -> list[list[float]]:
    """Return (seconds, requests/s) of every row of the file. where: what named it. Raises ScenarioError."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            reader = csv.DictReader(opened)
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                what, remedy = f"no column {' and '.join(lacking)}", f"have the first line say {','.join(COLUMNS)}"
                raise ScenarioError(what, where=f"{file}:1", remedy=remedy)
            return [_pair(row, where=f"{file}:{reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        remedy = "name a CSV file beside the scenario"
        raise ScenarioError(f"the series '{file.name}' cannot be read: {reason}", where=where, remedy=remedy) from None


def _pair(row: Mapping[str, str | None], *, where: str) -> list[float]:
    try:
        return [float(row[name] or "") for name in COLUMNS]
    except ValueError:
        what = f"'{row[COLUMNS[0]]}', '{row[COLUMNS[1]]}' are not two numbers"
        raise ScenarioError(what, where=where, remedy="write seconds and requests per second, as 30,5.5") from None
