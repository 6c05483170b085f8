"""`guardian plan`: the steps of a policy, and how long each needs at today's traffic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from guardian.cli.connect import metrics_of
from guardian.cli.options import (
    ConfigOption,
    EnvironmentOption,
    LatencyOption,
    OutputOption,
    PolicyArgument,
    RateOption,
    RegionOption,
)
from guardian.cli.output import Output, Table, show
from guardian.cli.traffic import from_flags, measured
from guardian.config.policy import load_policy
from guardian.config.units import format_duration, format_share
from guardian.core.foresight import WORSE, StepForesight, Traffic, foresee
from guardian.core.policy import GaugeSli, Guardrail, HistogramSli, Policy
from guardian.errors import ConfigError

ASSUMED_ERRORS: Final = 0.005
"""Stable's share of bad events where --rps comes without --error-rate."""
RpsOption = Annotated[float | None, typer.Option("--rps", min=0.0, help="requests a second, both tracks together")]
PodsOption = Annotated[int, typer.Option("--pods", min=0, help="pods of both tracks together")]


def plan(
    policy: PolicyArgument,
    *,
    rps: RpsOption = None,
    error_rate: RateOption = None,
    pods: PodsOption = 0,
    p95: LatencyOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the steps of a policy, and how long each needs to see x1.5 and x2 at today's traffic."""
    read = load_policy(policy)
    if rps is not None:
        share = ASSUMED_ERRORS if error_rate is None else error_rate
        traffic = from_flags(read, rps=rps, error_rate=share, pods=pods, p95=p95)
        origin = "; ".join(_flags(traffic, error_rate, p95))
    else:
        traffic, origin = _today(read, config, environment, region, pods)
    steps = foresee(read, traffic)
    notes = list(_notes(read, steps, traffic, origin))
    found = {"policy": read.name, "traffic": _traffic(traffic), "steps": _finite(steps), "notes": notes}
    show("Plan", found, output, tables=[_table(steps, notes)])


def _today(policy: Policy, config: Path | None, environment: str | None, region: str, pods: int) -> tuple[Traffic, str]:
    unknown = ConfigError(
        "today's traffic is not known", where="guardian plan",
        remedy="give --rps (and --error-rate), or name a guardian.yaml with --config whose environment has metrics",
    )  # fmt: skip
    metrics = metrics_of(policy, config, environment, region, unknown=unknown, instead="give --rps")
    traffic = measured(policy, policy.match.service, metrics, pods=pods)
    errors = (f"errors of '{name}' {format_share(share)}" for name, share in traffic.errors.items())
    return traffic, "; ".join((f"mean of 30m from {metrics.url}", *errors))


def _flags(traffic: Traffic, error_rate: float | None, p95: float | None) -> Iterator[str]:
    """Yield what was given, and what was assumed with the option that says otherwise."""
    yield "from --rps"
    if traffic.errors and error_rate is None:
        yield f"stable's errors are assumed to be {format_share(ASSUMED_ERRORS)} (--error-rate)"
    elif error_rate is not None:
        yield f"stable's errors {format_share(error_rate)}"
    if traffic.buckets:
        around = "their objective's target, 500ms without one (--p95)" if p95 is None else format_duration(p95)
        yield f"latencies are assumed log-normal with a p95 of {around}"


def _table(steps: tuple[StepForesight, ...], notes: list[str]) -> Table:
    rows = [row for number, step in enumerate(steps, start=1) for row in _rows(number, step)]
    seen = [f"sees x{worse:g}" for worse in WORSE]
    columns = ("step", "weight", "bake", "limit", "lasts", "guardrail", "sample", *seen, "promote")
    return Table(columns=columns, rows=rows, notes=notes, styles={"weight": "bold", "guardrail": "cyan"})


def _rows(number: int, step: StepForesight) -> Iterator[tuple[str, ...]]:
    lasts = f"{_time(step.lasts)}{' !' if step.late else ''}"
    head = (str(number), format_share(step.weight), _time(step.bake), _time(step.limit), lasts)
    if not step.sights:
        yield (*head, *[""] * (len(WORSE) + 3))
    for index, sight in enumerate(step.sights):
        first = head if index == 0 else ("",) * len(head)
        worse = (_time(seconds) for seconds in sight.worse)
        yield (*first, sight.guardrail, _time(sight.sample), *worse, _time(sight.promote))


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return "not known"
    if not math.isfinite(seconds):
        return "never"
    return format_duration(math.ceil(seconds) if seconds < 600 else math.ceil(seconds / 60) * 60)


def _notes(policy: Policy, steps: tuple[StepForesight, ...], traffic: Traffic, origin: str) -> Iterator[str]:
    total, spent = sum(step.lasts for step in steps), 0.0
    unknown = {sight.guardrail: None for step in steps for sight in step.sights if math.isnan(sight.promote)}
    yield f"A healthy rollout takes {_time(total)}{' or more' if unknown else ''}. Traffic: {origin}."
    yield "sample, sees, promote: time until the sample is there, a release so much worse is seen, a good one is shown."
    yield "Times hold for independent requests and equal pods; pods that differ need more."
    for number, step in enumerate(steps, start=1):
        if step.extends:
            yield f"Step {number} is the last that compares: it extends itself until the promote verdict."
        if step.late:
            yield (
                f"warning: step {number} lasts {_time(step.lasts)}, over its limit of {_time(step.limit)}: "
                f"a person would be paged; {_remedy(policy, step, spent)} or raise the limit"
            )
        spent += step.lasts
    for name in unknown:
        yield f"'{name}': {_why_unknown(policy.guardrail(name))}"
    for guardrail in policy.participating:
        if not traffic.requests.get(guardrail.name) and guardrail.name not in unknown:
            yield f"warning: guardrail '{guardrail.name}' has no traffic: no step would ever pass"
    if _canary_pods(policy, traffic) == 1 and steps[0].sights:
        yield "With one canary pod, a pod that is lastingly different cannot be told from the release."


def _why_unknown(guardrail: Guardrail) -> str:
    """Say why no time can be told for a guardrail."""
    if isinstance(guardrail.sli, GaugeSli):
        return "how soon a level tells depends on how much pods differ, which no traffic says"
    return "how many events a request makes is not known; name an environment with metrics instead of --rps"


def _remedy(policy: Policy, step: StepForesight, spent: float) -> str:
    """Say what would shorten the step: `spent` seconds of the rollout are over when it begins."""
    if step.extends and math.isclose(step.lasts, policy.risk.earliest_promotion - spent):
        return "lower risk.earliest_promotion"
    known = [sight for sight in step.sights if not math.isnan(sight.promote)] or list(step.sights)
    margin, sample = "the promote margin", max(known, key=lambda sight: sight.sample)
    if not math.isclose(sample.sample, step.lasts):
        slowest = max(known, key=lambda sight: sight.promote)
        if isinstance(policy.guardrail(slowest.guardrail).sli, HistogramSli):
            margin = "the promote and tail margins"  # whichever is the slower of the two
    elif policy.guardrail(sample.guardrail).min_requests is not None:
        return f"lower min_requests of '{sample.guardrail}', send more traffic"
    else:
        slowest = sample
    return f"widen {margin} of '{slowest.guardrail}', send more traffic"


def _canary_pods(policy: Policy, traffic: Traffic) -> int:
    """Return how many of the pods are the canary's: what the workload is told, else as many as stable; 0: unknown."""
    told = policy.workload.options.get("replicas") if policy.workload is not None else None
    return told if isinstance(told, int) else traffic.pods // 2 if traffic.pods else 0


def _traffic(traffic: Traffic) -> dict[str, object]:
    told = {"requests_per_second": traffic.requests, "error_share": traffic.errors, "pods": traffic.pods}
    return told | ({"events_per_request": traffic.events} if traffic.events else {})


def _finite(steps: tuple[StepForesight, ...]) -> list[dict[str, object]]:
    """Return the steps for JSON, which knows no infinity: never, and what is not known, is null."""
    return [
        {
            "weight": step.weight,
            "bake": step.bake,
            "limit": step.limit,
            "lasts": _null(step.lasts),
            "late": step.late,
            "extends": step.extends,
            "guardrails": [
                {
                    "name": sight.guardrail,
                    "sample": _null(sight.sample),
                    **{f"x{worse:g}": _null(time) for worse, time in zip(WORSE, sight.worse, strict=True)},
                    "promote": _null(sight.promote),
                }
                for sight in step.sights
            ],
        }
        for step in steps
    ]


def _null(seconds: float) -> float | None:
    return round(seconds, 1) if math.isfinite(seconds) else None
