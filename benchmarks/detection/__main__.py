"""Compare decision rules: `python -m benchmarks.detection [--cases TEXT] [--runs N] [--data FOLDER] [-o FORMAT]`.

Goes on where an earlier run stopped. A run of all cases writes benchmarks/results/detection.json, one with --data also
detection_real.json; --show prints what is written there and runs nothing, --docs puts it into docs/detection.md.
Exit code: 0, 1 stopped by hand, 2 wrong usage, 3 ours is surely above 1 % in a healthy family.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import environment
from benchmarks.campaign import RESULTS, STATES, fresh_header, processes, write
from benchmarks.campaign_state import State
from benchmarks.campaigns.detection import CAMPAIGN
from benchmarks.cells import Cell
from benchmarks.detection.document import refresh
from benchmarks.detection.real.reading import FILES, DataMissingError, require
from benchmarks.detection.real.table import on_real_data, real_sheets
from benchmarks.detection.real.trials import SEED
from benchmarks.detection.report import Sheet, as_markdown, basis, for_terminal, narrowed, sheets
from benchmarks.fixed import run_fixed
from benchmarks.progress import reporting

Json = dict[str, Any]
DATA: Final = "GUARDIAN_DETECTION_DATA"
STREAMS: Final = "detection.json"
REAL: Final = "detection_real.json"
WIDTH: Final = 100


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; leaves with exit code 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument(
        "--cases", "--families", action="append", metavar="TEXT", help="only cases with this in the name"
    )
    parser.add_argument("--runs", type=int, default=500, help="of each case, in whole chunks (default: 500)")
    parser.add_argument("--seed", type=int, help="instead of the one that the commit gives")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=f"real measurements (or environment {DATA})")
    parser.add_argument("--only-data", action="store_true", help="real measurements and nothing else")
    parser.add_argument("-o", "--output", choices=("table", "json", "markdown"), default="table")
    parser.add_argument("--show", action="store_true", help="what the result files hold; nothing is run")
    parser.add_argument("--docs", action="store_true", help="write the result files' tables and plot into docs/")
    chosen = parser.parse_args(arguments)
    if chosen.runs < 1 or chosen.jobs < 1:
        parser.error("--runs and --jobs must be at least 1")
    return chosen


def chosen_cells(texts: Sequence[str] | None) -> list[Cell]:
    """Cells whose name holds one of the texts; all without texts. Raises LookupError that lists the names there are."""
    found = [cell for cell in CAMPAIGN.cells if texts is None or any(text in cell.name for text in texts)]
    if not found:
        names = "\n  ".join(cell.name for cell in CAMPAIGN.cells)
        raise LookupError(f"no case has {' or '.join(texts or ())} in its name; there are:\n  {names}")
    return found


def on_streams(chosen: argparse.Namespace) -> Json:
    """Run what was chosen; a run of all cases is written to its result file."""
    cells = chosen_cells(chosen.cases)
    with reporting(CAMPAIGN.name) as reporter:
        state = State.open(
            STATES / f"{CAMPAIGN.name}.jsonl", fresh_header(CAMPAIGN, chosen.seed), keep_seed=chosen.seed is not None
        )
        with processes(chosen.jobs) as executor:
            result = run_fixed(CAMPAIGN, cells, runs=chosen.runs, state=state, executor=executor, reporter=reporter)
    if len(cells) == len(CAMPAIGN.cells):
        write(RESULTS / STREAMS, result)
    return result


def on_data(folder: Path, commit: environment.Commit) -> Json:
    """Run every trial on real data and write the result file; commit: as it was before any result was written."""
    require(folder)
    began = time.monotonic()
    with reporting("trials") as reporter:
        trials = on_real_data(folder, reporter=reporter)
    result = {
        "name": "detection_real", "commit": commit.hash, "dirty": commit.dirty, "seed": SEED,
        "machine": asdict(environment.machine()), "wall_seconds": round(time.monotonic() - began, 1), "trials": trials,
    }  # fmt: skip
    write(RESULTS / REAL, {"standing": "measured", **result})
    return result


def saved(name: str) -> Json:
    """A result file. Raises LookupError when it is not there."""
    file = RESULTS / name
    if not file.is_file():
        raise LookupError(f"{name} is not among the results; run `python -m benchmarks.detection` first")
    found: Json = json.loads(file.read_text(encoding="utf-8"))
    return found


def show(output: str, found: Sequence[Sheet], results: Sequence[Json]) -> None:
    """Results on stdout, in the format asked for."""
    if output == "json":
        sys.stdout.write(json.dumps(list(results), indent=1) + "\n")
    elif output == "markdown":
        sys.stdout.write("\n".join(as_markdown(sheet) for sheet in found))
    else:
        console = Console(width=WIDTH)
        for sheet in found:
            console.print(for_terminal(sheet))


def collected(chosen: argparse.Namespace) -> tuple[Json | None, Json | None]:
    """Results on streams and on real data, run now or read; None: not asked for."""
    if chosen.show or chosen.docs:
        real = saved(REAL) if (RESULTS / REAL).is_file() else None
        return saved(STREAMS), real
    commit = environment.commit()
    streams = None if chosen.only_data else on_streams(chosen)
    folder = chosen.data or (Path(os.environ[DATA]) if os.environ.get(DATA) else None)
    if folder is not None:
        return streams, on_data(folder, commit)
    told = f"real data left out: give --data FOLDER or set {DATA}; it must hold {', '.join(FILES)}\n"
    if chosen.only_data:
        raise DataMissingError(told.strip())
    sys.stderr.write(told)
    return streams, None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parse(arguments)
    try:
        streams, real = collected(chosen)
    except LookupError as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 1
    if chosen.docs and streams is not None:
        refresh(streams, real)
        return 0
    found = [*(sheets(streams) if streams else ()), *(real_sheets(real) if real else ())]
    show(chosen.output, found, [result for result in (streams, real) if result])
    above = narrowed(streams) if streams else ""
    sys.stderr.write(above + (f"{basis(streams)}\n" if streams else ""))
    return 3 if above else 0


if __name__ == "__main__":
    sys.exit(main())
