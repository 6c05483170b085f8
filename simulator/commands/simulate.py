"""`guardian simulate`: play scenarios with ground truth against their policies, and say which come out right."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from guardian.cli.exits import ExitCode
from guardian.cli.output import SCREEN, Output, Table, console, say, show, show_line
from guardian.config.units import format_duration
from guardian.errors import ScenarioError
from simulator.bound import bound
from simulator.commands.beside import Compared, beside_table, lines_beside, named
from simulator.gates import GATES, Naive
from simulator.library import NAMES, find_all, library, load
from simulator.outcome import CONFIDENCE, Outcome, Summary, summarise, upper_limit
from simulator.request.language import Grain
from simulator.scenario import LATE, Scenario
from simulator.stories import page, right
from simulator.sweep import Played, loaded, sweep

FIRST_SEED: Final = 1
SEEDS: Final = 20
"""Seeds of each scenario when nothing else is said."""
TERMINAL: Final = "-"
PIPE_WIDTH: Final = 100
"""Characters of a chart that nobody's terminal limits."""
ScenariosArgument = Annotated[
    list[str] | None, typer.Argument(metavar="SCENARIO..", help="files, folders, or names of shipped scenarios")
]
SeedsOption = Annotated[
    int | None, typer.Option("--seeds", min=1, help=f"how many seeds of each, from 1 on; default {SEEDS}")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="this seed only")]
WatchOption = Annotated[
    bool, typer.Option("-w", "--watch", help="show one run of one scenario while it is played; default: seed 1")
]
SpeedOption = Annotated[
    str | None,
    typer.Option(
        "--speed", metavar="30|max", help="with --watch: times real time; default: all in a minute, in a pipe max"
    ),
]
JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, help="processes; default: one a core")]
AllOption = Annotated[bool, typer.Option("--all", help="every shipped scenario")]
ListOption = Annotated[
    bool, typer.Option("--list", help="say what the shipped scenarios are about; -o markdown: their stories")
]
GrainOption = Annotated[
    Grain | None, typer.Option("--grain", help="counts per scrape, or request by request; default: as the file says")
]
ServeOption = Annotated[bool, typer.Option("--serve", help="serve one scenario as real HTTP pods with /metrics")]
BesideOption = Annotated[
    str | None,
    typer.Option(
        "--beside",
        metavar="RULE,..",
        help=f"other rules on the same seeds: {', '.join(GATES)}, or all; default: {Naive.name}, in JSON none",
    ),
]
PlotOption = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="draw a run into FILE.svg, .png or .html (- for the terminal): the first not right",
    ),
]
TapeOption = Annotated[
    Path | None,
    typer.Option("--tape", metavar="DIR", help="write what the guardian was given into DIR, for `guardian replay`"),
]
OutputOption = Annotated[
    Output, typer.Option("-o", "--output", help="json: one object a run; else one summary a scenario")
]


