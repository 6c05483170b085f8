"""What the guardian writes in each mode: in observe nothing, in advise nothing that no person agreed to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import Effect, MakeStable, Preflight, SetWeight, StartCanary, StopCanary
from guardian.core.engine import Decision
from guardian.core.facts import DeployEnd, DeployReported, Fact, Order, Ordered
from guardian.core.model import Driver, EventRef, Mode, Phase, RolloutId, Weight
from guardian.core.policy import Adapter, Concurrency, Policy
from guardian.core.rollout import Rollout
from guardian.core.world import World
from tests.builders import PLACE, T0, ordered, policy, requested, seen
from tests.core.play import Play
from tests.core.test_laws import ACTION, SHOWN, Action, Story

WORKLOAD = Adapter(kind="memory")
HARM = 1e4


def advised(**changes: object) -> Play:
    """Return a story in mode advise whose start was approved and whose canary has had traffic for 20 s."""
    play = Play(policies=(policy(mode=Mode.ADVISE, **changes),))
    play.tell(requested())
    say(play, Order.APPROVE)
    return play.until(20)


def say(play: Play, order: Order, rollout: Rollout | None = None) -> None:
    """Have a person order something of the newest rollout, or of another."""
    play.tell(ordered((rollout or play.rollout).id, order, reason=f"at {play.now}"))


def cancelled(play: Play) -> DeployReported:
    """Return a pipeline's report that its deploy was cancelled."""
    return DeployReported(
        event=EventRef(source="ci/shop", id=f"cancel-{play.now}"), time=play.now, place=PLACE, end=DeployEnd.CANCELLED
    )


def phases(play: Play) -> list[Phase]:
    """Return the phases of all rollouts, oldest first."""
    return [rollout.phase for rollout in play.engine.world.rollouts.values()]


def first(play: Play) -> Rollout:
    """Return the oldest rollout."""
    return next(iter(play.engine.world.rollouts.values()))


# ---- superseding ------------------------------------------------------------------------------------------------


def test_in_advise_superseding_waits_for_a_person() -> None:
    """It takes users off the running revision: a write like any other. The newer one waits for the place."""
    play = advised()
    play.tell(requested("2.2.0", at=play.now))
    play.until(60)
    assert (play.weights, phases(play)) == ([0.1], [Phase.PROGRESSING, Phase.QUEUED])
    assert "superseded by 2.2.0" in play.all(r.Paged)[-1].reason
    say(play, Order.APPROVE, first(play))
    assert (play.weights, phases(play)) == ([0.1, 0.0], [Phase.SUPERSEDED, Phase.PREFLIGHT])


def test_in_advise_a_person_may_turn_superseding_down() -> None:
    """The running one goes on, its guardrails still propose a rollback, and the newer one waits for its end."""
    play = advised()
    play.tell(requested("2.2.0", at=play.now))
    say(play, Order.REJECT, first(play))
    play.show = lambda rollout, now: seen(rollout, at=now, harm=HARM)
    play.until(60)
    assert phases(play) == [Phase.PROGRESSING, Phase.QUEUED]
    say(play, Order.APPROVE, first(play))
    assert (first(play).phase, play.weights) == (Phase.ROLLED_BACK, [0.1, 0.0])


def test_in_advise_harm_is_paged_although_superseding_waits_already() -> None:
    """A rollback pages at once; approving it is what the person is then asked for."""
    play = advised()
    play.tell(requested("2.2.0", at=play.now))
    play.show = lambda rollout, now: seen(rollout, at=now, harm=HARM)
    play.until(60)
    waiting = first(play).awaiting
    assert waiting is not None
    assert (waiting.proposal, waiting.why) == (r.Proposal.ROLLBACK, r.Why.GUARDRAIL)
    assert "rollback-advised" in first(play).paged


def test_in_advise_a_step_does_not_pass_while_superseding_is_asked_for() -> None:
    """More users on a revision that is about to go would be the opposite of what was asked."""
    play = advised()
    play.until(700)
    say(play, Order.APPROVE)
    assert play.rollout.awaiting is None
    play.tell(requested("2.2.0", at=play.now))
    play.until(2000)
    assert (first(play).step, play.weights) == (0, [0.1])


def test_in_advise_a_rollout_without_a_write_of_ours_is_superseded_at_once() -> None:
    """Nothing was brought up and no weight was set: there is nothing to agree to."""
    play = Play(policies=(policy(mode=Mode.ADVISE, workload=WORKLOAD),))
    play.tell(requested())
    play.tell(requested("2.2.0", at=play.now))
    assert phases(play) == [Phase.SUPERSEDED, Phase.PREFLIGHT]
    assert [type(effect) for effect in play.performed] == [Preflight, Preflight]


