"""Puts the tables and the plot of the result files into docs/detection.md, between its marks.

The words around the tables are written by people; a test compares what is between the marks with the result files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from benchmarks.detection.plot import draw
from benchmarks.detection.real.table import real_sheets
from benchmarks.detection.report import Sheet, as_markdown, basis, rules_table, sheets
from benchmarks.environment import ROOT
from benchmarks.marks import with_parts

Json = dict[str, Any]
DOCUMENT: Final = ROOT / "docs" / "detection.md"
PLOT: Final = ROOT / "docs" / "detection.svg"


def refresh(streams: Json, real: Json | None, *, document: Path = DOCUMENT, plot: Path = PLOT) -> None:
    """Rewrite what is between the marks, and the plot."""
    document.write_text(filled(document.read_text(encoding="utf-8"), streams, real), encoding="utf-8")
    draw(streams, plot)


def filled(text: str, streams: Json, real: Json | None) -> str:
    """The document with its parts made anew. Raises LookupError for a part that has no marks."""
    return with_parts(text, parts(streams, real), document="docs/detection.md")


def parts(streams: Json, real: Json | None) -> dict[str, str]:
    """Name of each mark -> what stands there."""
    found = {"rules": rules_table(), "basis": f"{basis(streams)}\n", "streams": _tables(sheets(streams))}
    if real is not None:
        found["real"] = _tables(real_sheets(real))
    return found


def _tables(found: list[Sheet]) -> str:
    return "\n".join(as_markdown(sheet) for sheet in found)
