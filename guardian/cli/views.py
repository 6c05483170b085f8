"""Rollouts and explanations as tables and lines. Knows the API's answers, asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from guardian.cli.output import Table
from guardian.config.units import format_share
from guardian.core.model import Phase
from guardian.core.sentences import weighed

Json = dict[str, Any]
SAME_SHARE: Final = 0.005
SAME_PART: Final = 0.1
"""A share seen is told where it differs from the wanted one by more than half a point, or by more than this part of the
smaller track's share: requests are never divided exactly."""
_NOT_BREACHED: Final = "none"
"""Breach.NONE; its module brings numpy along."""
COLUMNS: Final = ("rollout", "place", "revision", "phase", "step", "weight", "now")


def rollouts_table(rollouts: Sequence[Json]) -> Table:
    """Return one row per rollout."""
    rows = [
        (one["id"], place(one), one["revision"], one["phase"], step(one), weight(one), situation(one))
        for one in rollouts
    ]
    notes = [] if rows else ["no rollouts"]
    return Table(columns=COLUMNS, rows=rows, notes=notes, styles={"rollout": "cyan", "phase": "bold"})


def rollout_table(one: Json, told: Json | None = None) -> Table:
    """Return everything about one rollout that fits a screen. told: its explanation, if it was asked for."""
    return Table(columns=("what", "value"), rows=list(_facts(one, told)), styles={"what": "bold"})


def line(one: Json) -> str:
    """Return the rollout as one line, for --watch."""
    return f"{one['id']}  {one['phase']}  step {step(one)}  {weight(one)}  {situation(one)}"


def facts(one: Json) -> list[tuple[str, str]]:
    """Return what to know before an order is given, for the question."""
    told = [("place", place(one)), ("revision", one["revision"]), ("phase", f"{one['phase']}, step {step(one)}")]
    now = situation(one)
    return [*told, ("weight", weight(one)), *([("now", now)] if now else [])]


def place(one: Json) -> str:
    """Return environment, region and service."""
    return "/".join(part for part in (one["environment"], one["region"], one["service"]) if part)


def step(one: Json) -> str:
    """Return which step of how many; "-" before the first."""
    return f"{one['step'] + 1}/{len(one['steps'])}" if one["step"] >= 0 else "-"


def weight(one: Json) -> str:
    """Return the canary's share: wanted, and observed where it differs; none once its revision is stable."""
    if one["phase"] == Phase.VERIFIED:
        return "all, as stable"
    shares = one["weight"]
    seen = shares["observed"]
    wanted = float(shares["desired"])
    differs = seen is not None and abs(seen - wanted) > min(SAME_SHARE, SAME_PART * min(wanted, 1.0 - wanted))
    return format_share(wanted) + (f" (seen {format_share(seen)})" if differs else "")


def situation(one: Json) -> str:
    """Return the one thing to know: why it ended, whom it waits for, why it is held, what it lacks."""
    if one["end_reason"] or one["cause"]:
        return str(one["end_reason"] or one["cause"]["reason"])
    if one["awaiting"]:
        return f"waits for approval: {one['awaiting']['reason']}"
    if one["held"]:
        return f"held: {one['held']['reason']}"
    return str(one["waits"][0]) if one["waits"] else ""


def _facts(one: Json, told: Json | None) -> Iterator[tuple[str, str]]:
    yield "rollout", one["id"]
    yield "place", place(one)
    yield "revision", f"{one['revision']} (before: {one['previous'] or 'unknown'})"
    yield "phase", one["phase"]
    yield "mode, policy", f"{one['mode']}, {one['policy']} ({one['policy_digest']})"
    yield "step", step(one)
    yield "weight", weight(one)
    if one["verdict"]:
        yield "verdict", one["verdict"]
    yield from _evidence(one, told["guardrails"] if told is not None else ())
    for text in _measured(told or {}):
        yield "measured", text
    for name, value in (("held", one["held"]), ("awaiting", one["awaiting"]), ("rolled back", one["cause"])):
        if value:
            yield name, value["reason"]
    if one["end_reason"] and not one["cause"]:
        yield "why", one["end_reason"]
    for number, text in enumerate(one["waits"]):
        yield "waits for" if number == 0 else "", text
    for effect in one["effects"]:
        yield "doing", f"{effect['kind']} since {effect['since']}, attempt {effect['attempts'] + 1}"
    for name in ("opened_at", "started_at", "promoted_at", "ended_at"):
        if one[name]:
            yield name.removesuffix("_at"), one[name]


