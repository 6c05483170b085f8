"""Rollouts of several services that overlap, told to the engine as looks: the stage of the attribution tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.effects import Effect, SetWeight
from guardian.core.engine import Decision
from guardian.core.facts import DeployRequested, Fact, WeightRead
from guardian.core.looks import Breach, Look
from guardian.core.model import Instant, Place, RolloutId, Weight
from guardian.core.policy import Match, Policy
from guardian.core.rollout import Rollout
from tests.builders import T0, policy, requested, seen
from tests.core.play import Play

LIMIT = 300.0
BAD, FINE = 226.0, 0.5


def bad(at: float) -> float:
    """Evidence enough for a rollback."""
    return BAD


def doubtful(at: float) -> float:
    """Evidence enough for a suspicion."""
    return 20.0


def fine(at: float) -> float:
    """No evidence to speak of."""
    return FINE


def whole(service: str, at: float) -> tuple[Breach, bool]:
    """No objective is broken, on either track."""
    return Breach.NONE, False


def of(service: str, *calls: str, **changes: object) -> Policy:
    """The policy of one service, which calls others."""
    base = replace(policy(), name=service, match=Match(service=service), depends_on=calls)
    return replace(base, **changes)


def deploy(service: str, *, at: float = 0.0, identity: str = "", **changes: object) -> DeployRequested:
    """A deploy event of one service."""
    place = Place(service=service, environment="production")
    event = requested(identity=f"{service}{identity}", at=Instant(T0 + at), place=place)
    return replace(event, **changes)


@dataclass
class Story:
    """Rollouts of several services, each with its evidence as a function of seconds since T0."""

    harm: Mapping[str, Callable[[float], float]]
    breach: Callable[[str, float], tuple[Breach, bool]] = whole

    def show(self, rollout: RolloutId, now: Instant) -> Look:
        service, at = rollout.rpartition("-")[0], now - T0
        breach, shared = self.breach(service, at)
        evidence = self.harm.get(service, fine)(at)
        return seen(rollout, at=now, harm=evidence, breach=breach, stable_breach=shared)


@dataclass
class Shop(Play):
    """A play of several services, each with a router of its own."""

    routers: dict[Place, Weight] = field(default_factory=dict)

    def tell(self, fact: Fact) -> Decision:
        if isinstance(fact, WeightRead):
            place = self.engine.world.rollouts[fact.rollout].place
            fact = replace(fact, accepted=self.routers.get(place, Weight(0.0)))
        return super().tell(fact)

    def _perform(self, rollout: RolloutId, effect: Effect) -> None:
        if isinstance(effect, SetWeight):
            self.routers[effect.place] = effect.weight
        self.router = self.routers.get(effect.place, Weight(0.0))
        super()._perform(rollout, effect)


def play(*policies: Policy, harm: Mapping[str, Callable[[float], float]], **changes: object) -> Shop:
    """An engine with these policies and this evidence."""
    return Shop(policies=policies, show=Story(harm=harm, **changes).show)  # type: ignore[arg-type]


def explained(story: Shop, *services: str) -> None:
    """Let these services' evidence rest on the time of others alone: left out, they are shown to be good."""
    before = story.show

    def show(rollout: RolloutId, now: Instant) -> Look | None:
        if rollout.rpartition("-")[0] in services and story.fleet.apart.left_out(rollout):
            return seen(rollout, at=now, harm=FINE, safe=100.0)
        return before(rollout, now)

    story.show = show


def newest(story: Shop, service: str) -> Rollout:
    """The newest rollout of a service."""
    return [each for each in story.engine.world.rollouts.values() if each.place.service == service][-1]


def reasons(story: Shop, kind: type[r.Held | r.Paged], service: str) -> list[str]:
    """Reasons of all records of one kind, of one service."""
    return [record.reason for record in story.all(kind) if record.rollout.startswith(f"{service}-")]
