"""The real daemon over memory adapters, with time sped up: a service whose traffic follows the router's weight."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from guardian.adapters.events.memory import MemorySink, MemorySource
from guardian.adapters.metrics.memory import MemorySource as MemoryMetrics
from guardian.adapters.routers.memory import MemoryRouter
from guardian.adapters.workloads.memory import MemoryWorkload
from guardian.core.model import Instant, Phase, Place, Revision, RolloutId, Seconds, Weight
from guardian.core.policies import Policies
from guardian.core.policy import Adapter, Compare, Guardrail, Margin, Match, Policy, RatioSli, Risk
from guardian.core.rollout import Rollout
from guardian.ports import Clock, Journal, MetricSource, Received, Router, Target
from guardian.runtime.clock import FastClock
from guardian.runtime.daemon import Daemon, Limits, Outside
from guardian.runtime.equipment import Equipment
from guardian.runtime.intake import fallback_of
from guardian.runtime.logs import DecisionLog
from guardian.runtime.outbox import Outlet, outlet_of
from guardian.runtime.steady import SteadyClock
from guardian.runtime.taping import Recording
from guardian.runtime.telemetry import Telemetry
from guardian.wire import Decoded, decode_event, read_headers
from tests.builders import PLACE, T0, policy, steps

SPEED = 100.0
TICK = 5.0
"""Virtual seconds between two samples."""
HISTORY = 900.0
RATE = 200.0
"""Requests per virtual second of the whole service."""
STABLE = Revision("2.0.3")
MARGINS = Compare(rollback=Margin(relative=1.05, absolute=0.00005), promote=Margin(relative=3.0, absolute=0.01))
ERRORS = Guardrail(
    name="errors",
    sli=RatioSli(bad='http_requests_total{status="500"}', total="http_requests_total"),
    compare=MARGINS,
    min_requests=200,
)


def quick(**changes: object) -> Policy:
    """Return a policy whose rollout takes about four virtual minutes."""
    return policy(
        *steps((0.1, 40.0), (0.5, 40.0), (1.0, 40.0)),
        guardrails=(ERRORS,),
        risk=Risk(earliest_promotion=Seconds(60.0)),
        interval=Seconds(5.0),
        history=Seconds(HISTORY),
        hold_back=Seconds(60.0),
        workload=Adapter(kind="memory"),
        **changes,
    )


class LoggedRouter(MemoryRouter):
    """Remembers every weight that was set, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Weight] = []

    async def set_weight(self, target: Target, weight: Weight) -> None:
        self.history.append(weight)
        await super().set_weight(target, weight)


class Service:
    """A service under traffic: counters of three stable pods and one canary pod, split by the router's weight."""

    def __init__(self, *, clock: Clock, router: MemoryRouter, place: Place = PLACE, bad: float = 0.005) -> None:
        self.metrics = MemoryMetrics()
        self.bad = bad
        """Error share of the canary; stable's is always 0.5 %."""
        self.memory = self.orders = 1.0
        """How many times the memory, and the orders per good answer, the canary has."""
        self._clock, self._router, self._place = clock, router, place
        self._chance = np.random.default_rng(7)
        self._counters: dict[tuple[str, str, str], float] = {}
        self._at = T0 - HISTORY
        while self._at < T0:
            self._tick()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._clock.sleep_until(Instant(self._at + TICK))
            self._tick()

    def _tick(self) -> None:
        self._at += TICK
        weight = self._router.weights.get(self._place, 0.0)
        for pod in range(3):
            self._serve("stable", f"stable-{pod}", RATE * (1.0 - weight) / 3.0, 0.005)
        if weight > 0.0 or ("canary", "canary-0", "200") in self._counters:
            self._serve("canary", "canary-0", RATE * weight, self.bad)

    def _serve(self, track: str, pod: str, rate: float, bad: float) -> None:
        total = self._chance.poisson(rate * TICK)
        failed = self._chance.binomial(total, bad)
        memory, orders = (self.memory, self.orders) if track == "canary" else (1.0, 1.0)
        who = {"service": self._place.service, "track": track, "pod": pod}
        for status, count in (("200", total - failed), ("500", failed)):
            self._count((track, pod, status), count, {"__name__": "http_requests_total", **who, "status": status})
        sold = self._chance.poisson(0.1 * orders * (total - failed))
        self._count((track, pod, "sold"), sold, {"__name__": "orders_total", **who})
        level = memory * self._chance.normal(1e9, 2e7)
        self.metrics.add({"__name__": "memory_bytes", **who}, Instant(self._at), level)

    def _count(self, key: tuple[str, str, str], count: float, labels: dict[str, str]) -> None:
        self._counters[key] = self._counters.get(key, 0.0) + count
        self.metrics.add(labels, Instant(self._at), self._counters[key])


