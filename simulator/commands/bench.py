"""`guardian bench guardrails`: how well policies judge simulated incidents, and whether that got worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from analysis.paired import Change
from guardian.cli.exits import ExitCode
from guardian.cli.output import Output, Table, say, show, show_line
from guardian.config.units import parse_share
from guardian.errors import ScenarioError
from simulator.baseline import Measured, measured, read_baseline
from simulator.commands.simulate import FIRST_SEED, JobsOption, progress_of
from simulator.gates import Naive
from simulator.library import find_all, library
from simulator.outcome import Outcome
from simulator.regress import (
    DELAY,
    FEWEST,
    HURT,
    IN_TIME,
    LEVEL,
    WRONG,
    Compared,
    Comparison,
    compared,
    seeds_for_proof,
)  # fmt: skip
from simulator.strict import worse_seeds, worsened
from simulator.sweep import loaded, sweep

NAMES: Final = ("guardrails",)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=f"what is measured: {', '.join(NAMES)}")]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="judge every scenario by this policy instead of its own")
]
ScenariosOption = Annotated[
    list[str] | None,
    typer.Option("--scenarios", help="folder, file or name; may be given more than once; default: all"),
]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="how many seeds of each scenario, from 1 on")]
CompareOption = Annotated[
    Path | None, typer.Option("--compare", metavar="BASELINE", help="what an earlier run printed with -o json")
]
ToleranceOption = Annotated[
    str, typer.Option("--tolerance", help="how much longer, or how many more users hurt, is no regression")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="nothing is left to chance: a single seed that is worse, or missing, is enough")
]
OutputOption = Annotated[
    Output, typer.Option("-o", "--output", help="json: one object a scenario, which --compare reads")
]


def bench(
    name: NameArgument,
    policy: PolicyOption = None,
    scenarios: ScenariosOption = None,
    seeds: SeedsOption = 20,
    jobs: JobsOption = None,
    compare: CompareOption = None,
    tolerance: ToleranceOption = "10%",
    strict: StrictOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Measure guardrails on simulated incidents; exit 3 when worse than before."""
    if name not in NAMES:
        raise ScenarioError(f"there is no benchmark '{name}'", remedy=f"write one of: {', '.join(NAMES)}")
    allowed = _tolerance(tolerance)
    if strict and compare is None:
        raise ScenarioError("--strict compares with nothing", remedy="name a baseline: --compare FILE")
    before = read_baseline(compare) if compare is not None else ()
    files = find_all(scenarios) if scenarios else tuple(library().values())
    for file in files:
        loaded(file, policy, None)  # a mistake in the last file is told before an hour of runs
    figures = _measure(files, seeds, jobs, policy, output)
    found = compared(before, figures, tolerance=allowed) if before else None
    if before and found is None and not strict:
        raise _nothing_in_common(compare)
    if found is not None:
        figures = [msgspec.structs.replace(one, regressed=found.worse_in(one.scenario)) for one in figures]
    _print(figures, found, allowed, output, notes=_seeds_told(before, figures, found))
    if not before:
        return
    regressed = _worse(found) if found is not None else []
    regressed += worsened(before, figures, tolerance=allowed) if strict else ()
    for sentence in found.left_out if found is not None and not strict else ():
        say(f"not compared: {sentence}", style="yellow")
    for sentence in regressed:
        say(f"regressed: {sentence}", style="red")
    raise typer.Exit(ExitCode.NO if regressed else ExitCode.YES)


def _seeds_told(before: Sequence[Measured], figures: Sequence[Measured], found: Comparison | None) -> list[str]:
    """Return what became of seeds that are worse, a sentence a scenario, and whether so few could prove it."""
    if found is None:
        return []
    old = {one.name: one for one in before}
    compared_ones = {one.scenario for one in found.scenarios}
    notes, fewest = list[str](), seeds_for_proof(len(found.scenarios))
    for one in figures:
        if one.scenario in compared_ones and (worse := list(worse_seeds(old[one.name], one))):
            more = f"{len(worse)} of {len(one.runs)} seeds" if len(worse) > 1 else "one seed"
            notes.append(f"Worse in {one.scenario}: {more}; {worse[0]}.")
            if len(one.runs) < fewest:
                notes.append(f"{len(one.runs)} seeds are too few to prove its verdicts worse: give --seeds {fewest}.")
    return notes


def _print(
    figures: Sequence[Measured], found: Comparison | None, tolerance: float, output: Output, *, notes: Sequence[str]
) -> None:
    if output is Output.JSON:
        for one in figures:
            show_line("Benchmark", msgspec.to_builtins(one))
    else:
        table = _figures(figures) if found is None else _changes(figures, found, tolerance, notes)
        show("Benchmarks", [msgspec.to_builtins(one) for one in figures], output, tables=[table])


def _tolerance(text: str) -> float:
    try:
        return parse_share(text)
    except ValueError as error:
        raise ScenarioError(f"--tolerance {text}: {error}", remedy="write a share: 10% or 0.1") from None


