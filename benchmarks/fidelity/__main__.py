"""Compare simulated streams with measured ones: `python -m benchmarks.fidelity --data FOLDER [--seeds N]`.

Takes the same statistics of both and writes benchmarks/results/fidelity.json; --show prints what is written there and
runs nothing, --docs puts it into docs/fidelity.md. Exit code: 0, 2 wrong usage or files that are missing.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks import environment
from benchmarks.campaign import RESULTS, write
from benchmarks.detection.__main__ import DATA
from benchmarks.detection.real.reading import DataMissingError, require
from benchmarks.detection.report import as_markdown
from benchmarks.environment import ROOT
from benchmarks.fidelity.table import measured, sheets
from benchmarks.marks import with_parts
from benchmarks.progress import reporting

RESULT: Final = RESULTS / "fidelity.json"
DOCUMENT: Final = ROOT / "docs" / "fidelity.md"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; leaves with exit code 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=f"real measurements (or environment {DATA})")
    parser.add_argument("--seeds", type=int, default=200, help="of each simulated world (default: 200)")
    parser.add_argument("-o", "--output", choices=("markdown", "json"), default="markdown")
    parser.add_argument("--show", action="store_true", help="what the result file holds; nothing is run")
    parser.add_argument("--docs", action="store_true", help="write the result file's tables into docs/")
    chosen = parser.parse_args(arguments)
    if chosen.seeds < 20:
        parser.error("--seeds must be at least 20: 95 % of fewer are all of them")
    return chosen


def run(folder: Path, seeds: int) -> dict[str, Any]:
    """Measure everything and write the result file."""
    require(folder)
    commit, began = environment.commit(), time.monotonic()
    with reporting("streams") as reporter:
        rows = measured(folder, seeds=seeds, reporter=reporter)
    result = {
        "standing": "measured", "name": "fidelity", "commit": commit.hash, "dirty": commit.dirty, "seeds": seeds,
        "machine": asdict(environment.machine()), "wall_seconds": round(time.monotonic() - began, 1), "rows": rows,
    }  # fmt: skip
    write(RESULT, result)
    return result


def collected(chosen: argparse.Namespace) -> Mapping[str, Any]:
    """The result, measured now or read. Raises LookupError when there is none, or no data."""
    folder = chosen.data or (Path(os.environ[DATA]) if os.environ.get(DATA) else None)
    if folder is not None and not chosen.show:
        return run(folder, chosen.seeds)
    if not chosen.show and not chosen.docs:
        raise DataMissingError(f"no real measurements: give --data FOLDER or set {DATA}; docs/detection.md says which")
    if not RESULT.is_file():
        raise LookupError("fidelity.json is not among the results; run `python -m benchmarks.fidelity --data FOLDER`")
    found: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return found


def tables(result: Mapping[str, Any]) -> str:
    """All tables as Markdown, and what they rest on."""
    changed = " with changes that were not committed" if result["dirty"] else ""
    basis = f"{result['seeds']} seeds of each world; commit {result['commit'][:12]}{changed}.\n"
    return "\n".join([basis, *(as_markdown(sheet) for sheet in sheets(result["rows"]))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parse(arguments)
    try:
        result = collected(chosen)
        if chosen.docs:
            text = DOCUMENT.read_text(encoding="utf-8")
            made = with_parts(text, {"fidelity": tables(result)}, document="docs/fidelity.md")
            DOCUMENT.write_text(made, encoding="utf-8")
    except LookupError as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 2
    if not chosen.docs:
        sys.stdout.write(json.dumps(result, indent=1) + "\n" if chosen.output == "json" else tables(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
