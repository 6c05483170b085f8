"""Evidence over time as the journal and the newest look have it, and what would change a running rollout's verdict."""

from __future__ import annotations

import msgspec
import pytest

from guardian.core.course import TOGETHER, Against, Course
from guardian.core.explain import Explanation, explain
from guardian.core.facts import Order
from guardian.core.looks import Look
from guardian.core.model import Instant, Mode, Phase, RolloutId
from guardian.core.supposing import suppose, tallies, waits
from tests.builders import LATENCY, T0, ordered, policy, requested, seen
from tests.core.play import Play


def told(play: Play) -> Explanation:
    """The explanation of the newest rollout, as the daemon makes it."""
    mine = tuple(one for one in play.records if getattr(one, "rollout", None) == play.rollout.id)
    return explain(play.rollout, play.engine.look(play.rollout.id), play.now, mine)


def harmed(at: float) -> Play:
    """A rollout that is rolled back by evidence 226 `at` seconds after T0."""

    def show(rollout: RolloutId, now: Instant) -> Look:
        return seen(rollout, at=now, harm=226.0 if now - T0 >= at else 2.0, safe=0.1)

    play = Play(show=show)
    play.tell(requested())
    return play.until(at + 60.0)


def test_a_course_has_the_evidence_of_each_decision_and_of_the_newest_look() -> None:
    """What the journal keeps, in order, under the thresholds of the policy; weights and verdicts are marked."""
    play = Play()
    play.tell(requested())
    play.until(200.0)
    course = told(play).course
    assert (course.rollback, course.promotion) == (100.0, 20.0)
    harm, safe = course.of(TOGETHER, Against.CANARY), course.of("errors", Against.HARM)
    assert [one.at for one in harm] == sorted({one.at for one in harm})
    look = play.engine.look(play.rollout.id)
    assert look is not None
    assert harm[-1].evidence == pytest.approx(0.5)
    assert safe[-1].at == look.at - T0
    texts = [mark.text for mark in course.marks]
    assert "weight 10%" in texts
    assert "verdict hold" in texts


def test_a_rollback_is_on_the_course_where_it_was_ordered() -> None:
    """Its evidence is above the threshold, and the mark stands at the same time."""
    course = told(harmed(120.0)).course
    ordered_at = next(mark.at for mark in course.marks if mark.text == "rollback ordered")
    above = [one.at for one in course.of(TOGETHER, Against.CANARY) if one.evidence >= course.rollback]
    assert above[0] == ordered_at


def test_a_course_survives_json() -> None:
    """The command line reads what the daemon wrote."""
    course = told(harmed(120.0)).course
    assert msgspec.json.decode(msgspec.json.encode(course), type=Course) == course


def test_before_the_first_look_there_is_a_course_without_evidence() -> None:
    """A queued or starting rollout is explained too, and nothing is made up."""
    play = Play(show=lambda *_: None)
    play.tell(requested())
    found = told(play)
    assert found.course.series == ()
    assert found.what_if == ()


def test_a_rolled_back_rollout_is_told_how_many_requests_fewer_would_have_spared_it() -> None:
    """The number crosses the threshold in the forecast, and one less does not; both sides are named."""
    play = harmed(120.0)
    assert play.phase() is Phase.ROLLED_BACK
    (tally,) = tallies(play.rollout, None)
    assert (tally.requests, tally.bad) == (4120.0, 78.0)
    found = suppose(play.rollout.policy, tally)
    assert found.requests is not None
    assert -78 <= found.requests <= -1
    text = told(play).what_if[0]
    assert f"about {-found.requests} bad canary request" in text
    assert "fewer than 78 of 4,120 (1.89%)" in text
    assert "forecast for independent requests; pods that differ need more" in text


def test_a_rollback_that_waits_for_a_person_is_told_in_the_same_direction() -> None:
    """Mode advise: the evidence is there and nothing was rolled back yet; fewer failures, not more, change that."""

    def show(rollout: RolloutId, now: Instant) -> Look:
        return seen(rollout, at=now, harm=226.0, safe=0.1)

    play = Play(policies=(policy(mode=Mode.ADVISE),), show=show)
    play.tell(requested())
    play.until(30.0)
    play.tell(ordered(play.rollout.id, Order.APPROVE))
    play.until(100.0)
    assert play.rollout.cause is None
    assert play.rollout.awaiting is not None
    line = told(play).what_if[0]
    assert "fewer than 78 of 4,120" in line
    assert "-" not in line.split("(forecast")[0].replace("'errors'", "")


def test_a_running_rollout_is_told_what_bounds_it_and_how_long() -> None:
    """More bad requests to a rollback, the guardrail that bounds the promotion, and the time at its traffic."""

    def show(rollout: RolloutId, now: Instant) -> Look:
        names = ("errors", "latency")
        return seen(rollout, at=now, harm=0.5, safe=2.0, guardrails=names, step_requests=5.0 * (now - T0))

    play = Play(policies=(policy(guardrails=(policy().guardrails[0], LATENCY)),), show=show)
    play.tell(requested())
    play.until(100.0)
    lines = told(play).what_if
    assert any("more than 78 of 4,120 (1.89%)" in line for line in lines)
    assert any("'latency' bounds it" in line for line in lines)
    look = play.engine.look(play.rollout.id)
    found = {one.guardrail: one for one in waits(play.rollout, look, play.now)}
    assert found["errors"].promotion is not None
    assert found["errors"].promotion > 0
    assert found["latency"].promotion is None
    sample = found["latency"].sample
    assert look is not None
    at = look.of("latency")
    rate = at.step_requests / (look.at - (play.rollout.step_began or 0.0))
    assert sample * rate == pytest.approx(at.needed - at.step_requests)


def test_twice_the_traffic_halves_the_wait() -> None:
    """The forecast is per request."""

    def promotion(rate: float) -> float:
        play = Play(show=lambda rollout, now: seen(rollout, at=now, step_requests=rate * (now - T0)))
        play.tell(requested())
        play.until(100.0)
        (found,) = waits(play.rollout, play.engine.look(play.rollout.id), play.now)
        assert found.promotion is not None
        return found.promotion

    assert promotion(10.0) == pytest.approx(2.0 * promotion(20.0))


def test_a_rollback_that_no_evidence_ordered_has_no_counterfactual() -> None:
    """No number of requests would have changed a person's mind."""
    play = Play()
    play.tell(requested())
    play.until(100.0)
    play.tell(ordered(play.rollout.id, Order.ROLLBACK))
    play.until(200.0)
    (text,) = told(play).what_if
    assert text == "the comparison with stable did not decide: traffic went back because a person ordered it"
