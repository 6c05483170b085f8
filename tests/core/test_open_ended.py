"""A histogram without the bucket +Inf does not say how many requests there are: that is told as what it is."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from guardian.core.explain import explain
from guardian.core.looks import GuardrailLook, Look, Part
from guardian.core.model import Instant, RolloutId, Track
from tests.builders import requested, seen
from tests.core.play import Play
from tests.core.test_fleet import key, look, observe, opened

SAID = "the buckets of pod 's0' end without le=\"+Inf\""


def buckets(bounds: Iterable[float]) -> list[tuple[object, float, float]]:
    """Half a minute of one stable pod's cumulative buckets."""
    return [
        (key(Track.STABLE, "s0", Part.BUCKET, le=bound, guardrail="latency"), 10.0 * tick, 100.0 * tick)
        for tick in range(4)
        for bound in bounds
    ]


@pytest.mark.parametrize(("bounds", "pod"), [((0.1, 0.5), "s0"), ((0.1, 0.5, math.inf), ""), ((), "")])
def test_the_pod_whose_buckets_have_no_end_is_named(bounds: tuple[float, ...], pod: str) -> None:
    """Where the end is there, or no bucket at all was seen, nothing is."""
    fleet = opened()
    if bounds:
        observe(fleet, buckets(bounds))  # type: ignore[arg-type]
    assert look(fleet).of("latency").open_ended == pod


def _cut_off(rollout: RolloutId, now: Instant) -> Look:
    """A look at buckets without an end: rows of them never come."""
    blank = GuardrailLook(name="errors", participates=False, open_ended="s0")
    plain = seen(rollout, at=now, began=None, stable=False)
    return replace(plain, canary_last=None, stable_last=None, observed=None, worst="", weakest="", guardrails=(blank,))


def test_the_hold_and_the_explanation_say_so_with_the_remedy() -> None:
    """Not "no metrics" and not "no history": both would send a reader to look for series that are there."""
    play = Play(show=_cut_off)
    play.tell(requested())
    play.until(200.0)
    held = play.rollout.held
    assert held is not None
    assert SAID in held.reason
    assert "let the exporter" in held.reason
    told = explain(play.rollout, play.engine.look(play.rollout.id), play.now).guardrails[0].sentence
    assert f"takes no part: 'errors': {SAID}" in told
    assert "no history" not in told
