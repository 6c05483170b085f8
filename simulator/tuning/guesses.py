"""What is searched around a policy when nobody says what: half and twice of each value that its author had to guess."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from guardian.config.units import format_duration
from guardian.core.policy import Guardrail, Margin, Policy
from guardian.core.strategies import BlueGreen, Strategy

FACTORS: Final = (0.5, 2.0)
Guess = tuple[str, tuple[str | float, ...]]
"""A place in the policy, and values as a policy's author would write them."""


def guesses(policy: Policy) -> Iterator[Guess]:
    """Yield margins, windows and warm-ups of guardrails, then steps, then what promotion waits for.

    Not the accepted risks, nor the objectives' thresholds: they are what a service wants, not a means to it.
    """
    for number, guardrail in enumerate(policy.guardrails):
        name = guardrail.name if not set(guardrail.name) & set("[]") else str(number)
        yield from _of_guardrail(guardrail, f"spec.guardrails[{name}]")
    yield from _of_plan(policy.strategy)
    yield "spec.risk.earliest_promotion", _durations(policy.risk.earliest_promotion)
    yield "spec.hold_back", _durations(policy.hold_back)


def _of_plan(strategy: Strategy) -> Iterator[Guess]:
    steps = strategy.steps()
    if isinstance(strategy, BlueGreen):
        yield "spec.strategy.preview.bake", _durations(strategy.preview)
        return
    for number, step in enumerate(steps[:-1]):  # the last bake comes after the verdict
        yield f"spec.strategy.steps[{number}].bake", _durations(step.bake)
    if len(steps) > 1:
        yield "spec.strategy.steps[0].weight", _shares(steps[0].weight)


def _of_guardrail(guardrail: Guardrail, place: str) -> Iterator[Guess]:
    if guardrail.compare is not None:
        yield from _of_margin(guardrail.compare.rollback, f"{place}.compare.rollback")
        yield from _of_margin(guardrail.compare.promote, f"{place}.compare.promote")
    if guardrail.warm_up is not None:
        yield f"{place}.warm_up.for", _durations(guardrail.warm_up.lasts)
    if guardrail.objective is not None and guardrail.objective.critical is not None:
        yield f"{place}.objective.critical.for", _durations(guardrail.objective.critical.lasts)


def _of_margin(margin: Margin, place: str) -> Iterator[Guess]:
    if margin.relative > 1.0:
        yield f"{place}.relative", tuple(float(f"{1.0 + (margin.relative - 1.0) * by:.6g}") for by in FACTORS)
    if margin.absolute > 0.0:
        yield f"{place}.absolute", _shares(margin.absolute)


def _durations(seconds: float) -> tuple[str, ...]:
    return tuple(format_duration(seconds * by) for by in FACTORS)


def _shares(share: float) -> tuple[str, ...]:
    return tuple(f"{100.0 * share * by:.6g}%" for by in FACTORS)
