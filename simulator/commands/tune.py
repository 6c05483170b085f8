"""`guardian tune`: a better policy by simulated incidents, proved on seeds that the search never saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Final

import typer

from guardian.cli.output import Output, say, show
from guardian.cli.pictures import check_picture, write_file
from guardian.config.policy import load_policy
from guardian.config.units import parse_duration
from guardian.core.model import Seconds
from guardian.errors import ConfigError, PolicyError, ScenarioError
from simulator.commands.simulate import JobsOption, progress_of
from simulator.commands.tune_page import page
from simulator.commands.tuned import answer, patch_of, plain, tables
from simulator.library import find_all, library, load, whole
from simulator.tuning.crew import Crew, cluster, local
from simulator.tuning.kept import kept_in
from simulator.tuning.space import Space, read_space, space_around
from simulator.tuning.study import Study, Terms, Tuning, check, header
from simulator.tuning.tapes import read_tapes

BUDGET: Final = "10m"
"""How long it searches when nothing else is said."""
PolicyArgument = Annotated[Path, typer.Argument(metavar="POLICY", help="file of the policy to start from")]
ScenariosOption = Annotated[
    list[str] | None,
    typer.Option("--scenarios", help="folder, file or name; may be given more than once; default: all"),
]
TapesOption = Annotated[
    list[str] | None,
    typer.Option("--tapes", help="file or folder of `kind: Tape`: recorded rollouts with what would have been right"),
]
SpaceOption = Annotated[
    Path | None, typer.Option("--space", help="what may change; default: half and twice of margins, bakes and waits")
]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", help=f"how long it may take; default {BUDGET}, none with --trials")
]
TrialsOption = Annotated[int | None, typer.Option("--trials", min=1, help="how many other policies are tried at most")]
SeedsOption = Annotated[int, typer.Option("--seeds", min=2, help="seeds of each scenario that the search sees")]
FreshOption = Annotated[int, typer.Option("--fresh", min=2, help="further seeds that prove or disprove its answer")]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="a Dask scheduler whose workers play")
]
StateOption = Annotated[Path | None, typer.Option("--state", help="keep what was played here, and go on from it")]
PatchOption = Annotated[Path | None, typer.Option("--patch", help="write the recommended change here")]

ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE.html", help="write a page with pictures here")
]


def tune(
    policy: PolicyArgument,
    *,
    scenarios: ScenariosOption = None,
    tapes: TapesOption = None,
    space: SpaceOption = None,
    budget: BudgetOption = None,
    trials: TrialsOption = None,
    seeds: SeedsOption = 8,
    fresh: FreshOption = 20,
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
    state: StateOption = None,
    patch: PatchOption = None,
    report: ReportOption = None,
    output: Annotated[
        Output, typer.Option("-o", "--output", help="json: one object with every candidate")
    ] = Output.TABLE,
) -> None:
    """Search a better policy on simulated incidents and recorded rollouts; the answer is a patch, or to keep it."""
    searched = _space(policy, space)
    terms = Terms(
        scenarios=_texts(find_all(scenarios) if scenarios else tuple(library().values())),
        seeds=seeds, fresh=fresh, trials=trials, budget=_budget(budget, trials),
        tapes=read_tapes(tapes or [], load_policy(policy), file=str(policy)),
    )  # fmt: skip
    check(searched, terms)
    if report is not None:
        check_picture(report, (".html",), option="--report")
    with _crew(scheduler, jobs) as crew, kept_in(state, header(searched, terms)) as kept:
        began = time.monotonic()
        with progress_of(100, output) as advance:
            study = Study(
                searched, terms, crew, kept, elapsed=lambda: time.monotonic() - began, progress=_steps(advance)
            )
            found = study.run()
    _show(found, output)
    _write(found, patch, report)
    say(f"{found.stopped}; {study.played} of {study.done} times a policy met a scenario or tape were played now")


def _steps(advance: Callable[[float], None]) -> Callable[[float], None]:
    """Return what turns the share that is done into steps of a progress bar."""
    shown = 0.0

    def reach(share: float) -> None:
        nonlocal shown
        advance(max(100.0 * share - shown, 0.0))
        shown = max(100.0 * share, shown)

    return reach


def _space(policy: Path, space: Path | None) -> Space:
    """Return what is searched. Raises PolicyError or ConfigError."""
    if policy.is_dir():
        raise PolicyError("is a folder", where=str(policy), remedy="name the file of one policy")
    load_policy(policy)
    text = policy.read_text(encoding="utf-8")
    if space is None:
        return space_around(text, file=str(policy))
    return read_space(space, text, file=str(policy))


def _texts(files: Sequence[Path]) -> dict[str, str]:
    """Return scenarios as text by name. Raises ScenarioError."""
    texts: dict[str, str] = {}
    for file in files:
        name = load(file).name
        if name in texts:
            raise ScenarioError(f"two scenarios are called '{name}'", where=str(file), remedy="rename one of them")
        texts[name] = whole(file)
    return texts


def _budget(budget: str | None, trials: int | None) -> Seconds | None:
    if budget is None and trials is not None:
        return None
    try:
        seconds = parse_duration(budget or BUDGET)
    except ValueError as error:
        raise ConfigError(f"--budget {budget}: {error}", remedy="write 10m or 1h30m") from None
    if seconds <= 0:
        raise ConfigError(f"--budget {budget} leaves no time", remedy="write 10m or 1h30m")
    return seconds


def _crew(scheduler: str | None, jobs: int | None) -> AbstractContextManager[Crew]:
    if scheduler is None:
        return local(jobs)
    if jobs is not None:
        raise ConfigError(
            "--jobs and --scheduler were both given", remedy="leave one out: a cluster has its own workers"
        )
    return cluster(scheduler)


def _show(found: Tuning, output: Output) -> None:
    """Print the answer, the tables and the patch; programs find all three in one object."""
    people, change = output in {Output.TABLE, Output.MARKDOWN}, patch_of(found)
    if people:
        print(f"{answer(found)}\n")
    show("Tuning", plain(found), output, tables=tables(found))
    if people and change:
        print(f"\n```diff\n{change}```" if output is Output.MARKDOWN else f"\n{change}")


def _write(found: Tuning, patch: Path | None, report: Path | None) -> None:
    """Write what was asked for, and say where it is."""
    change = patch_of(found)
    if patch is not None and change:
        write_file(patch, change.encode(), option="--patch")
        say(f"written: {patch}; `patch -p1 < {patch}` applies it")
    elif patch is not None:
        say(f"{patch} is not written: there is nothing to change")
    if report is not None:
        write_file(report, page(found).encode(), option="--report")
        say(f"written: {report}")