# ---- cancelled, expired, failed ---------------------------------------------------------------------------------


def test_in_advise_a_cancelled_deploy_waits_for_a_person() -> None:
    """A pipeline is no person; approved, it ends as what it is: aborted."""
    play = advised()
    play.tell(cancelled(play))
    play.until(60)
    assert (play.phase(), play.weights) == (Phase.PROGRESSING, [0.1])
    say(play, Order.APPROVE)
    assert (play.phase(), play.weights) == (Phase.ABORTED, [0.1, 0.0])
    assert "cancelled" in play.all(r.Ended)[-1].reason


def test_in_advise_an_expired_approval_asks_for_the_abort() -> None:
    """Nobody answered for a day: silence is no yes to moving users either."""
    play = advised()
    play.until(90_000)
    waiting = play.rollout.awaiting
    assert (play.phase(), play.weights) == (Phase.PROGRESSING, [0.1])
    assert waiting is not None
    assert (waiting.proposal, waiting.outcome) == (r.Proposal.ROLLBACK, Phase.ABORTED)
    say(play, Order.APPROVE)
    assert (play.phase(), play.weights) == (Phase.ABORTED, [0.1, 0.0])


def test_in_advise_a_start_that_nobody_approves_is_aborted() -> None:
    """Nothing was written, so nothing has to be."""
    play = Play(policies=(policy(mode=Mode.ADVISE, workload=WORKLOAD),))
    play.tell(requested())
    play.until(90_000)
    assert play.phase() is Phase.ABORTED
    assert [type(effect) for effect in play.performed] == [Preflight]


def test_in_advise_a_canary_that_does_not_come_up_is_stopped_when_a_person_agrees() -> None:
    """Turned down, its pods are left for the person to look at, and the rollout is over."""
    for order, stopped in ((Order.APPROVE, 1), (Order.REJECT, 0)):
        play = Play(policies=(policy(mode=Mode.ADVISE, workload=WORKLOAD),), breaks={StartCanary: "no image"})
        play.tell(requested())
        say(play, Order.APPROVE)
        play.until(300)
        assert (play.phase(), play.rollout.effects) == (Phase.PREFLIGHT, ())
        say(play, order)
        play.until(400)
        assert play.phase() is Phase.FAILED
        assert sum(isinstance(effect, StopCanary) for effect in play.performed) == stopped


# ---- drift ------------------------------------------------------------------------------------------------------


def test_in_advise_a_weight_that_drifted_is_set_again_when_a_person_agrees() -> None:
    """Until then the step is held; somebody may have changed it on purpose."""
    play = advised()
    play.router = Weight(0.7)
    play.until(700)
    assert (play.router, play.step(), play.held()) == (0.7, 0, True)
    assert len(play.all(r.Paged)) == 1
    say(play, Order.APPROVE)
    assert play.router == 0.1
    play.until(720)
    assert not play.held()


def test_in_advise_a_weight_that_comes_back_by_itself_needs_nobody() -> None:
    """What was asked for is withdrawn, and the plan goes on."""
    play = advised()
    play.router = Weight(0.7)
    play.until(40)
    play.router = Weight(0.1)
    play.until(60)
    assert (play.rollout.awaiting, play.held()) == (None, False)
    assert play.weights == [0.1]


def test_in_advise_a_no_to_setting_the_weight_again_is_asked_once() -> None:
    """It stays held while the weight is another; harm is still proposed to be rolled back."""
    play = advised()
    play.router = Weight(0.7)
    play.until(40)
    say(play, Order.REJECT)
    play.until(200)
    assert (play.router, play.held(), play.rollout.awaiting) == (0.7, True, None)
    play.show = lambda rollout, now: seen(rollout, at=now, harm=HARM)
    play.until(240)
    assert play.rollout.awaiting is not None
    say(play, Order.APPROVE)
    assert (play.phase(), play.router) == (Phase.ROLLED_BACK, 0.0)


# ---- the bake ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "phase"), [(Order.APPROVE, Phase.ROLLED_BACK), (Order.REJECT, Phase.VERIFIED)])
def test_in_advise_nothing_is_verified_while_its_rollback_is_proposed(order: Order, phase: Phase) -> None:
    """The bake is over, and harm was seen in it: what becomes of it is what the person says."""
    play = advised()
    while play.phase() is not Phase.BAKING:
        play.until(play.now - T0 + 10.0)
        if play.rollout.awaiting is not None:
            say(play, Order.APPROVE)
    play.show = lambda rollout, now: seen(rollout, at=now, harm=HARM)
    play.until(play.now - T0 + 2000.0)
    assert play.phase() is Phase.BAKING
    say(play, order)
    play.until(play.now - T0 + 100.0)
    assert play.phase() is phase


# ---- laws -------------------------------------------------------------------------------------------------------

