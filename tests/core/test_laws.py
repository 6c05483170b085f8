"""Laws of the engine, whatever happens: facts in any order, failures, restarts at any point."""

from __future__ import annotations

from typing import cast

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.drain import watch_until
from guardian.core.effects import Effect, MakeStable, Preflight, SetWeight, StartCanary, StopCanary
from guardian.core.engine import Decision
from guardian.core.events import decision_event
from guardian.core.facts import Fact, Journaled, Order
from guardian.core.looks import Allocation, Breach, Look
from guardian.core.model import Instant, Mode, Phase, RolloutId, Weight
from guardian.core.policy import Adapter, Concurrency
from guardian.core.world import World, fold
from tests.builders import T0, alert, ordered, policy, requested, seen
from tests.core.play import Play

Action = tuple[str, float]
ACTION = st.tuples(
    st.sampled_from(
        ["wait", "wait", "wait", "deploy", "deploy", "alert", "resolve", "break", "mend", "restart", "drift"]
        + [order.value for order in Order]
    ),
    st.floats(0.0, 1.0),
)
ACTIONS = st.lists(ACTION, min_size=3, max_size=40)
SHOWN = st.fixed_dictionaries(
    {
        "harm": st.sampled_from([0.1, 1.0, 5.0, 1e4]),
        "safe": st.sampled_from([0.5, 1.0, 50.0]),
        "breach": st.sampled_from([Breach.NONE, Breach.NONE, Breach.WARNING, Breach.CRITICAL]),
        "stable_breach": st.booleans(),
        "allocation": st.sampled_from([Allocation.FITS, Allocation.FITS, Allocation.SKEWED]),
        "step_requests": st.sampled_from([0.0, 1e6]),
    }
)
POLICIES = st.builds(
    policy,
    concurrency=st.sampled_from(list(Concurrency)),
    mode=st.sampled_from(list(Mode)),
    workload=st.sampled_from([None, Adapter(kind="memory")]),
    on_undecided=st.sampled_from(["hold", "rollback"]),
)


class Story(Play):
    """A play that hypothesis directs; the engine makes no mistake in it."""

    def tell(self, fact: Fact) -> Decision:
        """Give the engine a fact."""
        decision = super().tell(fact)
        assert decision.faults == ()
        return decision

    def act(self, name: str, number: float, shown: dict[str, object]) -> None:
        """Do one thing."""
        if name == "wait":
            self.show = lambda rollout, now: _look(rollout, now, shown)
            self.until(self.now - T0 + 10.0 + 600.0 * number)
        elif name == "deploy":
            self.tell(requested(f"2.{int(number * 5)}", identity=f"{self.now}-{number}", at=self.now))
        elif name in ("alert", "resolve"):
            self.tell(alert(firing=name == "alert", starts_at=self.now, severity="critical", track="canary"))
        elif name in ("break", "mend"):
            broken = (SetWeight, Preflight, StartCanary, MakeStable, StopCanary)[int(number * 4.99)]
            self.breaks = {broken: "503"} if name == "break" else {}
        elif name == "drift":
            self.router = self.router  # a reload that lost nothing
        elif name == "restart":
            self.restart()
        elif self.engine.world.rollouts:
            tighter = replace(self.rollout.policy, refuse_for=self.rollout.policy.refuse_for + number)
            self.tell(ordered(self.rollout.id, Order(name), reason=str(number), policy=tighter))

    def restart(self) -> None:
        """Start a new engine from the journal; effects that had not ended are performed again."""
        journal = msgspec.json.Decoder(list[r.Record]).decode(msgspec.json.encode(self.records))
        self.world = fold(journal)
        self.__post_init__keeping(journal)
        for rollout, effect in self.engine.outstanding():
            self._perform(rollout, effect)

    def __post_init__keeping(self, journal: list[r.Record]) -> None:
        performed, weights = self.performed, self.weights
        self.__post_init__()
        self.records, self.performed, self.weights = journal, performed, weights

    def _perform(self, rollout: RolloutId, effect: Effect) -> None:
        before = self.router
        super()._perform(rollout, effect)
        if isinstance(effect, SetWeight) and self.weights and before == effect.weight:
            self.weights = self.weights[:-1] if len(self.weights) > 1 else self.weights


def _look(rollout: RolloutId, now: Instant, shown: dict[str, object]) -> Look:
    return seen(rollout, at=now, **shown)  # type: ignore[arg-type]


