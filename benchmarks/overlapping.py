"""Two rollouts that overlap, played through the engine with real evidence: `checkout` calls `payment`.

Requests keep their version: the canary of checkout calls the canary of payment, so that harm of payment's canary shows
on one track of both. This is no call graph: a `Failures` says outright how often each track of each service fails.

One engine may hold many such pairs, which know nothing of each other: copy 7 is `checkout/7` and `payment/7`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from guardian.core.effects import Effect, SetWeight
from guardian.core.engine import Decision, Engine
from guardian.core.facts import DeployRequested, EffectDone, Fact, WeightRead, Woke
from guardian.core.fleet import Fleet
from guardian.core.looks import Floats, Observed, Part, SeriesKey
from guardian.core.model import EventRef, Instant, Phase, Place, Revision, RolloutId, Seconds, Track, Weight
from guardian.core.policies import Policies
from guardian.core.policy import Adapter, Compare, Guardrail, Margin, Match, Policy, RatioSli
from guardian.core.records import Record
from guardian.core.rollout import Rollout
from guardian.core.strategies import Canary, Step
from guardian.core.world import fold

START = Instant(1_750_000_000.0)
TICK, HISTORY = 10, 1800
PODS = {Track.CANARY: 2, Track.STABLE: 4}
GUARDRAIL = Guardrail(
    name="errors",
    sli=RatioSli(bad="errors", total="requests"),
    compare=Compare(rollback=Margin(relative=1.05, absolute=0.00005), promote=Margin(relative=1.5, absolute=0.0005)),
)
PLAN = ((0.1, 300.0), (0.5, 300.0), (1.0, 600.0))
NOWHERE = Weight(0.0)


def policy(service: str, *calls: str) -> Policy:
    """The policy of one service, which calls others."""
    plan = tuple(Step(weight=Weight(weight), bake=Seconds(bake)) for weight, bake in PLAN)
    return Policy(
        name=service,
        match=Match(service=service),
        strategy=Canary(plan=plan),
        guardrails=(GUARDRAIL,),
        router=Adapter(kind="memory"),
        depends_on=calls,
    )


@dataclass(slots=True)
class Overlap:
    """An engine and the services around it. rate: requests a second of each service.

    seed: of the services without a copy's name. seeds: of each copy, by its name.
    """

    failures: "Failures"
    seed: int
    policies: tuple[Policy, ...] = (policy("payment"), policy("checkout", "payment"))
    rate: float = 200.0
    seeds: Mapping[str, int] = field(default_factory=dict)
    now: Instant = START
    records: list[Record] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    engine: Engine = field(init=False)
    _random: dict[str, np.random.Generator] = field(init=False)
    _sums: dict[tuple[RolloutId, Track, int], Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing deployed."""
        self.engine = Engine(policies=Policies(self.policies), fleet=Fleet())
        seeds = {"": self.seed, **self.seeds}
        self._random = {copy: np.random.default_rng(seed) for copy, seed in seeds.items()}

    def weight(self, service: str) -> Weight:
        """The share of traffic that the canary of a service has."""
        return self.weights.get(service, NOWHERE)

    def rollout(self, service: str) -> Rollout | None:
        """The newest rollout of a service."""
        found = [each for each in self.engine.world.rollouts.values() if each.place.service == service]
        return found[-1] if found else None

    def phase(self, service: str) -> Phase | None:
        """Phase of the newest rollout of a service."""
        found = self.rollout(service)
        return found.phase if found is not None else None

    def deploy(self, service: str) -> Rollout:
        """Deploy, and give the evidence half an hour of stable history."""
        place = Place(service=service, environment="production")
        event = EventRef(source="benchmark", id=f"{service}/{self.now}")
        request = DeployRequested(
            event=event, time=self.now, place=place, revision=Revision("2.1.0"), previous=Revision("2.0.3")
        )
        self._tell(request)
        rollout = self.rollout(service)
        if rollout is None:
            raise AssertionError(f"{service} did not start")
        for at in range(int(self.now) - HISTORY, int(self.now) + 1, TICK):
            self._measure(rollout, Instant(float(at)), tracks=(Track.STABLE,))
        return rollout

    def until(self, at: float) -> "Overlap":
        """Let time pass, in ticks, until `at` seconds after START."""
        while self.now + TICK <= START + at:
            self.now = Instant(self.now + TICK)
            for rollout in list(self.engine.world.rollouts.values()):
                if not rollout.settled:
                    self._measure(rollout, self.now, tracks=tuple(PODS))
                    weight = self.weight(rollout.place.service)
                    self._tell(WeightRead(rollout=rollout.id, asked=self.now, accepted=weight))
            self._tell(Woke())
        return self

    def take_over(self, before: "Overlap", checkpoints: Mapping[RolloutId, bytes] | None = None) -> None:
        """Go on where another one stopped, from its journal and the checkpoints of its evidence (its newest)."""
        kept = checkpoints if checkpoints is not None else {}
        self.engine = Engine(policies=Policies(self.policies), fleet=Fleet(), world=fold(before.records))
        for rollout in before.engine.world.rollouts.values():
            blob = kept.get(rollout.id, before.engine.checkpoint(rollout.id))
            if blob is not None:
                self.engine.restore(rollout.id, blob)
        self.now, self.records, self.weights = before.now, list(before.records), dict(before.weights)
        self._random, self._sums = before._random, before._sums  # noqa: SLF001  the same world goes on

    def _tell(self, fact: Fact) -> Decision:
        decision = self.engine.receive(fact, self.now)
        self.records += decision.records
        for rollout, effect in decision.effects:
            self._tell(self._perform(rollout, effect))
        return decision

    def _perform(self, rollout: RolloutId, effect: Effect) -> EffectDone:
        service = effect.place.service
        if isinstance(effect, SetWeight):
            self.weights[service] = effect.weight
        return EffectDone(rollout=rollout, effect=effect.id, accepted=self.weight(service), stable=Revision("2.0.3"))

    def _measure(self, rollout: Rollout, at: Instant, *, tracks: tuple[Track, ...]) -> None:
        service, series, value = rollout.place.service, [], []
        weight, random = self.weight(service), self._random[copied(service)[1]]
        for track in tracks:
            part = weight if track is Track.CANARY else 1.0 - weight
            share = self.failures(self, service, track)
            for pod in range(PODS[track] if part > 0 else 0):
                asked = random.poisson(self.rate * TICK * part / PODS[track])
                sums = self._sums.setdefault((rollout.id, track, pod), np.zeros(2))
                sums += (asked, random.binomial(asked, share))
                for kind, number in zip((Part.TOTAL, Part.BAD), sums, strict=True):
                    key = SeriesKey(rollout=rollout.id, guardrail="errors", track=track, pod=f"p{pod}", part=kind)
                    series.append(self.engine.series(key))
                    value.append(float(number))
        time = np.full(len(series), float(at))
        self._tell(Observed(series=np.array(series, dtype=np.int64), time=time, value=np.array(value)))


