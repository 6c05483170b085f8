"""Before the first row of metrics: nothing is judged, and silence is said when it has lasted."""

from __future__ import annotations

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.events import decision_event
from guardian.core.looks import GuardrailLook, Look
from guardian.core.model import Instant, RolloutId, Verdict
from guardian.core.world import World
from tests.builders import requested, seen
from tests.core.play import Play


def _nothing(rollout: RolloutId, now: Instant) -> Look:
    """A look before any row came."""
    blank = GuardrailLook(name="errors", participates=False)
    look = seen(rollout, at=now, began=None, stable=False)
    return replace(look, canary_last=None, stable_last=None, observed=None, worst="", weakest="", guardrails=(blank,))


def _verdicts(play: Play) -> list[Verdict]:
    return [record.verdict for record in play.records if isinstance(record, r.Judged)]


def test_no_verdict_is_recorded_before_silence_has_lasted() -> None:
    """A rollout that has just begun has no evidence, and a record that says so would say nothing."""
    play = Play(show=_nothing)
    play.tell(requested())
    play.until(10.0)
    assert play.rollout.step_began is not None
    assert _verdicts(play) == []


def test_the_hold_for_missing_data_says_inconclusive() -> None:
    """Where data stays away, whoever reads the event is told the verdict with it, once."""
    play = Play(show=_nothing)
    play.tell(requested())
    play.until(200.0)
    world, told = World(), list[Verdict | None]()
    for record in play.records:
        after = world.apply(record)
        if isinstance(record, r.Held) and after is not None:
            event = decision_event(record, after)
            assert event is not None
            told.append(event.verdict)
    assert told == [Verdict.INCONCLUSIVE]
    assert _verdicts(play) == [Verdict.INCONCLUSIVE]
