"""`guardian plan`: the steps of a policy, and how long each needs at today's traffic and with today's pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec.structs import replace

from guardian.cli.connect import metrics_of
from guardian.cli.options import (
    ConfigOption,
    EnvironmentOption,
    LatencyOption,
    OutputOption,
    PolicyArgument,
    RateOption,
    RegionOption,
    share_option,
)
from guardian.cli.output import Output, show
from guardian.cli.plan_tables import document, notes_of, tables
from guardian.cli.progress import counted
from guardian.cli.traffic import ASSUMED_DIFFERENCE, ASSUMED_NOISE, from_flags, measured
from guardian.config.policy import load_policy
from guardian.config.units import format_duration, format_share
from guardian.core.foresight import Traffic, foresee
from guardian.core.policy import Policy, full
from guardian.core.rehearsed import Rehearsals, pods_at
from guardian.errors import ConfigError

ASSUMED_ERRORS: Final = 0.005
"""Stable's share of bad events where --rps comes without --error-rate."""
RpsOption = Annotated[
    float | None, typer.Option("--rps", min=0.0, max=1e9, help="requests a second, both tracks together")
]
PodsOption = Annotated[int, typer.Option("--pods", min=0, help="pods of both tracks together")]
CanaryPodsOption = Annotated[
    int, typer.Option("--canary-pods", min=0, help="how many of them are the canary's; default: workload, or weight")
]
DifferOption = Annotated[
    float | None,
    typer.Option("--pods-differ", parser=share_option, metavar="10%", help="how much equal pods differ lastingly"),
]


def plan(
    policy: PolicyArgument,
    *,
    rps: RpsOption = None,
    error_rate: RateOption = None,
    pods: PodsOption = 0,
    canary_pods: CanaryPodsOption = 0,
    pods_differ: DifferOption = None,
    p95: LatencyOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the steps of a policy, how long each needs to see x1.5 and x2, and what its pods let be seen at all."""
    read = load_policy(policy)
    if rps is not None:
        share = ASSUMED_ERRORS if error_rate is None else error_rate
        differ = ASSUMED_DIFFERENCE if pods_differ is None else pods_differ
        traffic = from_flags(
            read, rps=rps, error_rate=share, p95=p95, pods=pods, canary_pods=canary_pods, differ=differ
        )
        origin = "; ".join(_flags(traffic, error_rate, p95, pods_differ))
    else:
        traffic, origin = _today(read, config, environment, region, pods, canary_pods, pods_differ)
    _check_pods(read, traffic)
    with counted("guardrails rehearsed") as heard:
        steps = foresee(read, traffic, Rehearsals(heard=heard))
    notes = list(notes_of(read, steps, traffic, origin))
    show("Plan", document(read, traffic, steps, notes), output, tables=tables(read, traffic, steps, notes))


def _check_pods(policy: Policy, traffic: Traffic) -> None:
    """Raise ConfigError where a step that compares has no pod of a track."""
    for step in policy.strategy.steps() if policy.participating else ():
        canary, stable = pods_at(policy, traffic, step.weight)
        if canary and stable < 1 and not full(step.weight):
            raise ConfigError(
                f"{traffic.pods} pods with {canary} of the canary leave none of stable to compare with",
                where="guardian plan --pods",
                remedy=f"--pods counts both tracks: give {canary + 1} or more, or fewer --canary-pods",
            )


def _today(
    policy: Policy, config: Path | None, environment: str | None, region: str, pods: int, canary_pods: int,
    differ: float | None,
) -> tuple[Traffic, str]:  # fmt: skip
    unknown = ConfigError(
        "today's traffic is not known", where="guardian plan",
        remedy="give --rps (and --error-rate), or name a guardian.yaml with --config whose environment has metrics",
    )  # fmt: skip
    metrics = metrics_of(policy, config, environment, region, unknown=unknown, instead="give --rps")
    traffic = measured(policy, policy.match.service, metrics, pods=pods, canary_pods=canary_pods, differ=differ)
    errors = [f"errors of '{name}' {format_share(share)}" for name, share in traffic.errors.items()]
    apart = (
        f"pods of '{name}' differ by {format_share(float(f'{spread:.2g}'))}" for name, spread in traffic.differ.items()
    )
    said = [f"mean of 30m from {metrics.url}", *errors, *apart]
    lone = [each.name for each in policy.participating if each.name not in traffic.differ]
    if lone and (pods or traffic.stable_pods):
        what = f"of {', '.join(map(repr, lone))} cannot be told from what stable's pods showed"
        said.append(f"how much pods differ {what}: {format_share(ASSUMED_DIFFERENCE)} is assumed (--pods-differ)")
    return replace(traffic, differ=traffic.differ | dict.fromkeys(lone, ASSUMED_DIFFERENCE)), "; ".join(said)


def _flags(
    traffic: Traffic, error_rate: float | None, p95: float | None, differ: float | None
) -> Iterator[str]:  # fmt: skip
    """Yield what was given, and what was assumed with the option that says otherwise."""
    yield "from --rps"
    if traffic.errors and error_rate is None:
        yield f"stable's errors are assumed to be {format_share(ASSUMED_ERRORS)} (--error-rate)"
    elif error_rate is not None:
        yield f"stable's errors {format_share(error_rate)}"
    if traffic.buckets:
        around = "their objective's target, 500ms without one (--p95)" if p95 is None else format_duration(p95)
        yield f"latencies are assumed log-normal with a p95 of {around}"
    if traffic.pods:
        assumed = f"pods are assumed to differ by {format_share(ASSUMED_DIFFERENCE)} (--pods-differ)"
        yield assumed if differ is None else f"pods differ by {format_share(differ)}"
        if traffic.noise:
            yield f"a gauge's readings are assumed to scatter by {format_share(ASSUMED_NOISE)}"