def play_out(base: object, actions: list[Action], shows: list[dict[str, object]]) -> Story:
    """Tell the story to its end."""
    story = Story(policies=(base,))  # type: ignore[arg-type]
    story.tell(requested())
    for number, (name, value) in enumerate(actions):
        story.act(name, value, shows[number % len(shows)])
    return story


@settings(max_examples=150, deadline=None)
@given(POLICIES, ACTIONS, st.lists(SHOWN, min_size=1, max_size=5))
def test_state_is_the_fold_of_the_records(base: object, actions: list[Action], shows: list[dict[str, object]]) -> None:
    """Folding what was journaled gives the engine's world, through JSON and cut at any point."""
    story = play_out(base, actions, shows)
    journal = msgspec.json.Decoder(list[r.Record]).decode(msgspec.json.encode(story.records))
    assert fold(journal) == story.engine.world
    middle = len(journal) // 2
    assert fold(journal[middle:], start=fold(journal[:middle])) == fold(journal)


@settings(max_examples=150, deadline=None)
@given(POLICIES, ACTIONS, st.lists(SHOWN, min_size=1, max_size=5))
def test_events_are_numbered_without_gaps_and_end_with_the_rollout(
    base: object, actions: list[Action], shows: list[dict[str, object]]
) -> None:
    """Sequence counts from 1 per rollout; nothing but pages follows the terminal event."""
    story = play_out(base, actions, shows)
    world, counts, ended = World(), dict[str, int](), set[str]()
    for record in story.records:
        after = world.apply(record)
        event = decision_event(cast(r.OfRollout, record), after) if after is not None else None
        if event is None:
            continue
        counts[event.rollout] = counts.get(event.rollout, 0) + 1
        assert event.sequence == counts[event.rollout]
        assert event.rollout not in ended or event.type.endswith("paged.v1")
        if event.phase.terminal:
            ended.add(event.rollout)


@settings(max_examples=150, deadline=None)
@given(POLICIES, ACTIONS, st.lists(SHOWN, min_size=1, max_size=5))
def test_a_rollout_that_went_back_left_no_traffic_on_the_canary(
    base: object, actions: list[Action], shows: list[dict[str, object]]
) -> None:
    """When the last rollout of the place ended badly, the router's weight is 0."""
    story = play_out(base, actions, shows)
    running = [rollout for rollout in story.engine.world.rollouts.values() if not rollout.settled]
    bad = {Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED}
    if not running and story.phase() in bad and story.rollout.step >= 0:
        assert story.router == 0.0


@settings(max_examples=100, deadline=None)
@given(POLICIES, ACTIONS, st.lists(SHOWN, min_size=1, max_size=5), st.floats(0.01, 1.0))
def test_a_weight_that_comes_back_after_a_rollback_is_taken_away_again(
    base: object, actions: list[Action], shows: list[dict[str, object]], weight: float
) -> None:
    """However the rollout came to its end: within two looks the canary has no traffic, where the guardian may write."""
    story = play_out(base, actions, shows)
    story.breaks = {}
    last = story.rollout
    watched = watch_until(last)
    alone = story.engine.world.place(last.place).last == last.id
    if watched is None or watched <= story.now + 2.0 * last.policy.interval or not alone:
        return
    if last.policy.mode is not Mode.ENFORCE or last.corrected or any(p.attempts for p in last.effects):
        return
    story.router = Weight(weight)
    story.until(story.now - T0 + 3.0 * last.policy.interval)
    assert story.router == 0.0


@settings(max_examples=100, deadline=None)
@given(POLICIES, ACTIONS, st.lists(SHOWN, min_size=1, max_size=5))
def test_at_most_one_rollout_moves_a_place(base: object, actions: list[Action], shows: list[dict[str, object]]) -> None:
    """Started before the earlier one settled: never."""
    story = play_out(base, actions, shows)
    world = World()
    for record in story.records:
        if isinstance(record, r.Started):
            open_ones = [
                other
                for other in world.rollouts.values()
                if other.started_at is not None and not other.settled and other.id != record.rollout
            ]
            assert open_ones == []
        world.apply(record)


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.lists(SHOWN, min_size=1, max_size=3))
def test_facts_survive_the_journal(actions: list[Action], shows: list[dict[str, object]]) -> None:
    """Every journaled fact and record reads back equal from JSON."""
    facts: list[Fact] = [requested(), alert(), ordered(RolloutId("x"), Order.PAUSE)]
    decoder = msgspec.json.Decoder(list[Journaled])
    assert decoder.decode(msgspec.json.encode(facts)) == facts
