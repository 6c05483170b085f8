"""`guardian judge`: verdicts on recorded samples, without a daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from guardian.adapters._merge import by_time
from guardian.adapters._waves import waves
from guardian.adapters.samples.tables import Samples
from guardian.cli.exits import of_verdict
from guardian.cli.output import warn
from guardian.cli.progress import counted
from guardian.config.policy import load_policy
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Policy
from guardian.errors import SamplesError

SamplesArgument = Annotated[list[Path], typer.Argument(metavar="SAMPLES..", help="CSV or Parquet files, sorted by t")]
PolicyOption = Annotated[Path, typer.Option("--policy", metavar="POLICY", help="policy whose margins and risk decide")]
VerdictsOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="where the verdicts go, JSON lines; default: stdout")
]
ExitOption = Annotated[bool, typer.Option("--exit-verdict", help="answer with the exit code; one rollout in the file")]


def judge(
    samples: SamplesArgument, policy: PolicyOption, output: VerdictsOption = None, exit_verdict: ExitOption = False
) -> None:
    """Judge recorded samples: one verdict a rollout, with no look-ahead."""
    with verdict_file(output, inputs=[*samples, policy]) as write:
        rules = load_policy(policy)
        # kept as text: the objects of all waves would be three times as much
        lines, count, found = bytearray(), 0, list[OfflineVerdict]()
        metrics: set[str] = set()
        with counted("rows judged") as told:
            for wave in waves(samples):
                reader = Samples(wave.files, only=wave.rollouts, control=bool(rules.labels.control))
                found = judged(reader, rules, told, in_turn=wave.in_turn)
                lines += b"".join(msgspec.json.encode(verdict) + b"\n" for verdict in found)
                count += len(found)
                metrics.update(reader.metrics)
        known = [guardrail.name for guardrail in rules.guardrails]
        if left_out := sorted(metrics.difference(known)):
            warn(f"left out, no guardrail of {policy} has the name: {', '.join(left_out)}; it has {', '.join(known)}")
        if exit_verdict and count != 1:
            raise SamplesError(
                f"hold {count} rollouts where --exit-verdict wants one",
                where=", ".join(map(str, samples)), remedy="leave --exit-verdict out, or split the file",
            )  # fmt: skip
        write(lines)
    if exit_verdict:
        raise typer.Exit(of_verdict(found[0].verdict))


class _Writer:
    """Writes verdicts once they are all there: after an error there is no output file, not even an old one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __call__(self, text: bytes | bytearray) -> None:
        if self._path is None:
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
        elif self._path.exists():  # a device or a pipe: what was a file is gone by now
            with self._path.open("wb") as stream:
                stream.write(text)
        else:
            part = self._path.with_name(self._path.name + ".part")
            part.write_bytes(text)
            part.replace(self._path)


@contextmanager
def verdict_file(path: Path | None, *, inputs: Iterable[Path]) -> Iterator[_Writer]:
    """Give a writer for the verdicts. Raises SamplesError where the file cannot be written or is an input."""
    if path is not None and any(path.exists() and each.exists() and path.samefile(each) for each in inputs):
        raise SamplesError("is an input of this command too", where=str(path), remedy="name another output file")
    try:
        if path is not None:
            if not path.resolve().parent.is_dir():
                raise SamplesError("is in a folder that does not exist", where=str(path), remedy="make the folder")
            if path.is_file():
                path.unlink()
        yield _Writer(path)
    except OSError as cause:
        raise SamplesError(
            f"cannot be written: {cause.strerror}", where=str(path), remedy="check the path and its rights"
        ) from cause


def judged(
    reader: Samples, rules: Policy, told: Callable[[int], None], *, in_turn: bool = False
) -> list[OfflineVerdict]:
    """Verdicts on what one reader gives; told: hears how many rows were taken. in_turn: as a `Wave` says."""
    court = Offline(rules, rollouts=reader.rollouts, metrics=reader.metrics, pods=reader.pods)
    for batch in by_time(reader) if in_turn else reader:
        court.take(batch)
        told(len(batch))
    found = court.finish()
    court.refuse_open_ended()
    return found
