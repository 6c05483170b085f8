"""What becomes of a deploy event, given what its place has seen before."""

from __future__ import annotations

import pytest

from guardian.core import records as r
from guardian.core.effects import Preflight
from guardian.core.model import Driver, Instant, Mode, Phase, Place, Seconds
from guardian.core.policy import Concurrency
from tests.builders import T0, policy, requested, seen
from tests.core.play import Play, healthy


def phases(play: Play) -> dict[str, Phase]:
    """Return revision -> phase."""
    return {rollout.revision: rollout.phase for rollout in play.engine.world.rollouts.values()}


def test_a_newer_release_supersedes_and_starts_only_when_the_weight_is_back_at_zero() -> None:
    """The earlier one ends at accepted 0; then the next begins its own plan."""
    play = Play()
    play.tell(requested("2.1.0"))
    play.until(400)
    play.tell(requested("2.2.0", at=play.now))
    play.until(500)
    assert phases(play) == {"2.1.0": Phase.SUPERSEDED, "2.2.0": Phase.PROGRESSING}
    assert play.weights == [0.1, 0.5, 0.0, 0.1]


def test_a_queue_keeps_the_order_of_events() -> None:
    """concurrency: queue."""
    play = Play(policies=(policy(concurrency=Concurrency.QUEUE),))
    for revision in ("2.1.0", "2.2.0", "2.3.0"):
        play.tell(requested(revision))
    assert phases(play) == {"2.1.0": Phase.PROGRESSING, "2.2.0": Phase.QUEUED, "2.3.0": Phase.QUEUED}
    play.until(20_000)
    assert phases(play)["2.1.0"] is Phase.VERIFIED


def test_a_second_release_is_rejected_where_the_policy_says_so() -> None:
    """concurrency: reject names the one that runs."""
    play = Play(policies=(policy(concurrency=Concurrency.REJECT),))
    play.tell(requested("2.1.0"))
    play.tell(requested("2.2.0"))
    assert play.phase() is Phase.REJECTED
    assert "2.1.0" in play.all(r.Ended)[-1].reason


