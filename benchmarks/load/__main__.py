"""`python -m benchmarks.load [NAME..]`: run load benchmarks and write their results. Exit 3: a claim does not hold."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks import load
from benchmarks.load.report import run, write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(load.names())} (default: all)")
    parser.add_argument("--repeat", type=int, help="how often, where a benchmark repeats (default: its own)")
    parser.add_argument("--no-write", action="store_true", help="leave benchmarks/results as it is")
    chosen = parser.parse_args(arguments)
    try:
        loads = [load.load(name) for name in chosen.names or load.names()]
    except LookupError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    held = True
    for one in loads:
        sys.stderr.write(f"{one.name}: {one.claim}\n")
        result = run(one, repeat=chosen.repeat)
        held = held and result["ok"]
        sys.stdout.write(json.dumps(result) + "\n")
        if not chosen.no_write:
            write(result)
    return 0 if held else 3


if __name__ == "__main__":
    sys.exit(main())
