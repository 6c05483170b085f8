"""A scenario's service as real HTTP processes with /metrics, behaving as the scenario says, in real time.

For trying a real Prometheus, a real proxy and the real daemon against an incident. It sends no traffic and
moves none between the tracks: that is a proxy's part. Messages to the guardian (alerts, repeated events) are
not sent either.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import numpy as np

from guardian.core.model import Track
from simulator.chance import Chance
from simulator.faults import CounterReset, CrashLoop, MetricsGap
from simulator.scenario import Scenario
from simulator.service import Latency as LatencyModel
from simulator.testing.pods.pod import Behaviour, HttpPod, Identity, Latency, running_pod
from simulator.testing.run import ServiceRun
from simulator.topology import lay_out
from simulator.world import EPOCH, World

FOLLOW: Final = 1.0
"""Seconds between two changes of behaviour."""


class LiveService:
    """The running pods of both tracks; `follow` has them behave as at some second of the scenario."""

    def __init__(self, scenario: Scenario, pods: tuple[HttpPod, ...], *, seed: int) -> None:
        self.scenario, self.pods = scenario, pods
        self._world = World(scenario, Chance(seed))
        self._behaviours: list[Behaviour | None] = [None] * len(pods)
        self._last = -math.inf

    def targets(self, track: Track) -> tuple[str, ...]:
        """Return the addresses of one track, as Prometheus and proxies write them."""
        return tuple(pod.address for pod in self.pods if pod.identity.track == track.value)

    def follow(self, t: float) -> None:
        """Have every pod behave as `t` seconds after the traffic shift (negative: before); restart what restarts."""
        for fault in self.scenario.spec.faults:
            if not isinstance(fault, CounterReset | CrashLoop):
                continue
            if any(self._last < fall <= t for fall in fault.falls(t)):
                fallen = fault.hits(self._world.topology.slots.first(len(self.pods)))
                for slot in np.flatnonzero(fallen).tolist():
                    self.pods[slot].restart()
                    self._behaviours[slot] = None
        for slot, behaviour in enumerate(self.behaviours(t)):
            if behaviour != self._behaviours[slot]:
                self.pods[slot].behave(behaviour)
                self._behaviours[slot] = behaviour
        self._last = t

    def behaviours(self, t: float) -> tuple[Behaviour, ...]:
        """Return how each pod behaves `t` seconds after the traffic shift."""
        world, slots = self._world, self._world.topology.slots
        times = np.full(len(slots.fresh), t)
        held = world.conditions(times, at=world.opening)
        errors = np.where(held.ready, np.clip(held.errors * world.temper.errors, 0, 1), 1.0)
        slow = held.slow * world.temper.slow
        gaps = [fault for fault in self.scenario.spec.faults if isinstance(fault, MetricsGap | CrashLoop)]
        dark = np.any([gap.loses(times, slots) for gap in gaps], axis=0) if gaps else np.zeros(len(times), np.bool_)
        model = self.scenario.spec.service.latency
        return tuple(
            Behaviour(
                error_ratio=round(float(errors[slot]), 6),
                latency=as_served(model, slow=float(slow[slot]), tail=float(held.tail[slot])),
                metrics=not dark[slot],
            )
            for slot in range(len(self.pods))
        )

    def play(self, *, until: float, before: float = 0.0) -> None:
        """Follow the scenario in real time: from `before` seconds ahead of the shift to `until` seconds after it."""
        shift = time.monotonic() + before
        while (t := time.monotonic() - shift) < until:
            self.follow(t)
            time.sleep(max(0.0, min(FOLLOW, until - t)))


def as_served(latency: LatencyModel, *, slow: float, tail: float) -> Latency:
    """Return the one log-normal with the same mean and variance of the logarithm as the body's humps, and the tail."""
    means = np.array([math.log(mode.median) for mode in latency.body])
    shares = np.array([mode.share for mode in latency.body])
    spreads = np.array([mode.sigma for mode in latency.body])
    mean = float(shares @ means)
    variance = float(shares @ (spreads**2 + (means - mean) ** 2))
    median = math.exp(mean)
    return Latency(
        median=round(median * slow, 6),
        sigma=round(math.sqrt(variance), 6),
        tail_share=round(tail, 6),
        tail_factor=round(latency.tail.median / median, 6),
    )


@contextmanager
def serving(scenario: Scenario, *, seed: int = 1, run: ServiceRun) -> Iterator[LiveService]:
    """Start every pod of all tracks on loopback, behaving as long before the shift; stop them with the block."""
    scenario = scenario.drawn(seed)
    service, deploy = scenario.spec.service, scenario.spec.deploy
    topology = lay_out(service, old=deploy.previous, new=deploy.revision, since=EPOCH)
    groups = (topology.stable, topology.canary, topology.control)
    slots = [(group, topology.homes[slot]) for group in groups for slot in range(group.slots.start, group.slots.stop)]
    with ExitStack() as stack:
        pods = tuple(
            stack.enter_context(
                running_pod(
                    run,
                    Identity(
                        service=service.name,
                        track=group.track.value,
                        zone=home.name,
                        pod=f"{group.track.value}-{number}",
                        version=group.revision,
                    ),
                    seed=seed * 1000 + number,
                    buckets=service.latency.bounds,
                )
            )
            for number, (group, home) in enumerate(slots)
        )
        live = LiveService(scenario, pods, seed=seed)
        live.follow(-1.0)
        yield live