def test_a_rolled_back_revision_is_refused_for_a_day_unless_retried() -> None:
    """The refusal ends after refuse_for, or with retry: true."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, harm=1e4))
    play.tell(requested("2.1.0"))
    play.until(200)
    play.tell(requested("2.1.0", identity="again"))
    assert play.phase() is Phase.REJECTED
    assert "retry: true" in play.all(r.Ended)[-1].reason
    play.tell(requested("2.1.0", identity="retried", retry=True))
    assert play.phase() is Phase.PROGRESSING


def test_the_refusal_wears_off() -> None:
    """After 24 h the same revision may try again."""
    play = Play(show=lambda rollout, now: seen(rollout, at=now, harm=1e4))
    play.tell(requested("2.1.0"))
    play.until(90_000)
    play.tell(requested("2.1.0", identity="next day", at=play.now))
    assert play.phase() is Phase.PROGRESSING


def test_an_event_much_older_than_the_running_one_is_noted_and_ignored() -> None:
    """Order is intake order, but not beyond skew."""
    play = Play()
    play.tell(requested("2.1.0", at=T0))
    play.tell(requested("2.0.9", at=Instant(T0 - 301.0)))
    assert phases(play) == {"2.1.0": Phase.PROGRESSING}
    assert "older" in play.all(r.Noted)[-1].reason
    play.tell(requested("2.0.8", at=Instant(T0 - 299.0)))
    assert phases(play)["2.0.8"] is Phase.PROGRESSING


@pytest.mark.parametrize("after", [60.0, 4000.0])
def test_an_older_event_for_what_stable_runs_anyway_is_noted_and_ignored(after: float) -> None:
    """The event of the release before comes late, within the skew: while the newer one runs, and once it went back."""
    play = Play(show=healthy if after < 100 else lambda rollout, now: seen(rollout, at=now, harm=1e4))
    play.tell(requested("2.1.0", at=T0))
    play.until(after)
    play.tell(requested("2.0.3", at=Instant(T0 - 120.0)))
    assert list(phases(play)) == ["2.1.0"]
    assert "2.0.3 is 2m older than that of 2.1.0" in play.all(r.Noted)[-1].reason
    play.tell(requested("2.0.3", identity="on purpose", at=Instant(T0 - 120.0), retry=True))
    assert "2.0.3" in phases(play)


def test_an_older_event_for_what_a_verified_release_replaced_is_ignored_as_that() -> None:
    """Stable runs the newer one by then, and whoever reads the note must not be told otherwise."""
    play = Play()
    play.tell(requested("2.1.0", at=T0))
    play.until(8000.0)
    assert phases(play) == {"2.1.0": Phase.VERIFIED}
    play.tell(requested("2.0.3", at=Instant(T0 - 120.0)))
    assert list(phases(play)) == ["2.1.0"]
    note = play.all(r.Noted)[-1].reason
    assert "2.0.3 is 2m older than that of 2.1.0" in note
    assert "it was replaced by that" in note
    assert "stable runs" not in note


def test_a_newer_event_for_what_stable_runs_takes_the_canary_back() -> None:
    """Deploying the old revision again is how many pipelines go back."""
    play = Play()
    play.tell(requested("2.1.0", at=T0))
    play.until(60)
    play.tell(requested("2.0.3", at=play.now))
    assert phases(play)["2.1.0"] is Phase.SUPERSEDED


def test_the_same_revision_does_not_supersede_itself() -> None:
    """Another pipeline run of what is already going out changes nothing."""
    play = Play()
    play.tell(requested("2.1.0"))
    play.tell(requested("2.1.0", identity="another run"))
    assert len(play.engine.world.rollouts) == 1


def test_the_same_revision_does_not_supersede_itself_while_it_waits() -> None:
    """A queued rollout is as good as one that runs."""
    play = Play(policies=(policy(concurrency=Concurrency.QUEUE),))
    for revision, identity in (("2.1.0", "a"), ("2.2.0", "b"), ("2.2.0", "c")):
        play.tell(requested(revision, identity=identity))
    assert phases(play) == {"2.1.0": Phase.PROGRESSING, "2.2.0": Phase.QUEUED}
    assert len(play.engine.world.rollouts) == 2


def test_without_a_policy_the_release_is_rejected_with_the_remedy() -> None:
    """Nothing is silently ignored."""
    play = Play()
    play.tell(requested("1.0", place=Place(service="unknown", environment="production")))
    assert play.phase() is Phase.REJECTED
    assert "write a policy" in play.all(r.Ended)[-1].reason
    assert play.events() == ["queued", "rejected"]


def test_observe_rejects_a_deploy_that_it_is_asked_to_carry_out() -> None:
    """It only watches what somebody else has started."""
    play = Play(policies=(policy(mode=Mode.OBSERVE),))
    play.tell(requested())
    assert play.phase() is Phase.REJECTED
    play.tell(requested(identity="2", driver=Driver.OTHER))
    play.until(100)
    assert play.phase() is Phase.PROGRESSING
    assert play.weights == []


def test_preflight_fails_when_the_canary_already_has_traffic() -> None:
    """A weight left over from before would be moved without evidence."""
    play = Play(router=0.5)  # type: ignore[arg-type]
    play.tell(requested())
    assert play.phase() is Phase.FAILED
    assert "set the canary's weight to 0" in play.all(r.Ended)[-1].reason


def test_a_verified_revision_is_the_goal_of_the_next_rollback() -> None:
    """Places remember the last revision that passed its bake."""
    play = Play()
    play.tell(requested("2.1.0"))
    play.until(4000)
    play.router = 0.0  # type: ignore[assignment]
    play.tell(requested("2.2.0", at=play.now, previous=None))
    assert play.rollout.goal == "2.1.0"


def test_different_regions_are_different_places() -> None:
    """One rollout per (service, environment, region)."""
    play = Play()
    for region in ("eu", "us"):
        place = Place(service="checkout", environment="production", region=region)
        play.router = 0.0  # type: ignore[assignment]  # each region has a router of its own
        play.tell(requested("2.1.0", identity=region, place=place))
    assert [rollout.phase for rollout in play.engine.world.rollouts.values()] == [Phase.PROGRESSING] * 2


def test_an_unanswered_preflight_fails_the_rollout_after_its_deadline() -> None:
    """Retried with pauses; the deadline is a state of the core."""
    play = Play(breaks={Preflight: "connection refused"})
    play.tell(requested())
    play.until(400)
    assert play.phase() is Phase.FAILED
    assert "connection refused" in play.all(r.Ended)[-1].reason
    assert Seconds(play.rollout.ended_at - T0) >= 120.0  # type: ignore[operator]
