"""Arguments and options that several commands share: the same name and meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from guardian.cli.output import Output
from guardian.config.units import UnitError, parse_duration, parse_share


def _duration(value: Any) -> float | None:
    try:
        return None if value is None else float(parse_duration(value))
    except UnitError as error:
        raise typer.BadParameter(str(error)) from None


def share_option(value: Any) -> float | None:
    """Read a share, '5%' or 0.05; a message for typer where it is none."""
    try:
        return None if value is None else float(parse_share(float(value) if "%" not in str(value) else value))
    except (UnitError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None


RolloutArgument = Annotated[str, typer.Argument(metavar="ROLLOUT", help="id, start of one, or service")]
ServiceArgument = Annotated[str, typer.Argument(metavar="SERVICE", help="name of the service")]
PolicyArgument = Annotated[Path, typer.Argument(metavar="POLICY", help="policy file")]
PoliciesArgument = Annotated[list[Path], typer.Argument(metavar="POLICY..", help="policy files or folders")]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="how data is printed")]
WatchOption = Annotated[bool, typer.Option("-w", "--watch", help="go on showing changes")]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", parser=_duration, metavar="60s", help="give up waiting (exit 5)")
]
PatienceOption = Annotated[
    float | None,
    typer.Option("--timeout", parser=_duration, metavar="10s", help="longest that one check may take; default: 10s"),
]
ConfigOption = Annotated[
    Path | None, typer.Option("-c", "--config", help="guardian.yaml; default: $GUARDIAN_CONFIG, ./guardian.yaml")
]
ServerOption = Annotated[
    str | None, typer.Option("--server", help="address of the daemon; default: $GUARDIAN_SERVER, guardian.yaml")
]
EnvironmentOption = Annotated[str | None, typer.Option("--environment", "-e", help="environment of the service")]
RegionOption = Annotated[str, typer.Option("--region", help="region of the service")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
ReasonOption = Annotated[str, typer.Option("--reason", help="why; it is kept in the journal")]
RateOption = Annotated[
    float | None,
    typer.Option("--error-rate", parser=share_option, metavar="0.5%", help="share of bad events of stable"),
]
LatencyOption = Annotated[
    float | None, typer.Option("--p95", parser=_duration, metavar="300ms", help="95th percentile of stable's latency")
]
SinceOption = Annotated[
    float | None, typer.Option("--since", parser=_duration, metavar="14d", help="how far to look back; default: 14d")
]
StepOption = Annotated[
    float | None,
    typer.Option("--step", parser=_duration, metavar="15s", help="of range queries; default: the scrape interval"),
]
LengthOption = Annotated[
    float | None,
    typer.Option(
        "--length",
        parser=_duration,
        metavar="30m",
        help="of a pretended rollout; default: 2 x the earliest promotion, 30m or more",
    ),
]