def _evidence(one: Json, live: Sequence[Json]) -> Iterator[tuple[str, str]]:
    for number, guardrail in enumerate(live):
        yield "evidence" if number == 0 else "", guardrail["sentence"]
    if one["evidence"] and not live:
        yield "evidence", f"{_of_verdict(one['evidence'])} (at the last verdict)"


def _measured(told: Json) -> tuple[str, ...]:
    """Return the sentence on stable against stable; none from a daemon of before, or one that measures nothing."""
    measured = told.get("measured")
    return (measured["sentence"],) if measured else ()


def _of_verdict(evidence: Json) -> str:
    canary, control = evidence["canary"], evidence.get("control")
    other, name = (evidence["stable"], "stable") if control is None else (control, "control")
    return (
        f"'{evidence['guardrail']}': harm {weighed(evidence['harm'])}, safe {weighed(evidence['safe'])}; "
        f"{canary['requests']:,.0f} canary and {other['requests']:,.0f} {name} {_counted(evidence)}"
    )


def _counted(evidence: Json) -> str:
    """Return what the requests of an evidence note are; a daemon of before knows requests only."""
    counted = str(evidence.get("counted", "requests"))
    return "seconds of all traffic" if counted == "weight" else counted


def explanation_tables(told: Json) -> list[Table]:
    """Return an explanation as tables: what is missing, the evidence, what happened, what to do."""
    parts = [Table(columns=("",), rows=[], title=told["summary"])]
    parts_told = (
        ("measured", _measured(told)),
        ("waits for", told["waits"]),
        ("what would change the verdict", told.get("what_if", ())),  # a daemon of before does not say it
        ("what you can do", told["next"]),
    )
    for title, lines in parts_told:
        if lines:
            parts.append(Table(columns=(title,), rows=[(text,) for text in lines]))
    if told["guardrails"]:
        rows = [
            (one["name"], weighed(one["harm"]), weighed(one["safe"]), _objective(one), one["sentence"])
            for one in told["guardrails"]
        ]
        columns = ("guardrail", "harm", "safe", "objective", "evidence")
        parts.insert(1, Table(columns=columns, rows=rows, styles={"guardrail": "cyan"}))
    if told["history"]:
        parts.append(Table(columns=("at", "history"), rows=list(_history(told))))
    return parts


def _objective(guardrail: Json) -> str:
    """Return how the objective stands; "" where there is none, which the JSON's breach of `none` would be read as."""
    if not guardrail.get("objective", True):  # a daemon of before does not say it
        return ""
    return "kept" if guardrail["breach"] == _NOT_BREACHED else str(guardrail["breach"])


def _history(told: Json) -> Iterator[tuple[str, str]]:
    """Yield time and line; lines that repeat the one before are told once, with how often and when last."""
    lines = told["history"]
    times = [_second(at) for at in told.get("history_at", ())] or [""] * len(lines)
    for line, group in groupby(zip(times, lines, strict=True), key=itemgetter(1)):
        began, *later = [at for at, _ in group]
        last = f", last {later[-1]}" if later and later[-1] else ""
        yield began, f"{line} (x{1 + len(later)}{last})" if later else line


def _second(at: str) -> str:
    """Return a time of the API to the second.

    >>> _second("2026-11-21T09:00:00.250Z")
    '2026-11-21 09:00:00Z'
    """
    return f"{at[:10]} {at[11:19]}Z"