def _measure(
    files: Sequence[Path], seeds: int, jobs: int | None, policy: Path | None, output: Output
) -> list[Measured]:
    ours: dict[Path, list[Outcome]] = {file: [] for file in files}
    naive: dict[Path, list[Outcome]] = {file: [] for file in files}
    wanted = range(FIRST_SEED, FIRST_SEED + seeds)
    with progress_of(len(files) * seeds, output) as done:
        for played in sweep(files, seeds=wanted, jobs=jobs, beside=(Naive.name,), policy=policy, progress=done):
            ours[played.file].append(played.guardian)
            naive[played.file].append(played.beside[Naive.name])
    figures = [measured(loaded(file, policy, None), ours[file], naive[file]) for file in files]
    names = [one.name for one in figures]
    for one in figures:
        if names.count(one.name) > 1:
            raise ScenarioError(
                f"two scenarios are called '{one.scenario}'", remedy="rename one: figures are kept by name"
            )
    return figures


def _nothing_in_common(path: Path | None) -> ScenarioError:
    return ScenarioError(
        f"has nothing in common with this run: each scenario needs {FEWEST} seeds of the same world in both",
        where=str(path), remedy="make a new baseline: the same command with -o json, without --compare",
    )  # fmt: skip


def _figures(figures: Sequence[Measured]) -> Table:
    return Table(
        columns=("scenario", "expected", "right", "wrong", "delay", "hurt", "naive right"),
        rows=[
            (
                one.scenario,
                one.expected,
                f"{_right(one)}/{len(one.runs)}",
                f"{sum(run.wrong for run in one.runs)}/{len(one.runs)}",
                _median(one),
                f"{sum(run.bad_requests for run in one.runs) / len(one.runs):,.0f}",
                f"{round(one.reference_value * len(one.runs))}/{len(one.runs)}",
            )
            for one in figures
        ],
        notes=("delay: of the median run, 1 is its deadline. hurt: requests that failed, per run.",),
    )


def _median(one: Measured) -> str:
    rising = sorted(math.inf if run.wrong or run.lateness is None else run.lateness for run in one.runs)
    value = rising[math.ceil(len(rising) / 2) - 1]
    return f"{value:.2f}" if math.isfinite(value) else "never"


def _right(one: Measured) -> int:
    return sum(run.right for run in one.runs)


def _changes(figures: Sequence[Measured], found: Comparison, tolerance: float, notes: Sequence[str]) -> Table:
    shown = {one.scenario: one for one in figures}
    rows = [_row(each, shown[each.scenario]) for each in found.scenarios]
    rows.append(_row(found.whole, None))
    return Table(
        columns=("scenario", "right", "wrong", "not right in time", "delay", "hurt", ""),
        rows=rows,
        notes=(
            *notes,
            "Same seeds before and after, limits at 95 %. wrong, not right: difference of shares; delay, hurt: ratio.",
            (
                f"Delay and hurt may grow by {tolerance:.0%}. Versions that are equally good are called worse in at "
                f"most {2.0 * LEVEL:.0%} of comparisons, unchanged ones never."
            ),
        ),
    )


def _row(each: Compared, one: Measured | None) -> list[str]:
    name, right = ("all together", "") if one is None else (one.scenario, f"{_right(one)}/{len(one.runs)}")
    verdict = f"WORSE: {', '.join(each.worse)}" if each.worse else ""
    changes = each.changes
    return [
        name, right, difference(changes[WRONG]), difference(changes[IN_TIME]), ratio(changes[DELAY]),
        ratio(changes[HURT]), verdict,
    ]  # fmt: skip


def difference(change: Change) -> str:
    """Return a difference of shares with its limits."""
    if change.lower == change.upper == 0.0:
        return "same"
    return f"{change.estimate:+.1%} ({change.lower:+.1%} to {change.upper:+.1%})"


def ratio(change: Change) -> str:
    """Return a ratio of totals with its limits."""
    if not math.isfinite(change.estimate):
        return "-"
    if change.lower == change.upper:
        return "same" if change.estimate == 1.0 else f"x {change.estimate:.2f} in every pair"
    digits = 3 if f"{change.estimate:.2f}" == "1.00" else 2  # "x 1.00: WORSE" would say nothing
    return f"x {change.estimate:.{digits}f} ({change.lower:.{digits}f} to {change.upper:.{digits}f})"


def _worse(found: Comparison) -> list[str]:
    """Return what is proved worse, a sentence each."""
    words: dict[str, Any] = {WRONG: difference, IN_TIME: difference, DELAY: ratio, HURT: ratio}
    label = {WRONG: "wrong verdicts", IN_TIME: "not right in time", DELAY: "delay", HURT: "requests hurt"}
    return [
        f"{each.scenario or 'all scenarios together'}: {label[what]} {words[what](each.changes[what])}"
        for each in (*found.scenarios, found.whole)
        for what in each.worse
    ]