Failures = Callable[[Overlap, str, Track], float]


def copied(service: str) -> tuple[str, str]:
    """Return what a service is and the name of its copy: `("payment", "7")` of `payment/7`, `("payment", "")`."""
    kind, _, copy = service.partition("/")
    return kind, copy


def played(failures: Failures, *, seed: int, lasts: float, blamed: bool = True) -> Overlap:
    """Checkout goes out, payment 300 seconds later. blamed: whether checkout's policy names payment."""
    return _played(Overlap(failures, seed, _policies("", blamed=blamed)), [""], lasts)


def played_together(failures: Failures, *, seeds: Sequence[int], lasts: float, blamed: bool = True) -> Overlap:
    """Play one copy for each seed, named 0, 1, ... in order; each ends as it would have alone."""
    named = {str(copy): seed for copy, seed in enumerate(seeds)}
    policies = tuple(one for copy in named for one in _policies(f"/{copy}", blamed=blamed))
    return _played(Overlap(failures, 0, policies, seeds=named), [f"/{copy}" for copy in named], lasts)


def _policies(copy: str, *, blamed: bool) -> tuple[Policy, ...]:
    return policy(f"payment{copy}"), policy(f"checkout{copy}", *((f"payment{copy}",) if blamed else ()))


def _played(overlap: Overlap, copies: Sequence[str], lasts: float) -> Overlap:
    for service, at in (("checkout", 0.0), ("payment", 300.0)):
        overlap.until(at)
        for copy in copies:
            overlap.deploy(f"{service}{copy}")
    return overlap.until(lasts)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How often the services fail. times: how many times as often payment's canary does.

    shared: part of payment's extra failures that checkout's canary shows. own: how many times as often checkout's
    canary fails by itself, from `since` seconds on; payment is deployed after 300.
    """

    payment: float = 0.005
    checkout: float = 0.005
    times: float = 10.0
    shared: float = 1.0
    own: float = 1.0
    since: float = 0.0

    def __call__(self, overlap: Overlap, service: str, track: Track) -> float:
        """Share of failed requests now."""
        kind, _ = copied(service)
        if track is Track.STABLE:
            return self.payment if kind == "payment" else self.checkout
        extra = self.payment * (self.times - 1.0)
        if kind == "payment":
            return self.payment + extra
        own = self.checkout * (self.own if overlap.now >= START + self.since else 1.0)
        beneath = overlap.weight(service.replace("checkout", "payment"))
        return own + (self.shared * extra if beneath > 0 else 0.0)
