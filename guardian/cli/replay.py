"""`guardian replay`: a tape given to the guardian again, under its own policy or another one, and what differs then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from guardian.cli.exits import ExitCode
from guardian.cli.options import OutputOption
from guardian.cli.output import Output, Table, show
from guardian.cli.progress import counted
from guardian.errors import ThinHistory

if TYPE_CHECKING:
    from guardian.core.differences import Comparison
    from guardian.core.playback import Played
    from guardian.core.policy import Policy

TapesArgument = Annotated[list[Path], typer.Argument(metavar="TAPE..", help="parts of tapes, or folders of them")]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", metavar="FILE", help="judge by this policy instead of the recorded one")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="exit 3 when anything differs")]
UNKNOWN_TRAFFIC = (
    "From the moment a rollout parted, users did not get the weight that the replay ordered. Its evidence is that of "
    "the traffic that was served; another weight would have brought more or fewer requests. How the canary does at a "
    "weight it never had is not known, nor anything after its traffic had ended."
)


def replay(
    tapes: TapesArgument,
    policy: PolicyOption = None,
    strict: StrictOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replay recorded rollouts, under another policy or version, and explain what is decided otherwise.

    Exit 0: replayed; with --strict only when nothing differs, else 3. 2: a tape or policy that does not read.
    4: no rollout of the tape can be replayed.
    """
    from guardian.config.policy import load_policy  # noqa: PLC0415  pydantic and numpy: not for --help

    other = load_policy(policy) if policy is not None else None
    played = _played(tapes, other)
    found = [(one, _compared(one)) for one in played]
    if not any(comparisons for _, comparisons in found):
        raise ThinHistory(
            "no rollout on the tape can be replayed", where=", ".join(map(str, tapes)),
            remedy="record one from its deploy event on",
        )  # fmt: skip
    document = [_document(one, comparisons) for one, comparisons in found]
    show("Replay", document, output, tables=_tables(found, other=other is not None))
    differ = any(one.differences for _, comparisons in found for one in comparisons)
    raise typer.Exit(ExitCode.NO if strict and (differ or any(one.faults for one in played)) else ExitCode.YES)


def _played(tapes: Sequence[Path], policy: Policy | None) -> list[Played]:
    from guardian.adapters.tapes.folder import parts_of, read, written_by  # noqa: PLC0415  pyarrow
    from guardian.core.playback import Playback  # noqa: PLC0415

    services = parts_of(tapes)
    if policy is not None:
        services = {key: parts for key, parts in services.items() if key[1] == policy.match.service} or services
    played = []
    with counted("parts replayed") as told:
        for (environment, service, _), parts in services.items():
            playback = Playback(service, environment, policy=policy)
            for _, path in parts:
                playback.take(read(path), where=str(path))
                told(1)
            played.append(playback.finish())
            others = {written_by(path) for _, path in parts} - {version("slo-guardian")}
            played[-1].notes += [f"was recorded by slo-guardian {one}" for one in sorted(others)]
    return played


def _compared(played: Played) -> tuple[Comparison, ...]:
    from guardian.core.differences import compare  # noqa: PLC0415

    return compare(played)


def _document(played: Played, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return all of one service; times in seconds after the rollout was opened."""
    return {
        "service": played.service,
        "environment": played.environment,
        "rollouts": [msgspec.to_builtins(one) for one in comparisons],
        "not_on_tape": {"guardrails": list(played.unmeasured), "notes": list(played.notes)},
        "faults": list(played.faults),
    }


def _tables(found: Iterable[tuple[Played, Sequence[Comparison]]], *, other: bool) -> list[Table]:
    from guardian.core.differences import told  # noqa: PLC0415
    from guardian.core.sentences import duration  # noqa: PLC0415

    rows, lines, notes, parted = [], [], list[str](), False
    for played, comparisons in found:
        for one in comparisons:
            since = f"after {duration(one.diverged)}" if one.diverged is not None else "never"
            number = len(one.differences) or "none"
            rows.append((one.rollout, one.revision, told(one.recorded), told(one.replayed), number, since))
            parted = parted or one.diverged is not None
            lines += [
                (one.rollout, each.what, _time(each.recorded), _time(each.replayed), each.text)
                for each in one.differences
            ]
        notes += _notes(played, other=other)
    if parted:
        notes.append(UNKNOWN_TRAFFIC)
    columns = ("rollout", "revision", "recorded", "replayed", "differences", "parted")
    tables = [Table(columns=columns, rows=rows, notes=notes)]
    if lines:
        heads = ("rollout", "decision", "recorded", "replayed", "how they differ")
        tables.append(Table(columns=heads, rows=lines, title="Differences"))
    return tables


def _notes(played: Played, *, other: bool) -> list[str]:
    """Say what the tape lacks, in sentences."""
    place = f"{played.service} in {played.environment}"
    notes = [f"{place}: {note}" for note in played.notes]
    if played.before:
        text = "are judged by their own policy" if other else "go on from their last evidence"
        notes.append(f"{place}: began before the tape, and {text}: {', '.join(sorted(played.before))}")
    if played.unmeasured:
        names = ", ".join(played.unmeasured)
        notes.append(f"{place}: the tape has no data of {names}: the recorded policy measured nothing like it")
    return [*notes, *(f"{place}: fault in deciding: {fault}" for fault in played.faults)]


def _time(seconds: float | None) -> str:
    from guardian.core.sentences import duration  # noqa: PLC0415

    return "-" if seconds is None else duration(seconds)
