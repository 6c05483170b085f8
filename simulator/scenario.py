"""A scenario: a world, what goes wrong in it, the ground truth, and the policy it is judged by. Values only.

Reading the file is simulator/library.py's part; running it, driver.py's.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from guardian.config.fields import Name
from guardian.config.findings import complaint, hint
from guardian.core.model import Place, Seconds, Verdict, Weight
from guardian.core.policy import Policy
from simulator.beside import Beside, Deploy
from simulator.faults import Cause, Fault, ServiceFault, known_fault
from simulator.messages import DeployEvent
from simulator.request.language import Grain, Requests, missing_causes
from simulator.service import Service
from simulator.traffic import Traffic
from simulator.truth import Truth
from simulator.units import EVENTS, Duration, Factor, Part, Portion

LATE: Final = 4.0
"""A verdict after this many times its deadline is late (SCENARIOS: R after 4 x max)."""

BEFORE: Final = 900.0
"""Seconds after the deploy event within which the first traffic should reach the canary."""


class Scrape(Part):
    """How the service is scraped.

    spread: how far apart pods lie within the interval, 0..1. jitter: by how much one scrape is early or late at most.
    """

    every: Annotated[Duration, Field(gt=0)] = 10.0
    spread: Annotated[float, Field(ge=0, le=1)] = 0.9
    jitter: Duration = 0.05

    @model_validator(mode="after")
    def _in_order(self) -> Scrape:
        if 2.0 * self.jitter >= self.every:
            raise complaint(
                f"jitter {self.jitter:g}s can bring one scrape before the last",
                f"write less than {self.every / 2.0:g}s, half of the interval",
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
    """The world, in the order one would tell it. lasts: default is 4 x the deadline of the verdict.

    grain: how it is played if nobody asks otherwise. request: what the request grain knows besides. deploys: what the
    guardian is told of deploys; left out: one event of `deploy`, at once. beside: other services that have rollouts.
    """

    story: str
    grain: Grain = Grain.FLOW
    service: Service
    traffic: Traffic
    history: Annotated[Duration, Field(ge=0)] = 2100.0
    lasts: Duration | None = None
    scrape: Scrape = Scrape()
    deploy: Deploy = Deploy()
    deploys: tuple[DeployEvent, ...] = (DeployEvent(),)
    beside: tuple[Beside, ...] = ()
    platform: Reactions = Reactions()
    faults: tuple[Annotated[Fault, BeforeValidator(known_fault)], ...] = ()
    request: Requests | None = None
    truth: Truth

    @model_validator(mode="after")
    def _faults_are_somewhere(self) -> Spec:
        known = [zone.name for zone in self.service.zones]
        own = (self.request.faults if self.request is not None else None) or ()
        for before, faults in ((), self.faults), (("request",), own):
            for number, fault in enumerate(faults):
                zone = getattr(fault, "zone", None)
                if zone is not None and zone not in known:
                    remedy = hint(zone, known) if known else "remove it, or give the service `zones`"
                    what = f"the service has no zone '{zone}'"
                    raise complaint(what, remedy, at=(*before, "faults", number, "zone"))
        return self

    @model_validator(mode="after")
    def _causes_are_known(self) -> Spec:
        for number, fault in enumerate(self.faults):
            if self.grain is Grain.FLOW and isinstance(fault, Cause):
                what = f"'{fault.kind}' is a cause, and flow grain counts effects only"
                remedy = "write `grain: request`, or put it under `request: faults:`"
                raise complaint(what, remedy, at=("faults", number, "kind"))
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


class ScenarioFile(Part):
    """The first document of a scenario file."""

    apiVersion: Literal["slo-guardian/v1"]  # noqa: N815 - as Kubernetes writes it
    kind: Literal["Scenario"]
    metadata: Metadata
    spec: Spec


class Scenario(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One scenario, ready to run any number of times. beside: those of the other services of its world."""

    metadata: Metadata
    spec: Spec
    policy: Policy
    beside: tuple[Scenario, ...] = ()

    @property
    def name(self) -> str:
        """Return the name in the library, for example S01."""
        return self.metadata.name

    @property
    def place(self) -> Place:
        """Return where the rollout happens."""
        return Place(service=self.spec.service.name, environment=self.spec.service.environment)

    def other(self, number: int, policy: Policy) -> Scenario:
        """Return one of the services beside it as a scenario of its own; it is watched as long as this one."""
        one = self.spec.beside[number]
        spec = self.spec.model_copy(
            update={
                "service": one.service, "traffic": one.traffic, "deploy": one.deploy, "faults": one.faults,
                "history": self.spec.history + one.at, "lasts": self.horizon + max(0.0, -one.at) + BEFORE,
                "deploys": (DeployEvent(),), "beside": (), "platform": Reactions(), "request": None,
            }
        )  # fmt: skip
        return Scenario(metadata=self.metadata, spec=spec, policy=policy)

    @property
    def horizon(self) -> Seconds:
        """Return how long after the traffic shift a run is watched."""
        truth = self.spec.truth
        if self.spec.lasts is not None:
            return Seconds(self.spec.lasts)
        return Seconds(max(one.after + LATE * one.within for one in truth.milestones))

    @property
    def risk(self) -> float:
        """Return the share of wrong verdicts that the policy accepts."""
        risk = self.policy.risk
        return risk.false_promotion if self.spec.truth.verdict is Verdict.ROLLBACK else risk.false_rollback

    @cached_property
    def service_faults(self) -> tuple[ServiceFault, ...]:
        """Return the faults that act on the service itself, in the order of the file."""
        return tuple(fault for fault in self.spec.faults if isinstance(fault, ServiceFault))

    @property
    def events(self) -> float:
        """Return how many SimPy events a run in request grain has at least, history included."""
        step = self.spec.scrape.every
        t = np.arange(-self.spec.history, self.horizon, step)
        return EVENTS * float(self.spec.traffic.at(t).sum()) * step

    def played(self, grain: Grain) -> Scenario:
        """Return the scenario as it is in that grain: the request grain may have faults of its own."""
        own = self.spec.request.faults if self.spec.request is not None else None
        changes: dict[str, Any] = {"grain": grain}
        if grain is Grain.REQUEST and own is not None:
            changes["faults"] = own
        beside = tuple(one.played(grain) for one in self.beside)
        return msgspec.structs.replace(self, spec=self.spec.model_copy(update=changes), beside=beside)
