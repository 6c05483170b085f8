"""`guardian explain`: why a rollout is where it is, from the daemon; or why samples were judged so, from files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from guardian.cli.connect import connect
from guardian.cli.options import ConfigOption, OutputOption, RolloutArgument, ServerOption
from guardian.cli.output import Output, Table, say, show
from guardian.cli.views import explanation_tables
from guardian.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from guardian.core.course import Course

Json = dict[str, Any]
TERMINAL: Final = "-"
_PIPE_WIDTH: Final = 100
PlotOption = Annotated[
    str | None, typer.Option("--plot", metavar="FILE", help="draw the evidence over time: .svg, .png, - for here")
]
SamplesOption = Annotated[
    list[Path] | None,
    typer.Option("--samples", metavar="FILE", help="explain a rollout_id of recorded samples; may be repeated"),
]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", metavar="POLICY", help="with --samples: policy whose margins and risk decide")
]


def explain(
    rollout: RolloutArgument,
    output: OutputOption = Output.TABLE,
    *,
    plot: PlotOption = None,
    samples: SamplesOption = None,
    policy: PolicyOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
) -> None:
    """Explain a rollout in sentences: what happened, on which evidence, what would change the verdict, what you can do.

    With --samples and --policy a rollout of recorded samples is judged again, tick by tick, without a daemon.
    """
    _check(plot, output, samples=samples, policy=policy)
    course: Course | None = None
    if samples and policy is not None:
        told, course = recorded(rollout, samples, policy)
        show("RecordedExplanation", told, output, tables=_recorded_tables(told))
    else:
        with connect(server, config) as client:
            told = client.explanation(client.find(rollout)["id"])
        show("Explanation", told, output, tables=explanation_tables(told))
        course = _course(told) if plot is not None else None
    if plot is not None and course is not None:
        _plot(course, plot)


def _check(plot: str | None, output: Output, *, samples: list[Path] | None, policy: Path | None) -> None:
    """Raise ConfigError for what cannot be done, before anything is asked or judged."""
    if bool(samples) != (policy is not None):
        raise ConfigError(
            "--samples and --policy go together", where="guardian explain",
            remedy="name the samples and the policy that judges them, or neither to ask the daemon",
        )  # fmt: skip
    if plot == TERMINAL and output is not Output.TABLE:
        remedy = "name a file to draw into, or leave --output out; the readings are in `course`"
        raise ConfigError(f"a chart would spoil the {output} on stdout", where="--plot -", remedy=remedy)
    if plot is not None and plot != TERMINAL:
        from guardian.cli.pictures import check_picture  # noqa: PLC0415  numpy, for pictures only

        check_picture(Path(plot))


def _course(told: Json) -> Course:
    if "course" not in told:
        raise Unavailable(
            "the daemon does not tell the evidence over time: it is older than this command",
            where="--plot", remedy="update the daemon",
        )  # fmt: skip
    from guardian.core.course import Course  # noqa: PLC0415  numpy, for --plot only

    return msgspec.convert(told["course"], Course)


def recorded(rollout: str, samples: list[Path], policy: Path) -> tuple[Json, Course]:
    """Return the explanation of one rollout of recorded samples. Raises SamplesError, PolicyError."""
    from guardian.adapters.samples.tables import Samples  # noqa: PLC0415  pyarrow and scipy, for files only
    from guardian.config.policy import load_policy  # noqa: PLC0415
    from guardian.core.replay import Recording, replay  # noqa: PLC0415
    from guardian.core.what_if import of_recording  # noqa: PLC0415

    rules = load_policy(policy)
    reader = Samples(samples, control=bool(rules.labels.control))
    recording = Recording(reader, rollout=rollout, rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
    verdict, course = replay(recording, rules)
    told: Json = {
        "rollout": rollout,
        "verdict": verdict.verdict.value,
        "decided_at": verdict.decided_at,
        "metric": verdict.metric,
        "evidence": verdict.evidence,
        "summary": f"{rollout}: {verdict.verdict}. {verdict.reason}",
        "what_if": list(of_recording(recording, rules, verdict)),
        "course": msgspec.to_builtins(course),
    }
    return told, course


def _recorded_tables(told: Json) -> list[Table]:
    lines = [(text,) for text in told["what_if"]]
    return [
        Table(columns=("",), rows=[], title=told["summary"]),
        Table(columns=("what would have changed the verdict",), rows=lines),
    ]


def _plot(course: Course, plot: str) -> None:
    from guardian.cli.chart import chart  # noqa: PLC0415
    from guardian.cli.pictures import write_picture  # noqa: PLC0415

    if plot != TERMINAL:
        write_picture(course, Path(plot))
        say(f"drawn: {plot}")
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    print()
    print("\n".join(chart(course, width=width)))
