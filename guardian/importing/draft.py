"""A policy that is being translated, and its text: YAML with a comment on whatever was decided on the way."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from guardian.config.units import format_duration

_PLAIN: Final = re.compile(r"[A-Za-z_/][\w./-]*|\d+(\.\d+)?%|(\d+(ms|s|m|h|d))+")
_YAML_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
WIDTH: Final = 118
AFTER_PROMOTION: Final = 600.0
"""Seconds of the bake at 100 % where the source has none: as in examples/policies."""
ROOM: Final = 1800.0
"""Least `limit`, in seconds, of the step that waits for the promote verdict: it comes after 15 min at the earliest."""
Value = str | int | float | bool | Mapping[str, "Value"] | Sequence["Value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A weight in 0..1, its bake in seconds, whether a person is asked; notes are comments."""

    weight: float
    bake: float
    approval: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The label that tells the tracks, and its value for each."""

    label: str
    stable: str
    canary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """One guardrail: `sli` and `objective` as they are written; track: how its query told canary, if it did."""

    name: str
    sli: Mapping[str, Value]
    objective: Mapping[str, Value] | None
    notes: tuple[str, ...]
    track: Track | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A whole policy. origin: what it was made from; left: what has no equal, as (key of the source, what to do)."""

    name: str
    service: str
    environment: str
    origin: str
    labels: Mapping[str, Value]
    label_notes: tuple[str, ...]
    steps: tuple[Step, ...]
    guardrails: tuple[Guardrail, ...]
    router: Mapping[str, Value] | None
    left: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = field(default=())


def plan_of(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps with 100 % as the last, which every plan of ours has."""
    if steps and steps[-1].weight == 1.0:
        last = steps[-1]
        if last.bake > 0.0:
            return tuple(steps)
        note = f"no pause at 100 %: watched for {format_duration(AFTER_PROMOTION)} after promotion"
        return (*steps[:-1], replace(last, bake=AFTER_PROMOTION, notes=(*last.notes, note)))
    note = f"added: the watch after promotion; {format_duration(AFTER_PROMOTION)} is a choice, not a translation"
    return (*steps, Step(weight=1.0, bake=AFTER_PROMOTION, notes=(note,)))


def write(drafts: Sequence[Draft]) -> str:
    """Return the policies as YAML documents."""
    return "---\n".join("".join(f"{line}\n" for line in _lines(draft)) for draft in drafts)


def share(value: float) -> str:
    """Return a share as a policy has it: 99.9%."""
    return f"{float(f'{value * 100.0:.10g}'):.10f}".rstrip("0").rstrip(".") + "%"


def _lines(draft: Draft) -> Iterator[str]:
    yield from _comment(
        f"Translated from {draft.origin} by `guardian import`. Read the comments, then run `guardian check`."
    )
    for note in draft.notes:
        yield from _comment(note)
    match = {"service": draft.service} | ({"environment": draft.environment} if draft.environment else {})
    yield "apiVersion: slo-guardian/v1"
    yield "kind: Policy"
    yield f"metadata: {flow({'name': draft.name})}"
    yield "spec:"
    if not draft.environment:
        yield from _comment("for every environment without a policy of its own: --environment NAME names one", 2)
    yield f"  match: {flow(match)}"
    yield from _comment(
        "judges and writes nothing, beside what moves the traffic today (send deploy.started events); write enforce "
        "once you trust it and nothing else moves the traffic",
        2,
    )
    yield "  mode: observe"
    for note in draft.label_notes:
        yield from _comment(note, 2)
    yield f"  labels: {flow(draft.labels)}"
    yield from _strategy(draft.steps)
    if draft.router is not None:
        yield f"  router: {flow(draft.router)}"
    yield "  guardrails:"
    yield from _comment("no `compare`: the default margins hold, which these systems have no equal of", 4)
    for guardrail in draft.guardrails:
        yield from _guardrail(guardrail)
    if draft.left:
        yield from _comment("Not translated:")
        for key, text in draft.left:
            yield from _comment(f"- {key}: {text}")


def _strategy(steps: Sequence[Step]) -> Iterator[str]:
    yield "  strategy:"
    yield "    kind: canary"
    yield "    steps:"
    shared = [step for step in steps if step.weight < 1.0]
    for step in steps:
        for note in step.notes:
            yield from _comment(note, 6)
        written: dict[str, Value] = {"weight": share(step.weight), "bake": format_duration(step.bake)}
        last = bool(shared) and step is shared[-1]
        if step.bake == 0.0 or (last and 6.0 * step.bake < ROOM):
            why = "waits here for the promote verdict, 15m at the earliest" if last else "passes on its requests alone"
            yield from _comment(f"limit: {why}; nobody is paged before", 6)
            written["limit"] = format_duration(ROOM)
        if step.approval:
            written["approval"] = True
        yield f"      - {flow(written)}"


def _guardrail(guardrail: Guardrail) -> Iterator[str]:
    for note in guardrail.notes:
        yield from _comment(note, 4)
    yield f"    - name: {flow(guardrail.name)}"
    yield f"      sli: {flow(guardrail.sli)}"
    if guardrail.objective is not None:
        yield f"      objective: {flow(guardrail.objective)}"


def _comment(text: str, indent: int = 0) -> Iterator[str]:
    """Yield a comment in lines; whatever is not printable would end it, or the document."""
    start = f"{' ' * indent}# "
    clean = "".join(sign if sign.isprintable() else " " for sign in text)
    hanging = f"{start}  " if clean.startswith("- ") else start
    yield from textwrap.wrap(clean, WIDTH, initial_indent=start, subsequent_indent=hanging, break_on_hyphens=False)


def flow(value: Value) -> str:
    """Return a value in YAML's flow style, quoted where YAML would read it as something else.

    >>> flow({"weight": "10%", "on": "it's"})
    "{weight: 10%, 'on': 'it''s'}"
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.15g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(below)}" for key, below in value.items()) + "}"
    if not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    if _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    escaped = "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in value.replace("\\", "\\\\"))
    return '"' + escaped.replace('"', '\\"') + '"'
