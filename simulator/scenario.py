"""A scenario: a world, what goes wrong in it, the ground truth, and the policy it is judged by. Values only.

Reading the file is simulator/library.py's part; running it, driver.py's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from pydantic import Field, model_validator

from guardian.config.fields import Name
from guardian.config.findings import complaint, hint
from guardian.core.looks import Ints
from guardian.core.model import Place, Seconds, Weight
from guardian.core.policy import Policy
from simulator.beside import Beside, Deploy
from simulator.bots import MOST_BOTS, Bot
from simulator.chance import Chance
from simulator.delivery import PrometheusDown
from simulator.faults import AttemptStep, Cause, Fault, GaugeShift, ServiceFault
from simulator.messages import DeployEvent
from simulator.parameters import Drawn, Template, Values
from simulator.reception import Source
from simulator.request.language import Grain, Requests, missing_causes
from simulator.service import Service
from simulator.traffic import Traffic
from simulator.truth import Truth
from simulator.units import EVENTS, Duration, Factor, Part, Portion

LATE: Final = 4.0
"""A verdict after this many times its deadline is late (SCENARIOS: R after 4 x max)."""

BEFORE: Final = 900.0
"""Seconds after the deploy event within which the first traffic should reach the canary."""


MOST_ROUNDS: Final = 200_000
"""Scrapes of a run: three weeks at every ten seconds."""


class Scrape(Part):
    """How the service is scraped.

    spread: how far apart pods lie within the interval, 0..1. jitter: by how much one scrape is early or late at most.
    replicas: 2 is a pair that scrapes by turns, half an interval apart; the guardian takes the samples of one. source:
    how it comes by them, which decides when it takes those of the other.
    """

    every: Annotated[Duration, Field(gt=0)] = 10.0
    spread: Annotated[float, Field(ge=0, le=1)] = 0.9
    jitter: Duration = 0.05
    replicas: Annotated[int, Field(ge=1, le=2)] = 1
    source: Source = Source.STREAMED

    @property
    def turn(self) -> float:
        """Return the seconds from one scrape of a pod to the next, whoever makes them."""
        return self.every / self.replicas

    def scraper(self, number: Ints) -> Ints:
        """Return which replica, from 0, makes the scrapes of a round; number: of rounds, from 1, any shape."""
        return (number - 1) % self.replicas

    @model_validator(mode="after")
    def _in_order(self) -> Scrape:
        if 2.0 * self.jitter >= self.turn:
            raise complaint(
                f"jitter {self.jitter:g}s can bring one scrape before the last",
                f"write less than {self.turn / 2.0:g}s, half of the time between two",
            )
        return self


class Connections(Part):
    """Connections that stay open when the weight of their track falls: `share` of its requests, for so long."""

    share: Portion
    lasts: Annotated[Duration, Field(gt=0)]


class Reactions(Part):
    """How fast the platform does what it is told. serves: part of the weight that is really served.

    header: a header says who is on the canary, this share of requests, whatever its weight is. session: how long a user
    stays on its track after the weight moved; 0: each request is sent by itself. stops: how long pods take to end.
    """

    answers: Duration = 0.2
    weight_lag: Duration = 2.0
    ready: Duration = 5.0
    stops: Duration = 0.0
    serves: Factor = 1.0
    header: Portion | None = None
    session: Duration = 0.0
    connections: Connections | None = None

    @model_validator(mode="after")
    def _one_way_to_stay(self) -> Reactions:
        if self.session and self.connections is not None:
            what = "users stay on their track for a session, and connections besides"
            raise complaint(what, "remove one of the two", at=("connections",))
        return self

    def served(self, weight: Weight) -> Weight:
        """Return what is served where this weight is accepted."""
        if self.header is not None and 0.0 < weight < 1.0:
            return Weight(self.header)
        return Weight(min(1.0, weight * self.serves))


class Metadata(Part):
    """What the scenario is called, and where it comes from."""

    name: Name
    title: str
    origin: str = ""


class Spec(Part):
    """The world, in the order one would tell it. grain: how it is played if nobody asks otherwise.

    bots: who asks besides users. request: what the request grain knows besides. deploys: what the guardian is told of
    deploys; left out: one event of `deploy`, at once. beside: other services that have rollouts.
    """

    story: str
    grain: Grain = Grain.FLOW
    service: Service
    traffic: Traffic
    bots: Annotated[tuple[Bot, ...], Field(max_length=MOST_BOTS)] = ()
    history: Annotated[Duration, Field(ge=0, description="measured of stable before the deploy event")] = 2100.0
    lasts: Annotated[
        Duration | None,
        Field(description="from the traffic shift on; left out: 4 x the deadline of the verdict"),
    ] = None
    scrape: Scrape = Scrape()
    deploy: Deploy = Deploy()
    deploys: tuple[DeployEvent, ...] = (DeployEvent(),)
    beside: tuple[Beside, ...] = ()
    platform: Reactions = Reactions()
    faults: tuple[Fault, ...] = ()
    request: Requests | None = None
    truth: Truth

    @model_validator(mode="after")
    def _faults_change_what_there_is(self) -> Spec:
        service = self.service
        zones = [zone.name for zone in service.zones]
        attempts, gauges = ([one.metric for one in shown] for shown in (service.attempts, service.gauges))
        for path, fault in self._written_faults():
            if isinstance(fault, AttemptStep):
                _known("attempt", fault.of, attempts, at=(*path, "of"))
            if isinstance(fault, GaugeShift):
                _known("gauge", fault.of, gauges, at=(*path, "of"))
            if (zone := getattr(fault, "zone", None)) is not None:
                _known("zone", zone, zones, at=(*path, "zone"))
            if isinstance(fault, PrometheusDown) and (fault.replica or 1) > self.scrape.replicas:
                what = f"replica {fault.replica} of Prometheus is down, and there is one"
                raise complaint(what, "add `scrape: {replicas: 2}`, or remove it", at=(*path, "replica"))
        return self

    def _written_faults(self) -> Iterator[tuple[tuple[str | int, ...], Any]]:
        """Yield every fault of both grains, and where it is written."""
        own = (self.request.faults if self.request is not None else None) or ()
        for before, faults in (((), self.faults), (("request",), own)):
            for number, fault in enumerate(faults):
                yield (*before, "faults", number), fault

    @model_validator(mode="after")
    def _ends(self) -> Spec:
        if self.lasts is None and not self.truth.milestones:
            what = "nothing says when a run is over: this hold has no milestones"
            raise complaint(what, "add `lasts: 20m`, or what must be seen under `truth: expect:`", at=("truth",))
        rounds = (self.history + self.watched) / self.scrape.turn
        if rounds > MOST_ROUNDS:
            what = f"a run has {rounds:.0f} scrapes, {MOST_ROUNDS} are allowed"
            key = ("lasts",) if self.lasts is not None else ("truth",)
            raise complaint(what, "write shorter times, or scrape less often", at=key)
        return self

    @property
    def watched(self) -> float:
        """Return how many seconds after the traffic shift a run is watched."""
        if self.lasts is not None:
            return self.lasts
        return max(one.after + LATE * one.within for one in self.truth.milestones)

    @model_validator(mode="after")
    def _causes_are_known(self) -> Spec:
        for number, fault in enumerate(self.faults):
            if self.grain is Grain.FLOW and isinstance(fault, Cause):
                what = f"'{fault.kind}' is a cause, and flow grain counts effects only"
                remedy = "write `grain: request`, or put it under `request: faults:`"
                raise complaint(what, remedy, at=("faults", number, "kind"))
        if self.grain is Grain.FLOW and self.request is not None and self.request.loops:
            what = "clients that wait for answers, and flow grain counts requests only"
            raise complaint(what, "write `grain: request`, or remove them", at=("request", "loops"))
        for path, what, remedy in missing_causes(self.request, self.faults):
            raise complaint(what, remedy, at=path)
        return self

    @model_validator(mode="after")
    def _services_are_named_apart(self) -> Spec:
        names = [self.service.name, *(one.service.name for one in self.beside)]
        for number, name in enumerate(names[1:]):
            if name in names[: number + 1]:
                raise complaint(
                    f"two services are named '{name}'", "name each once", at=("beside", number, "service", "name")
                )
        return self

    @model_validator(mode="after")
    def _scales_within_its_pods(self) -> Spec:
        scaler = self.request.autoscaler if self.request is not None else None
        most = min(self.service.pods.stable or math.inf, self.service.pods.canary)
        if scaler is not None and scaler.least > most:
            what = f"the autoscaler keeps at least {scaler.least} pods of each track, `pods` has {most:g}"
            raise complaint(what, f"write at most {most:g}", at=("request", "autoscaler", "least"))
        return self


def _known(kind: str, name: str, known: list[str], *, at: tuple[str | int, ...]) -> None:
    """Refuse a fault of something that the service does not have."""
    if name not in known:
        remedy = hint(name, known) if known else f"remove it, or give the service `{kind}s`"
        raise complaint(f"the service has no {kind} '{name}'", remedy, at=at)


class ScenarioFile(Drawn):
    """The first document of a scenario file."""

    apiVersion: Literal["slo-guardian/v1"]  # noqa: N815 - as Kubernetes writes it
    kind: Literal["Scenario"]
    metadata: Metadata
    extends: str | None = Field(None, description="a shipped scenario, or a file beside this one: say what differs")
    spec: Spec


class Scenario(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One scenario, ready to run any number of times.

    policies: of the services beside it, in their order. template: of one with parameters; spec is then that with
    values, those in the middle until a seed has drawn them.
    """

    metadata: Metadata
    spec: Spec
    policy: Policy
    policies: tuple[Policy, ...] = ()
    template: Template | None = None
    values: Values = {}

    @property
    def name(self) -> str:
        """Return the name in the library, for example S01."""
        return self.metadata.name

    @property
    def place(self) -> Place:
        """Return where the rollout happens."""
        return Place(service=self.spec.service.name, environment=self.spec.service.environment)

    @cached_property
    def beside(self) -> tuple[Scenario, ...]:
        """Return the services beside it as scenarios of their own; each is watched as long as this one."""
        return tuple(self._other(number, policy) for number, policy in enumerate(self.policies))

    def _other(self, number: int, policy: Policy) -> Scenario:
        one = self.spec.beside[number]
        spec = self.spec.model_copy(
            update={
                "service": one.service, "traffic": one.traffic, "deploy": one.deploy, "faults": one.faults,
                "history": self.spec.history + one.at, "lasts": self.horizon + max(0.0, -one.at) + BEFORE,
                "deploys": (DeployEvent(),), "beside": (), "bots": (), "platform": Reactions(), "request": None,
            }
        )  # fmt: skip
        return Scenario(metadata=self.metadata, spec=spec, policy=policy)

    @property
    def horizon(self) -> Seconds:
        """Return how long after the traffic shift a run is watched."""
        return Seconds(self.spec.watched)

    @property
    def risk(self) -> float:
        """Return the share of wrong verdicts that the policy accepts."""
        risk = self.policy.risk
        return risk.false_promotion if self.spec.truth.may_roll_back else risk.false_rollback

    @cached_property
    def service_faults(self) -> tuple[ServiceFault, ...]:
        """Return the faults that act on the service itself, in the order of the file."""
        return tuple(fault for fault in self.spec.faults if isinstance(fault, ServiceFault))

    @property
    def events(self) -> float:
        """Return how many SimPy events a run in request grain has at least, history included."""
        step = self.spec.scrape.every
        t = np.arange(-self.spec.history, self.horizon, step)
        sources = (self.spec.traffic, *(bot.traffic for bot in self.spec.bots))
        asked = sum(float(one.at(t).sum()) * step for one in sources)
        loops = self.spec.request.loops if self.spec.request is not None else ()
        return EVENTS * (asked + len(t) * step * sum(one.clients / one.thinks for one in loops))

    def played(self, grain: Grain) -> Scenario:
        """Return the scenario as it is in that grain: the request grain may have faults of its own."""
        own = self.spec.request.faults if self.spec.request is not None else None
        changes: dict[str, Any] = {"grain": grain}
        if grain is Grain.REQUEST and own is not None:
            changes["faults"] = own
        return msgspec.structs.replace(self, spec=self.spec.model_copy(update=changes))

    def drawn(self, seed: int) -> Scenario:
        """Return the scenario with the values that this seed draws; one without parameters is the same for all."""
        if self.template is None:
            return self
        return self._with(self.template, self.template.drawn(Chance(seed)))

    def corners(self) -> tuple[Scenario, ...]:
        """Return the scenario at the ends of its parameters; itself where it has none."""
        template = self.template
        return (self,) if template is None else tuple(self._with(template, values) for values in template.corners())

    def _with(self, template: Template, values: Values) -> Scenario:
        spec = Spec.model_validate(template.filled(values))
        return msgspec.structs.replace(self, spec=spec, values=values, template=None).played(self.spec.grain)