def simulate(
    scenarios: ScenariosArgument = None,
    *,
    every: AllOption = False,
    seeds: SeedsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    grain: GrainOption = None,
    beside: BesideOption = None,
    watch: WatchOption = False,
    speed: SpeedOption = None,
    serve: ServeOption = False,
    plot: PlotOption = None,
    tape: TapeOption = None,
    listed: ListOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Play scenarios with known outcome in virtual time; exit 3 when one does not come out right."""
    if listed:
        _list(_wanted(scenarios or [], every=not scenarios), output)
        return
    files, gates = _wanted(scenarios or [], every=every), named(_usual(output) if beside is None else beside)
    wanted = _seeds(seeds, seed)
    _check_speed(speed, watch=watch)
    if watch:
        besides = {"--seeds": seeds, "--plot": plot, "--tape": tape, "--beside": beside, "--jobs": jobs}
        besides |= {"--serve": serve or None, f"-o {output}": None if output is Output.TABLE else output}
        _watch(files, besides, seed=wanted[0], grain=grain, speed=speed)
    _check_plot(plot, files, output)
    if serve:
        _serve(files)
        return
    began = time.monotonic()
    outcomes = _swept(files, wanted, output, jobs=jobs, beside=gates, grain=grain, tapes=tape)
    summaries = [_judged(loaded(file, None, grain), played) for file, played in outcomes.items()]
    if output is not Output.JSON:
        _tell(summaries, time.monotonic() - began, output)
    if plot is not None:
        _plot(plot, [played.guardian for played in outcomes[files[0]]], loaded(files[0], None, grain))
    _leave(summaries)


def _swept(
    files: tuple[Path, ...], seeds: range, output: Output, *, jobs: int | None, beside: Sequence[str],
    grain: Grain | None, tapes: Path | None,
) -> dict[Path, list[Played]]:  # fmt: skip
    """Return all runs by their file; as JSON each is printed as it comes."""
    for file in files:
        loaded(file, None, grain)  # a mistake in the last file is told before an hour of runs
    outcomes: dict[Path, list[Played]] = {file: [] for file in files}
    with progress_of(len(files) * len(seeds), output) as done:
        for played in sweep(files, seeds=seeds, jobs=jobs, beside=beside, grain=grain, tapes=tapes, progress=done):
            outcomes[played.file].append(played)
            if output is Output.JSON:
                show_line("SimulatedRun", line(played.guardian) | lines_beside(played.beside))
    return outcomes


def _leave(summaries: Sequence[Compared]) -> NoReturn:
    """Say what fails and what passing does not mean, and leave with the exit code."""
    for one, _ in summaries:
        if one.caution:
            say(f"{one.scenario.name}: {one.caution}", style="yellow")
        for failure in one.failures:
            say(f"{one.scenario.name} fails: {failure}", style="red")
    raise typer.Exit(ExitCode.YES if all(one.passed for one, _ in summaries) else ExitCode.NO)


def _seeds(seeds: int | None, seed: int | None) -> range:
    """Return the seeds that are asked for."""
    if seeds is not None and seed is not None:
        raise ScenarioError(
            "--seeds and --seed were both given", remedy=f"leave one out: --seed {seed} plays that one only"
        )
    return range(FIRST_SEED, FIRST_SEED + (seeds or SEEDS)) if seed is None else range(seed, seed + 1)


def _check_speed(speed: str | None, *, watch: bool) -> None:
    if speed is not None and not watch:
        raise ScenarioError("--speed is of --watch, which was not given", remedy="add --watch, or leave out --speed")


def _watch(
    files: tuple[Path, ...], besides: Mapping[str, object], *, seed: int, grain: Grain | None, speed: str | None
) -> NoReturn:
    """Show one run while it is played. besides: options that do not go with it, None where they were not given."""
    from simulator.commands.watch import watch  # noqa: PLC0415  for watching only

    for name, given in besides.items():
        if given is not None:
            what = f"--watch shows one run while it is played; {name} does not go with it"
            raise ScenarioError(what, remedy=f"leave out {name}; --seed N chooses the run")
    if len(files) != 1:
        raise ScenarioError(f"--watch shows one scenario, {len(files)} were named", remedy="name one")
    raise typer.Exit(watch(load(files[0], grain=grain), seed, speed=speed))


def _usual(output: Output) -> str:
    return "" if output is Output.JSON else Naive.name


def _tell(summaries: Sequence[Compared], took: float, output: Output) -> None:
    """Show one summary a scenario, and below it that of other rules where they were asked for."""
    tables = [_table([guardian for guardian, _ in summaries], took)]
    tables += [beside_table(summaries)] if any(gates for _, gates in summaries) else []
    show("Simulation", [_plain(*each) for each in summaries], output, tables=tables)


def line(outcome: Outcome) -> dict[str, Any]:
    """Return one run as it is printed: fields of CONTRACTS section 7, times in seconds after the traffic shift."""
    run = outcome.run
    return {
        "scenario": run.scenario,
        "seed": run.seed,
        "verdict": run.verdict.value,
        "decided_at": round(run.decided_at, 3),
        "expected": outcome.expected.value,
        "ok": outcome.ok,
        "late": outcome.late,
        "wrong": outcome.wrong,
        "bad_requests": run.harm.bad,
        "total_requests": run.harm.total,
        **({"parameters": dict(run.values)} if run.values else {}),
        "events": [
            {"t": round(one.at, 3), "event": one.event, "guardrail": one.guardrail, "reason": one.reason}
            | ({"of": list(one.of)} if one.of else {})
            for one in run.seen
        ],
    }


def _check_plot(plot: str | None, files: tuple[Path, ...], output: Output) -> None:
    """Raise for a picture that could not be drawn, before an hour of runs."""
    if plot is None:
        return
    if len(files) != 1:
        raise ScenarioError(f"--plot draws one scenario, {len(files)} were named", remedy="name one")
    if plot == TERMINAL and output is not Output.TABLE:
        raise ScenarioError(
            f"a chart would spoil the {output} on stdout", where="--plot -", remedy="name a file to draw into"
        )
    if plot != TERMINAL:
        from simulator.commands.pictures import check  # noqa: PLC0415  for pictures only

        check(Path(plot))


def _plot(plot: str, outcomes: list[Outcome], scenario: Scenario) -> None:
    """Draw the first run that did not come out right, or the first of all."""
    from simulator.trace import trace  # noqa: PLC0415  for pictures only

    chosen = next((one for one in outcomes if not one.ok), outcomes[0])
    played = trace(scenario, chosen.run.seed)
    if plot == TERMINAL:
        from guardian.cli.chart import chart  # noqa: PLC0415

        print()
        print("\n".join(chart(played.course, width=console().width if sys.stdout.isatty() else PIPE_WIDTH)))
        return
    from simulator.commands.pictures import write  # noqa: PLC0415

    write(played, Path(plot))
    say(f"drawn: {plot}, seed {chosen.run.seed}")


def _list(files: tuple[Path, ...], output: Output) -> None:
    """Say what scenarios are about and what is right, without playing them."""
    known = [load(file) for file in files]
    if output is Output.MARKDOWN:
        print(page(known), end="")
        return
    items = [
        {
            "scenario": one.name,
            "title": one.metadata.title,
            "right": right(one.spec.truth),
            "origin": one.metadata.origin,
        }
        for one in known
    ]
    table = Table(columns=("scenario", "title", "right", "origin"), rows=[list(one.values()) for one in items])
    show("Scenarios", items, output, tables=[table])


def _serve(files: tuple[Path, ...]) -> None:
    """Bring one scenario's pods up, say where they are, and follow the scenario until its end or Ctrl-C."""
    from simulator.serve import serving  # noqa: PLC0415  brings HTTP along
    from simulator.testing.run import current_run  # noqa: PLC0415

    if len(files) != 1:
        raise ScenarioError(f"--serve serves one scenario, {len(files)} were named", remedy="name one")
    scenario = load(files[0], grain=Grain.FLOW)  # the pods do what they are told: effects
    with current_run() as owner, serving(scenario, run=owner) as live:
        for pod in live.pods:
            show_line("Pod", {"pod": pod.identity.pod, "track": pod.identity.track, "address": pod.address})
        say(f"{scenario.name} runs for {format_duration(scenario.horizon)} from now; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            live.play(until=scenario.horizon)


def _wanted(names: list[str], *, every: bool) -> tuple[Path, ...]:
    if every and names:
        what = f"--all and {', '.join(names)} were both given"
        raise ScenarioError(what, remedy="leave one out; a folder of your own is played by naming it")
    if not every and not names:
        raise ScenarioError("no scenario is named", remedy=f"{NAMES}; or say --all")
    return tuple(library().values()) if every else find_all(names)


@contextmanager
def progress_of(total: int, output: Output) -> Iterator[Any]:
    """A bar on a terminal, nothing in a pipe; nor where lines of JSON come out on that terminal while it is drawn."""
    screen = console(stderr=True)
    if not screen.is_terminal or SCREEN.quiet or (output is Output.JSON and sys.stdout.isatty()):
        yield lambda _: None
        return
    from rich.progress import Progress  # noqa: PLC0415  only where somebody looks

    # rich would else take what is printed on stdout, fold it to the terminal's width and put it on stderr
    with Progress(console=screen, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("runs", total=total)
        yield lambda amount: bar.advance(task, amount)


def _judged(scenario: Scenario, played: list[Played]) -> tuple[Summary, dict[str, Summary]]:
    least = bound(scenario)
    ours = summarise(scenario, [one.guardian for one in played], bound=least)
    gates = played[0].beside
    return ours, {name: summarise(scenario, [one.beside[name] for one in played], bound=least) for name in gates}


COLUMNS: Final = (
    "scenario", "expected", "right", "wrong (95 %)", "late", "median", "95 %", "bound", "hurt", "",
)  # fmt: skip


def _table(summaries: list[Summary], took: float) -> Table:
    runs = sum(each.runs for each in summaries)
    played = "1 run" if runs == 1 else f"{runs} runs"
    return Table(
        columns=COLUMNS,
        rows=[_row(each) for each in summaries],
        notes=(
            (
                f"{played} in {took:.1f} s. wrong: share, and its upper limit with {CONFIDENCE:.0%} confidence; "
                f"late: after {LATE:g} x the deadline or never."
            ),
            (
                "median of deadline, 95 % of the runs: from the onset of the harm to the verdict (hold: milestones, in "
                "units of their deadline). bound: no test of the requests could be quicker on average."
            ),
            "hurt: requests of both tracks that failed from the shift to the end of the watch, per run.",
        ),
    )


def _row(guardian: Summary) -> list[str]:
    truth = guardian.scenario.spec.truth
    timed = truth.within is not None
    return [
        guardian.scenario.name,
        truth.verdict.value,
        _share(guardian.right, guardian.runs),
        f"{_share(guardian.wrong, guardian.runs)} (<={upper_limit(guardian.wrong, guardian.runs):.1%})",
        _share(guardian.late, guardian.runs),
        f"{_time(guardian.median, timed=timed)} of {_time(guardian.deadline, timed=timed)}",
        _time(guardian.p95, timed=timed),
        "-" if guardian.bound is None else _time(guardian.bound, timed=True),
        f"{guardian.hurt:,.0f}",
        "passes" if guardian.passed else "FAILS",
    ]


def _share(count: int, runs: int) -> str:
    return f"{count}/{runs}"


def _time(value: float, *, timed: bool) -> str:
    if not math.isfinite(value):
        return "never"
    return format_duration(round(value)) if timed else f"{value:.2f}"


def _plain(summary: Summary, gates: Mapping[str, Summary]) -> dict[str, Any]:
    """Return a summary for YAML; null where something never happened."""

    def number(value: float | None) -> float | None:
        return float(value) if value is not None and math.isfinite(value) else None

    return {
        "scenario": summary.scenario.name,
        "runs": summary.runs,
        "right": summary.right,
        "wrong": summary.wrong,
        "late": summary.late,
        "median": number(summary.median),
        "p95": number(summary.p95),
        "bound": number(summary.bound),
        "bad_requests": float(summary.hurt),
        "passed": summary.passed,
        "failures": list(summary.failures),
        "beside": {
            name: {"right": each.right, "wrong": each.wrong, "late": each.late, "bad_requests": float(each.hurt)}
            for name, each in gates.items()
        },
    }
