"""One service as users meet it: stable pods and a canary as real processes, HAProxy before them, open-loop load.

Everything is real; only the errors and the latencies of the pods are ordered. What is recorded: the weight,
all the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from simulator.testing.haproxy import HaProxy, running_haproxy
from simulator.testing.history import PodHistory, Series, pod_history
from simulator.testing.load import LoadPlan, LoadProcess, running_load
from simulator.testing.pods.behaviour import Behaviour, Identity, Latency
from simulator.testing.pods.pod import HttpPod, running_pod
from simulator.testing.run import ServiceRun
from tests.e2e.tape import WeightTape
from tests.e2e.wire import Wire

BASE_ERRORS = 0.005
NORMAL = Behaviour(error_ratio=BASE_ERRORS, latency=Latency(median=0.02, sigma=0.25))
TEN_TIMES = Behaviour(error_ratio=10 * BASE_ERRORS, latency=NORMAL.latency)
INCIDENT = Behaviour(error_ratio=0.12, latency=NORMAL.latency)
SLOW = Behaviour(error_ratio=BASE_ERRORS, latency=Latency(median=1.0, sigma=0.25))
HISTORY = 2400.0
"""Seconds of stable history: 40 minutes."""
BUCKETS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """service: its name. rate: requests per second. environment: where it is deployed (guardian.yaml)."""

    service: str
    rate: float = 200.0
    environment: str = "streamed"
    stable: int = 3
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running service. `load` is None until it was started."""

    plan: SitePlan
    stable: tuple[HttpPod, ...]
    canary: HttpPod
    proxy: HaProxy
    tape: WeightTape
    wire: Wire
    _run: ServiceRun
    _stack: ExitStack
    _load: list[LoadProcess] = field(default_factory=list)

    @property
    def service(self) -> str:
        return self.plan.service

    @property
    def targets(self) -> list[str]:
        """What Prometheus scrapes."""
        return [pod.address for pod in (*self.stable, self.canary)]

    @property
    def servers(self) -> list[str]:
        """Names of the stable servers in HAProxy."""
        return [f"stable{number}" for number in range(len(self.stable))]

    def behave(self, behaviour: Behaviour) -> None:
        """Have every pod of both tracks behave like this from now on.

        The canary is told last where things get worse and first where they get better: it never is the worse one.
        """
        worse = behaviour.error_ratio > BASE_ERRORS
        for pod in (*self.stable, self.canary) if worse else (self.canary, *self.stable):
            pod.behave(behaviour)

    def start_load(self, *, duration: float = 3600.0) -> LoadProcess:
        """Send requests from now on, until the duration is over or the site ends."""
        plan = LoadPlan(
            url=self.proxy.url, rate=self.plan.rate, duration=duration, poisson=True, seed=self.plan.seed, timeout=2.0
        )
        self._load.append(self._stack.enter_context(running_load(self._run, plan)))
        return self._load[-1]

    def history(self, end: float) -> list[Series]:
        """What Prometheus would have scraped of the stable pods in the 40 minutes before `end`."""
        return [
            one
            for number, pod in enumerate(self.stable)
            for one in pod_history(
                PodHistory(
                    identity=pod.identity,
                    instance=pod.address,
                    rate=self.plan.rate / len(self.stable),
                    behaviour=NORMAL,
                ),
                end=end,
                seconds=HISTORY,
                seed=100 * self.plan.seed + number,
                buckets=BUCKETS,
            )
        ]


@contextmanager
def running_site(run: ServiceRun, plan: SitePlan) -> Iterator[Site]:
    """The service with all its traffic on stable, until the block ends. No load yet."""
    with ExitStack() as stack:
        pods = {
            track: tuple(
                stack.enter_context(
                    running_pod(
                        run,
                        Identity(service=plan.service, track=track, pod=f"{plan.service}-{track}-{number}"),
                        behaviour=NORMAL,
                        seed=1000 * plan.seed + 10 * number + (track == "canary"),
                        buckets=BUCKETS,
                    )
                )
                for number in range(count)
            )
            for track, count in (("stable", plan.stable), ("canary", 1))
        }
        servers = {f"stable{number}": pod.address for number, pod in enumerate(pods["stable"])}
        servers["canary"] = pods["canary"][0].address
        weights = dict.fromkeys(servers, 256) | {"canary": 0}
        proxy = stack.enter_context(running_haproxy(run, servers, weights=weights, backend=plan.service))
        tape, wire = WeightTape(proxy), Wire(proxy)
        for recorder in (tape, wire):
            recorder.start()
            stack.callback(recorder.stop)
        yield Site(
            plan=plan,
            stable=pods["stable"],
            canary=pods["canary"][0],
            proxy=proxy,
            tape=tape,
            wire=wire,
            _run=run,
            _stack=stack,
        )
