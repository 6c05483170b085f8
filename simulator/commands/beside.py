"""The table of other rules on the seeds that the guardian played: how often each is right, and whom it hurts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from guardian.cli.output import Table
from guardian.core.model import Verdict
from guardian.errors import ScenarioError
from simulator.gates import GATES, SAYS
from simulator.outcome import Outcome, Summary

ALL: Final = "all"
OURS: Final = "guardian"
COLUMNS: Final = ("scenario", "expected", "rule", "right", "wrong", "late", "hurt")
Compared = tuple[Summary, Mapping[str, Summary]]
"""The guardian's summary of a scenario, and each gate's."""


def named(text: str) -> tuple[str, ...]:
    """Return the gates that `--beside` names, in their own order. Raises ScenarioError for one that is not there."""
    wanted = set(GATES) if text.strip() == ALL else {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(wanted - set(GATES))
    if unknown:
        raise ScenarioError(
            f"no rule is called {' or '.join(unknown)}", where=f"--beside {text}",
            remedy=f"there are: {', '.join(GATES)}; all of them: {ALL}",
        )  # fmt: skip
    return tuple(name for name in GATES if name in wanted)


def lines_beside(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return what is printed of a run under other rules, in the words of the guardian's; nothing where none played."""
    told = {
        name: {
            "verdict": one.run.verdict.value, "decided_at": round(one.run.decided_at, 3), "ok": one.ok,
            "late": one.late, "wrong": one.wrong, "bad_requests": one.run.harm.bad,
        }
        for name, one in outcomes.items()
    }  # fmt: skip
    return {"beside": told} if told else {}


def beside_table(compared: Sequence[Compared]) -> Table:
    """A row for each scenario and rule, so that any number of rules fits; notes count mistakes by their kind."""
    gates = tuple(compared[0][1]) if compared else ()
    rows = [row for ours, others in compared for row in _rows({OURS: ours, **others})]
    kinds = [_kinds(compared, name) for name in (OURS, *gates)]
    return Table(
        columns=COLUMNS,
        rows=rows,
        title="The same seeds under other rules",
        notes=(
            *(f"{name}: {kind}" for name, kind in zip((OURS, *gates), kinds, strict=True)),
            *(f"{name} asks: {SAYS[name]}." for name in gates),
        ),
    )


def _rows(summaries: Mapping[str, Summary]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each rule; the scenario is named in the first."""
    for number, (name, each) in enumerate(summaries.items()):
        scenario = each.scenario
        shown = ("", "") if number else (scenario.name, scenario.spec.truth.verdict.value)
        counts = (f"{count}/{each.runs}" for count in (each.right, each.wrong, each.late))
        yield (*shown, name, *counts, f"{each.hurt:,.0f}")


def _kinds(compared: Sequence[Compared], rule: str) -> str:
    """Say the two kinds of mistakes apart: a gate that always rolls back makes none of the first."""
    chosen = [ours if rule == OURS else gates[rule] for ours, gates in compared]
    bad = [each for each in chosen if each.scenario.spec.truth.verdict is Verdict.ROLLBACK]
    well = [each for each in chosen if each.scenario.spec.truth.verdict is not Verdict.ROLLBACK]
    missed, released = sum(each.wrong + each.late for each in bad), sum(each.runs for each in bad)
    hit, others = sum(each.wrong for each in well), sum(each.runs for each in well)
    hurt = sum(each.hurt * each.runs for each in chosen)
    return (
        f"{missed} of {released} bad releases missed or late, {hit} of {others} others wrong; "
        f"{hurt:,.0f} requests failed."
    )
