"""Play the whole library under every rule: `python -m benchmarks.library [--flow N] [--request N] [--jobs N]`.

Goes on where an earlier run stopped, and writes benchmarks/results/library.json. --only NAME,..: these scenarios, and
no result is written. --docs: docs/scenarios/results.md from the result file; runs nothing.
Exit code: 0, 1 stopped by hand, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.campaign import RESULTS, STATES, fresh_header, processes, shown, write
from benchmarks.campaign_result import worst
from benchmarks.campaign_state import State
from benchmarks.cells import Campaign
from benchmarks.fixed import run_fixed
from benchmarks.library.cells import CHUNK, campaign
from benchmarks.library.document import DOCUMENT, document
from benchmarks.progress import reporting
from simulator.request.language import Grain

Json = dict[str, Any]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; leaves with exit code 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.library", description=__doc__)
    parser.add_argument("--flow", type=int, default=200, help="seeds of each scenario in flow grain (default: 200)")
    parser.add_argument("--request", type=int, default=20, help="the same in request grain (default: 20)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--seed", type=int, help="instead of the one that the commit gives")
    parser.add_argument("--only", metavar="NAME,..", help="these scenarios; writes no result")
    parser.add_argument("--docs", action="store_true", help="write the page from the result file; runs nothing")
    chosen = parser.parse_args(arguments)
    if min(chosen.flow, chosen.request, chosen.jobs) < 1:
        parser.error("--flow, --request and --jobs must be at least 1")
    return chosen


def measured(chosen: argparse.Namespace, whole: Campaign) -> Json:
    """Run what was chosen."""
    names = chosen.only.split(",") if chosen.only else [cell.name for cell in whole.cells]
    cells = [whole.cell(name) for name in names]
    fresh = fresh_header(whole, chosen.seed)
    state = State.open(STATES / f"{whole.name}.jsonl", fresh, keep_seed=chosen.seed is not None)
    found: dict[str, Json] = {}
    result: Json = {}
    with reporting(whole.name) as reporter, processes(chosen.jobs) as executor:
        for grain, runs in ((Grain.FLOW, chosen.flow), (Grain.REQUEST, chosen.request)):
            mine = [cell for cell in cells if cell.chunk == CHUNK[grain]]
            if mine:
                result = run_fixed(whole, mine, runs=runs, state=state, executor=executor, reporter=reporter)
                found |= {cell["name"]: cell for cell in result["cells"]}
    ordered = [found[name] for name in names]
    return {**result, "cells": ordered, "standing": worst(cell["standing"] for cell in ordered)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen, file = parse(arguments), RESULTS / "library.json"
    try:
        if chosen.docs:
            DOCUMENT.write_text(document(json.loads(file.read_text(encoding="utf-8"))), encoding="utf-8")
            return 0
        result = measured(chosen, campaign())
    except LookupError as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 2
    except FileNotFoundError:
        sys.stderr.write(f"{file.name} is not among the results; run `python -m benchmarks.library` first\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 1
    if chosen.only:
        shown(result)
    else:
        write(file, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
