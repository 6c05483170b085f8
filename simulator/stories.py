"""What happens in each scenario, told in words from its file: a page of Markdown, and rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guardian.config.units import format_duration
from guardian.core.model import Verdict
from simulator.request.language import Grain
from simulator.scenario import Scenario
from simulator.truth import Happening, Milestone, Truth

HEAD: Final = """# The library, scenario by scenario

Printed by `guardian simulate --list -o markdown`, from the files themselves. [README](README.md) says what
their words mean.
"""
_DONE: Final = {
    Happening.ROLLBACK: "rolled back",
    Happening.PROMOTE: "promoted",
    Happening.ADVANCED: "given more weight",
}


def page(scenarios: Sequence[Scenario]) -> str:
    """Return the page of all these scenarios."""
    return "\n".join([HEAD, *(_told(one) for one in scenarios)])


def _told(scenario: Scenario) -> str:
    spec, metadata = scenario.spec, scenario.metadata
    lines = [f"## {scenario.name} {metadata.title}", " ".join(spec.story.split()), "", f"Right: {right(spec.truth)}."]
    if spec.grain is Grain.REQUEST:
        lines[-1] += " Told by its causes, request by request."
    if metadata.origin:
        lines[-1] += f" From: {metadata.origin}."
    return "\n".join([*lines, ""])


def right(truth: Truth) -> str:
    """Return what must come out, in words: the verdict, its deadline, what must be seen, and what must never be."""
    words = "roll back" if truth.verdict is Verdict.ROLLBACK else truth.verdict.value
    if truth.rollback_allowed:
        words += ", or roll back"
    parts = [words + (f" within {_deadline(truth)}" if truth.within is not None else "")]
    parts += [_milestone(one) for one in truth.expect]
    parts += [_never(one.event, one.before, one.more_than) for one in truth.never]
    return "; ".join(parts)


def _deadline(truth: Truth) -> str:
    """Return the deadline of the median run, and from when it is counted."""
    told = format_duration(truth.within or 0.0)
    return told if truth.onset == 0 else f"{told} of minute {truth.onset / 60:g}"


def _milestone(one: Milestone) -> str:
    return f"{_DONE.get(one.event, one.event.value)} within {format_duration(one.within)} of minute {one.after / 60:g}"


def _never(event: Happening, before: float, more_than: int) -> str:
    told = f"never {_DONE.get(event, event.value)}"
    if more_than:
        told += f" more than {'once' if more_than == 1 else f'{more_than} times'}"
    return told if before == float("inf") else f"{told} before minute {before / 60:g}"