WRITES = (SetWeight, StartCanary, StopCanary, MakeStable)
MORE = st.lists(
    st.one_of(
        ACTION,
        st.tuples(
            st.sampled_from(["approve", "approve", "wait", "drift", "mend drift", "cancel", "other"]),
            st.floats(0.0, 1.0),
        ),
    ),
    min_size=5,
    max_size=40,
)
MODES = st.builds(
    policy,
    concurrency=st.sampled_from(list(Concurrency)),
    workload=st.sampled_from([None, WORKLOAD]),
    on_undecided=st.sampled_from(["hold", "rollback"]),
)


class Recorded(Story):
    """A story that remembers at which record each fact came."""

    def tell(self, fact: Fact) -> Decision:
        """Give the engine a fact."""
        self.__dict__.setdefault("facts", []).append((len(self.records), fact))
        return super().tell(fact)

    def act(self, name: str, number: float, shown: dict[str, object]) -> None:
        """Do one thing; drift comes from somebody else's hand."""
        if name == "drift":
            self.router = Weight(round(number, 1))
        elif name == "mend drift":
            self.router = self.rollout.accepted or Weight(0.0)
        elif name == "cancel":
            self.tell(cancelled(self))
        elif name == "other":
            self.tell(requested(f"3.{int(number * 5)}", identity=f"o-{self.now}", at=self.now, driver=Driver.OTHER))
        else:
            super().act(name, number, shown)


def directed(base: Policy, actions: list[Action], shows: list[dict[str, object]], driver: Driver) -> Recorded:
    """Tell the story to its end."""
    story = Recorded(policies=(base,))
    story.tell(requested(driver=driver))
    for number, (name, value) in enumerate(actions):
        story.act(name, value, shows[number % len(shows)])
    return story


def grants(record: r.Record, rollout: Rollout) -> list[object]:
    """Return the writes that a record of a person's yes allows, each once."""
    if not isinstance(record, r.Approved):
        return []
    steps = rollout.steps
    if record.proposal is r.Proposal.START:
        return [StartCanary, steps[0].weight]
    if record.proposal is r.Proposal.RESTORE:
        return [rollout.desired]
    if record.proposal is r.Proposal.ROLLBACK:
        return [0.0, StopCanary]
    if record.proposal is r.Proposal.ADVANCE:
        last = record.step + 1 >= len(steps)
        return [MakeStable, 0.0, StopCanary] if last else [steps[record.step + 1].weight]
    return []


def kind(effect: Effect) -> object:
    """Return what a grant must name for this write: the weight, or the kind of effect."""
    return effect.weight if isinstance(effect, SetWeight) else type(effect)


DIRECTIONS = (MODES, MORE, st.lists(SHOWN, min_size=1, max_size=5), st.sampled_from(list(Driver)))
"""What `directed` makes a story of: a policy, what happens, what is shown, and who drives the rollout."""
ENDING = (Order.ABORT, Order.ROLLBACK, Order.REJECT)


@settings(max_examples=150, deadline=None)
@given(*DIRECTIONS)
def test_advise_writes_nothing_that_no_person_agreed_to(
    base: Policy, actions: list[Action], shows: list[dict[str, object]], driver: Driver
) -> None:
    """Each write uses up one yes that was journaled before it, or one order of a person to end the rollout."""
    story = directed(replace(base, mode=Mode.ADVISE), actions, shows, driver)
    facts = story.__dict__["facts"]
    allowed: dict[RolloutId, Counter[object]] = {}
    world, told = World(), 0
    for number, record in enumerate(story.records):
        while told < len(facts) and facts[told][0] <= number:
            fact = facts[told][1]
            if isinstance(fact, Ordered) and fact.order in ENDING:
                allowed.setdefault(fact.rollout, Counter()).update([0.0, StopCanary])
            told += 1
        rollout = world.apply(record)
        if rollout is None:
            continue
        mine = allowed.setdefault(rollout.id, Counter())
        mine.update(grants(record, rollout))
        if isinstance(record, r.EffectOrdered) and isinstance(record.effect, WRITES):
            wanted = kind(record.effect)
            assert mine[wanted] > 0, (wanted, mine, record)
            mine[wanted] -= 1


@settings(max_examples=100, deadline=None)
@given(*DIRECTIONS)
def test_observe_writes_nothing(
    base: Policy, actions: list[Action], shows: list[dict[str, object]], driver: Driver
) -> None:
    """Whatever happens, and whatever a person orders."""
    story = directed(replace(base, mode=Mode.OBSERVE), actions, shows, driver)
    ordered_ = [record.effect for record in story.records if isinstance(record, r.EffectOrdered)]
    assert not [effect for effect in ordered_ if isinstance(effect, WRITES)]
