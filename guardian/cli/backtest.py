"""`guardian backtest`: how often a policy would have rolled back releases that never were."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from guardian.cli.backtest_tables import Report, document, tables
from guardian.cli.connect import metrics_of
from guardian.cli.exits import ExitCode
from guardian.cli.judge import PolicyOption
from guardian.cli.options import (
    ConfigOption,
    EnvironmentOption,
    LengthOption,
    OutputOption,
    RegionOption,
    SinceOption,
    StepOption,
)
from guardian.cli.output import Output, show
from guardian.cli.progress import Stage, stages
from guardian.config.policy import load_policy
from guardian.config.settings import Metrics
from guardian.core.backtest import Arms, Court, Finding, as_planned, outcome, power, shape_of, suggest, survey
from guardian.core.model import Instant, Seconds
from guardian.core.policy import Policy
from guardian.core.pretend import Shape, Window
from guardian.core.samples import Batch
from guardian.errors import ConfigError, PolicyError

SINCE: Final = Seconds(14 * 86400.0)

SamplesArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[SAMPLES..]", help="CSV or Parquet files; without them: the environment's Prometheus"),
]
WindowsOption = Annotated[int, typer.Option("--windows", min=1, help="starting times, fewer where they would overlap")]
SplitsOption = Annotated[int, typer.Option("--splits", min=1, help="ways to split the pods at each starting time")]
GroupOption = Annotated[
    int | None, typer.Option("--canary-pods", min=1, help="pretended canary pods; default: by the first step's weight")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="of splits and of added errors")]
RateOnlyOption = Annotated[bool, typer.Option("--rate-only", help="leave out power and margins, which take longest")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """Windows, and the names behind the codes of their rows."""

    windows: Sequence[Window]
    metrics: Sequence[str]
    pods: Sequence[str]
    origin: str
    span: float


def backtest(
    samples: SamplesArgument = None,
    *,
    policy: PolicyOption,
    since: SinceOption = None,
    step: StepOption = None,
    length: LengthOption = None,
    windows: WindowsOption = 400,
    splits: SplitsOption = 2,
    canary_pods: GroupOption = None,
    seed: SeedOption = 1,
    rate_only: RateOnlyOption = False,
    environment: EnvironmentOption = None,
    region: RegionOption = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Measure false rollbacks, power and margins of a policy on the past, stable against stable."""
    rules = load_policy(policy)
    if not rules.participating:
        raise PolicyError(
            "compares nothing",
            where=str(policy),
            remedy="give a guardrail `compare` and a strategy with steps below 100%; objectives are not backtested",
        )
    rules = as_planned(rules)
    chosen = Seconds(length) if length else None
    shape = shape_of(rules, length=chosen, canary_pods=canary_pods, splits=splits)
    with stages() as stage:
        if samples:
            past = _recorded(samples, rules, windows, shape, stage)
        else:
            place = _metrics(rules, config, environment, region)
            past = _measured(rules, place, Seconds(since or SINCE), step, windows, shape, stage)
        report = _report(rules, past, shape, seed=seed, rate_only=rate_only, stage=stage)
    show("Backtest", document(report), output, tables=tables(report))
    raise typer.Exit(ExitCode.NO if report.pods.finding is Finding.REJECTED else ExitCode.YES)


def _recorded(samples: Sequence[Path], rules: Policy, windows: int, shape: Shape, stage: Stage) -> _Past:
    from guardian.adapters.samples.tables import Samples  # noqa: PLC0415  loads pyarrow
    from guardian.cli.recorded import past_of  # noqa: PLC0415

    reader, told = Samples(samples, control=True), stage("rows read")

    def batches() -> Iterator[Batch]:
        for batch in reader:
            told(len(batch))
            yield batch

    past = past_of(batches(), rules, metrics=reader.metrics, windows=windows, shape=shape, files=samples)
    origin = ", ".join(map(str, samples))
    return _Past(windows=past, metrics=reader.metrics, pods=reader.pods, origin=origin, span=past.span)


def _metrics(rules: Policy, config: Path | None, environment: str | None, region: str) -> Metrics:
    unknown = ConfigError(
        "there is no past to look at", where="guardian backtest",
        remedy="name files of samples, or with --config a guardian.yaml whose environment has metrics",
    )  # fmt: skip
    return metrics_of(rules, config, environment, region, unknown=unknown, instead="name files")


def _measured(
    rules: Policy, metrics: Metrics, since: Seconds, step: float | None, windows: int, shape: Shape, stage: Stage
) -> _Past:
    from guardian.cli.measured import Source, measured_past  # noqa: PLC0415  loads the client
    from guardian.cli.traffic import history_of  # noqa: PLC0415

    url, now = metrics.url or "", time.time()
    source = Source(
        history=history_of(metrics), url=url, policy=rules, everywhere=metrics.labels,
        dropped=frozenset(metrics.drop_labels),
    )  # fmt: skip
    found = measured_past(
        source, since=Instant(now - since), until=Instant(now), step=Seconds(step or metrics.scrape_interval),
        windows=windows, shape=shape, heard=stage("windows measured"),
    )  # fmt: skip
    names = [each.name for each in rules.participating]
    return _Past(windows=found.windows, metrics=names, pods=found.pods, origin=url, span=found.span)


def _report(rules: Policy, past: _Past, shape: Shape, *, seed: int, rate_only: bool, stage: Stage) -> Report:
    seen = survey(past.windows, shape, seed=seed, where=past.origin)
    told = stage("pretended rollouts judged")
    court = Court(past.windows, shape, metrics=past.metrics, pods=past.pods, seed=seed, heard=told)
    risk = rules.risk.false_rollback
    pods = outcome(Arms.PODS, court.judge(rules, seen.pretences), seen.pretences, risk=risk)
    before = outcome(Arms.TIME, court.judge(rules, seen.before), seen.before, risk=risk) if seen.before else None
    present = [each.name for each in rules.participating if each.name in past.metrics]
    powers = () if rate_only else tuple(power(court, rules, seen.pretences, present))
    margins, with_them = ((), None) if rate_only else suggest(court, rules, seen.pretences, present)
    return Report(
        policy=rules, origin=past.origin, span=past.span, shape=shape, survey=seen, pods=pods, before=before,
        powers=powers, margins=margins, with_margins=with_them, rate_only=rate_only,
        absent=tuple(each.name for each in rules.participating if each.name not in past.metrics),
    )  # fmt: skip