@dataclass(kw_only=True)
class Stage:
    """Everything outside the daemon; it lasts over restarts."""

    journal: Journal
    policies: Sequence[Policy] = field(default_factory=lambda: (quick(),))
    clock: FastClock | SteadyClock = field(default_factory=lambda: FastClock(speed=SPEED, start=T0))
    router: LoggedRouter = field(default_factory=LoggedRouter)
    workload: MemoryWorkload = field(default_factory=lambda: MemoryWorkload({PLACE: STABLE}))
    events: MemorySource = field(default_factory=MemorySource)
    sink: MemorySink = field(default_factory=MemorySink)
    equip: Callable[[Rollout], Equipment] | None = None
    sources: Callable[[Place], MetricSource | None] | None = None
    outlets: Sequence[Outlet] | None = None
    room: int = 20_000
    recording: Recording | None = None
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.service = Service(clock=self.clock, router=self.router)

    def ports(self, rollout: Rollout, *, router: Router | None = None) -> Equipment:
        """Return the ports in memory, or others in their place."""
        target = Target(place=rollout.place, options={})
        return Equipment(
            router=(router or self.router, target),
            workload=(self.workload, target),
            inspection=(self.workload, target),
        )

    def outside(self) -> Outside:
        """Return what a daemon over this stage is connected to."""
        return Outside(
            clock=self.clock,
            journal=self.journal,
            log=DecisionLog(io.BytesIO(), level="info"),
            equip=self.equip or self.ports,
            sources=self.sources or (lambda _: self.service.metrics),
            events=self.events,
            decode=self._decode,
            outlets=self.outlets if self.outlets is not None else [outlet_of("sink", self.sink)],
            recording=self.recording,
        )

    def daemon(self) -> Daemon:
        """Return a daemon over this stage, not yet running."""
        return Daemon(
            outside=self.outside(),
            policies=Policies(self.policies),
            limits=Limits(room=self.room),
            telemetry=Telemetry(),
        )

    def _decode(self, message: Received, now: Instant) -> Decoded:
        headers = read_headers(message.headers)
        return decode_event(message.body, headers, received=now, fallback=fallback_of(message))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        """Run a daemon and the service; at the end both are cut off, as by a crash."""
        daemon = self.daemon()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(daemon.run()), tasks.create_task(self.service.run())]
            await daemon.recovered.wait()
            try:
                yield daemon
            finally:
                for task in running:
                    task.cancel()

    def deploy(self, revision: str = "2.1.0", **data: object) -> None:
        """Send a deploy event by the broker."""
        told = {"service": PLACE.service, "environment": PLACE.environment, "revision": revision, **data}
        self.events.put(
            json.dumps(
                {
                    "specversion": "1.0",
                    "id": revision,
                    "source": "ci/shop",
                    "type": "slo-guardian.deploy.requested.v1",
                    "data": told,
                }
            ).encode()
        )


async def until(true: Callable[[], object], *, within: float = 30.0) -> None:
    """Return when it is true; fail after so many real seconds."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110  other tasks make it true
            await asyncio.sleep(0.01)


def only(daemon: Daemon) -> Rollout:
    """Return the only rollout there is."""
    (rollout,) = daemon.engine.world.rollouts.values()
    return rollout


def phase(daemon: Daemon, rollout: RolloutId | None = None) -> Phase | None:
    """Return the phase of the newest rollout, or of this one; None when there is none."""
    rollouts = daemon.engine.world.rollouts
    if not rollouts:
        return None
    return rollouts[rollout or next(reversed(rollouts))].phase


def other(service: str, base: Policy) -> Policy:
    """Return the same policy for another service."""
    return replace(base, name=service, match=Match(service=service, environment="production"))
