"""Measure speeds: `python -m benchmarks.bench [NAME..] [-o table|json] [--compare FILE --tolerance 10%]`.

Every figure stands beside a reference measured in the same run. With -o json one object a line, which is also
what --compare reads. Exit code: 0, 2 wrong usage, 3 a bench is worse than in FILE by more than the tolerance.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import speed
from benchmarks.progress import reporting
from benchmarks.rounds import Bench, Figure, measure, regressions
from guardian.config.units import parse_share


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; leaves with exit code 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(speed.names())}")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="figures of an earlier run (-o json)")
    parser.add_argument("--tolerance", type=parse_share, default="10%", help="a share: 10%%")
    return parser.parse_args(arguments)


def earlier_ratios(file: Path) -> dict[str, float]:
    """Bench -> ratio in an earlier run's output. Raises ValueError that names the line."""
    ratios: dict[str, float] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            figure = json.loads(line)
            ratios[figure["name"]] = float(figure["ratio"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file}:{number}: not a figure ({error}); write it with -o json") from error
    return ratios


def measured(benches: Sequence[Bench]) -> list[Figure]:
    """Run the benches one after the other, showing how far they are."""
    with reporting("rounds") as reporter:
        reporter.expect(sum(bench.rounds + 1 for bench in benches))
        return [measure(bench, round_done=lambda: reporter.done(1)) for bench in benches]


def table(figures: Sequence[Figure]) -> Table:
    """The figures for a person."""
    shown = Table("bench", "value", "unit", "reference", "value", "ratio", "from", "to", box=None)
    for figure in figures:
        shown.add_row(
            figure.name,
            f"{figure.value:,.4g}",
            figure.unit,
            figure.reference,
            f"{figure.reference_value:,.4g}",
            f"{figure.ratio:.3g}",
            f"{figure.lowest:.3g}",
            f"{figure.highest:.3g}",
        )
    return shown


def details(figures: Sequence[Figure]) -> Iterator[str]:
    """What else the benches tell, a line each."""
    for figure in figures:
        for name, value in figure.detail.items():
            yield f"{figure.name}: {name} {value:,.4g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parse(arguments)
    try:
        benches = [speed.load(name) for name in chosen.names or speed.names()]
        earlier = earlier_ratios(chosen.compare) if chosen.compare else {}
    except (LookupError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    figures = measured(benches)
    if chosen.output == "json":
        sys.stdout.write("".join(json.dumps(figure.as_json()) + "\n" for figure in figures))
    else:
        Console().print(table(figures))
        sys.stdout.write("".join(f"{line}\n" for line in details(figures)))
    worse = regressions(figures, earlier, tolerance=chosen.tolerance)
    sys.stderr.write("".join(f"{sentence}\n" for sentence in worse))
    return 3 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
