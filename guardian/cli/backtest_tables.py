"""What `guardian backtest` prints: tables for people, values for JSON and YAML, and what the figures do not say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from guardian.cli.output import Table
from guardian.config.units import format_duration
from guardian.core.backtest import Arms, Finding, Outcome, Power, Share, Suggestion, Survey
from guardian.core.policy import Policy
from guardian.core.pretend import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that one backtest found. absent: guardrails that compare and have no rows."""

    policy: Policy
    origin: str
    span: float
    shape: Shape
    survey: Survey
    pods: Outcome
    before: Outcome | None
    powers: tuple[Power, ...]
    margins: tuple[Suggestion, ...]
    with_margins: Outcome | None
    rate_only: bool
    absent: tuple[str, ...]


def tables(report: Report) -> Iterator[Table]:
    """Yield the tables; the notes are below the last one."""
    said = list(notes(report))
    parts = [_rates(report)]
    if report.powers:
        parts.append(_powers(report))
    if report.margins:
        parts.append(_margins(report))
    for number, (title, columns, rows) in enumerate(parts, start=1):
        yield Table(
            title=title, columns=columns, rows=rows, notes=said if number == len(parts) else (),
            styles={columns[0]: "cyan"},
        )  # fmt: skip


_Part = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _rates(report: Report) -> _Part:
    risk = report.policy.risk.false_rollback
    columns: tuple[str, ...] = (
        "arms",
        "starts",
        "rollouts",
        "rolled back",
        "95 % interval",
        f"risk {risk:.2%}",
        "promoted",
        "after",
    )
    rows: list[tuple[str, ...]] = []
    for one in (report.pods, report.before):
        if one is not None:
            rolled = f"{one.rolled_back.share:.2%} ({one.rolled_back.count})"
            after = _time(one.promoted_after)
            rows.append(
                (_arms(report, one), str(one.windows), str(one.rolled_back.runs), rolled, _interval(one.rolled_back),
                 one.finding.value, f"{one.promoted.share:.1%}", after)
            )  # fmt: skip
    return "False rollbacks, with nothing released", columns, rows


def _arms(report: Report, one: Outcome) -> str:
    if one.arms is Arms.TIME:
        return "time"
    (low, high), (few, many) = report.survey.group, report.survey.pods
    return f"pods, {_range(low, high)} of {_range(few, many)}"


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _powers(report: Report) -> _Part:
    columns: tuple[str, ...] = ("guardrail", "worse", "rollouts", "rolled back", "95 % interval", "median delay")
    rows: list[tuple[str, ...]] = [
        (one.guardrail, f"x{one.worse:g}", str(one.found.runs), f"{one.found.share:.1%}", _interval(one.found),
         _time(one.delay))
        for one in report.powers
    ]  # fmt: skip
    return "Power: the pretended canary made worse", columns, rows


def _margins(report: Report) -> _Part:
    columns: tuple[str, ...] = ("guardrail", "rollback.relative", "suggested")
    rows: list[tuple[str, ...]] = [(one.guardrail, f"{one.given:g}", _number(one.suggested)) for one in report.margins]
    tried = report.with_margins
    if tried is not None and tried.finding is Finding.ACCEPTED:
        return "Smallest margins within the risk", columns, rows
    return "Smallest margins not refuted (too little past to confirm any)", columns, rows


def notes(report: Report) -> Iterator[str]:
    """Yield what the figures rest on and what they do not promise."""
    seen, shape = report.survey, report.shape
    yield (
        f"{format_duration(shape.length)} each after {format_duration(shape.history)} of history, from "
        f"{report.span / 3600:.1f}h of {report.origin}"
    )
    for fault, count in sorted(seen.left_out.items()):
        yield f"{count} starting times left out: {fault}"
    for name in report.absent:
        yield f"warning: guardrail '{name}' has no rows of stable: it took no part"
    yield "Measured, not proved: stable against stable, whole pods, judged as `guardian judge` does."
    yield "A worse release that really went out in that time counts as a false rollback here."
    yield "Intervals count starting times, not splits: the splits of one share its pods and its noise."
    yield "Pods of a new revision are younger than any here and may differ more."
    if report.pods.finding is Finding.UNDECIDED:
        risk = float(report.policy.risk.false_rollback)
        needed = math.ceil(math.log(0.025) / math.log1p(-risk))
        yield f"undecided: the interval holds the risk; {needed} starting times without a rollback show {risk:.2%}"
    if report.before is None:
        yield "time as arms: no starting time has the past for it"
    if report.powers:
        yield "Power: independent bad events added (latency: all requests slower); real faults cluster."
    measured = {one.guardrail for one in report.powers}
    for each in report.policy.participating:
        if not report.rate_only and each.name not in measured and each.name not in report.absent:
            yield f"power of '{each.name}' is not known: no bad event in the past, or a gauge or count"
    yield from _margin_notes(report)


def _margin_notes(report: Report) -> Iterator[str]:
    tried = report.with_margins
    if tried is not None:
        yield (
            f"With these margins: {tried.rolled_back.count} of {tried.rolled_back.runs} rolled back "
            f"({_interval(tried.rolled_back)}), {tried.promoted.share:.1%} promoted; chosen on the same past."
        )
    for one in report.margins:
        if one.suggested is None:
            yield f"warning: '{one.guardrail}' is rolled back beyond the risk at every margin tried"
            yield "give the canary more pods, widen `tail` or `absolute`, or look at the pods that differ"


def document(report: Report) -> dict[str, object]:
    """Return the report for JSON, which knows no infinity: never is null. Times in seconds, shares in 0..1."""
    seen, shape = report.survey, report.shape
    return {
        "policy": report.policy.name,
        "source": report.origin,
        "span": report.span,
        "risk": float(report.policy.risk.false_rollback),
        "length": float(shape.length),
        "history": float(shape.history),
        "windows": {"used": seen.windows, "left_out": {fault.name.lower(): n for fault, n in seen.left_out.items()}},
        "pods": {"fewest": seen.pods[0], "most": seen.pods[1]},
        "canary_pods": {"fewest": seen.group[0], "most": seen.group[1]},
        "false_rollbacks": [_outcome(one) for one in (report.pods, report.before) if one is not None],
        "power": [
            {"guardrail": one.guardrail, "worse": one.worse, **_share(one.found), "delay": _null(one.delay)}
            for one in report.powers
        ],
        "margins": [
            {"guardrail": one.guardrail, "given": one.given, "suggested": one.suggested} for one in report.margins
        ],
        "with_margins": None if report.with_margins is None else _outcome(report.with_margins),
        "notes": list(notes(report)),
    }


def _outcome(one: Outcome) -> dict[str, object]:
    return {
        "arms": one.arms.value, "windows": one.windows, **_share(one.rolled_back), "finding": one.finding.value,
        "by_guardrail": one.by_guardrail, "promoted": one.promoted.share, "promoted_after": _null(one.promoted_after),
    }  # fmt: skip


def _share(one: Share) -> dict[str, object]:
    return {"rollouts": one.runs, "rolled_back": one.count, "share": one.share, "interval": [one.lower, one.upper]}


def _interval(one: Share) -> str:
    return f"{one.lower:.2%} - {one.upper:.2%}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _time(seconds: float) -> str:
    return format_duration(round(seconds)) if math.isfinite(seconds) else "most not"


def _null(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
