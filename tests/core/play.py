"""A story told to the engine: facts in, effects answered at once by a world that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from guardian.core import records as r
from guardian.core.effects import Effect, Preflight, SetWeight
from guardian.core.engine import Decision, Engine
from guardian.core.events import decision_event
from guardian.core.facts import EffectDone, EffectFailed, Fact, WeightRead, Woke
from guardian.core.looks import Look
from guardian.core.model import Instant, Phase, Ready, Revision, RolloutId, Weight
from guardian.core.policies import Policies
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.core.world import World
from tests.builders import T0, policy, seen

NOTHING = Weight(0.0)
STABLE = Revision("2.0.3")
Look_ = Callable[[RolloutId, Instant], Look | None]


class ScriptedApart:
    """Marks without evidence behind them: which stretches of time may be left out, and which were."""

    def __init__(self) -> None:
        self.marks: dict[RolloutId, list[str]] = {}
        self.out: dict[RolloutId, list[str]] = {}

    def marked(self, rollout: RolloutId) -> tuple[str, ...]:
        return tuple(self.marks.get(rollout, ()))

    def left_out(self, rollout: RolloutId) -> tuple[str, ...]:
        return tuple(self.out.get(rollout, ()))

    def mark(self, rollout: RolloutId, other: str) -> None:
        if other not in self.marks.setdefault(rollout, []) and other not in self.left_out(rollout):
            self.marks[rollout].append(other)

    def unmark(self, rollout: RolloutId, other: str) -> None:
        self.marks[rollout].remove(other)

    def leave_out(self, rollout: RolloutId, other: str) -> None:
        self.marks[rollout].remove(other)
        self.out.setdefault(rollout, []).append(other)


class ScriptedFleet:
    """Evidence as a test wants it: `show(rollout, now)` is what every look sees."""

    def __init__(self, show: Look_) -> None:
        self.apart = ScriptedApart()
        self.show = show
        self.open_for: set[RolloutId] = set()

    def open(self, rollout: RolloutId, policy: Policy, *, since: Instant) -> None:
        self.open_for.add(rollout)

    def close(self, rollout: RolloutId) -> None:
        self.open_for.discard(rollout)

    def look(self, rollouts: Iterable[RolloutId], *, now: Instant) -> dict[RolloutId, Look]:
        shown = {rollout: self.show(rollout, now) for rollout in rollouts}
        return {rollout: look for rollout, look in shown.items() if look is not None}

    def settle(self) -> None: ...
    def expect(self, rollout: RolloutId, *, weight: Weight, now: Instant) -> None: ...
    def new_step(self, rollout: RolloutId, *, now: Instant) -> None: ...
    def switch(self, rollout: RolloutId, *, at: Instant) -> None: ...
    def checkpoint(self, rollout: RolloutId) -> bytes:
        return b""

    def restore(self, rollout: RolloutId, policy: Policy, blob: bytes) -> None: ...


def healthy(rollout: RolloutId, now: Instant) -> Look | None:
    """A canary that is as good as stable: promotion evidence grows with time."""
    return seen(rollout, at=now, harm=0.5, safe=min(100.0, 1.0 + (now - T0) / 30.0))


@dataclass
class Play:
    """The engine, its clock and its world. `router` is the weight the router has; `breaks` makes effects fail.

    ready: pods that can serve; None: nobody can tell. answers: whether the router does when it is read.
    """

    policies: tuple[Policy, ...] = field(default_factory=lambda: (policy(),))
    show: Look_ = healthy
    now: Instant = T0
    router: Weight = NOTHING
    stable: Revision | None = STABLE
    breaks: dict[type[Effect], str] = field(default_factory=dict)
    world: World | None = None
    ready: Ready | None = None
    answers: bool = True

    def __post_init__(self) -> None:
        self.fleet = ScriptedFleet(lambda rollout, now: self.show(rollout, now))  # noqa: PLW0108  (show may change)
        self.engine = Engine(policies=Policies(self.policies), fleet=cast(Any, self.fleet), world=self.world)
        self.records: list[r.Record] = []
        self.performed: list[Effect] = []
        self.weights: list[Weight] = []
        self.refusal: Exception | None = None

    def tell(self, fact: Fact) -> Decision:
        """Give the engine a fact, and answer the effects that follow."""
        decision = self.engine.receive(fact, self.now)
        self.records += decision.records
        self.refusal = decision.refusal
        for rollout, effect in decision.effects:
            self._perform(rollout, effect)
        return decision

    def _perform(self, rollout: RolloutId, effect: Effect) -> None:
        if type(effect) in self.breaks:
            self.tell(EffectFailed(rollout=rollout, effect=effect.id, reason=self.breaks[type(effect)]))
            return
        self.performed.append(effect)
        if isinstance(effect, SetWeight):
            self.router = effect.weight
            self.weights.append(effect.weight)
        stable = self.stable if isinstance(effect, Preflight) else None
        self.tell(EffectDone(rollout=rollout, effect=effect.id, accepted=self.router, stable=stable))

    def until(self, at: float) -> Play:
        """Let time pass until `at` seconds after T0, waking the engine whenever it asks."""
        end = T0 + at
        while (wake := self.engine.wake_at()) is not None and wake <= end:
            self.now = Instant(max(self.now, wake))
            for query in self.engine.queries(self.now):
                if type(query).__name__ == "ReadWeight" and self.answers:
                    for rollout in query.rollouts:
                        read = WeightRead(
                            rollout=RolloutId(rollout), asked=self.now, accepted=self.router, ready=self.ready
                        )
                        self.tell(read)
            self.tell(Woke())
        self.now = Instant(end)
        return self

    @property
    def rollout(self) -> Rollout:
        """The newest rollout."""
        return list(self.engine.world.rollouts.values())[-1]

    def phase(self) -> Phase:
        """Phase of the newest rollout; a call, so that a checker does not think it stays what it was."""
        return self.rollout.phase

    def step(self) -> int:
        """Step of the newest rollout."""
        return self.rollout.step

    def held(self) -> bool:
        """Whether the newest rollout waits."""
        return self.rollout.held is not None

    def all(self, kind: type[Any]) -> list[Any]:
        """Records of one kind, in order."""
        return [record for record in self.records if isinstance(record, kind)]

    def events(self, rollout: RolloutId | None = None) -> list[str]:
        """Names of the decision events of a rollout (default: the newest), in order, checked for gaps."""
        name = rollout or self.rollout.id
        world, names, sequence = World(), [], 0
        for record in self.records:
            after = world.apply(record)
            if after is None or after.id != name:
                continue
            event = decision_event(cast(r.OfRollout, record), after)
            if event is not None:
                sequence += 1
                assert event.sequence == sequence
                names.append(event.type.split(".")[2])
        return names
