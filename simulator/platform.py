"""The simulated platform of one service: router, workload, inspection and probe at once.

Does what it is told after some time, over a lag, and maybe not exactly: the weight that is served follows the
weight that was accepted. Waits on the Clock port only, so it runs in virtual time and in the real daemon
alike.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort

from guardian.core.model import Instant, Revision, Share, Track, Weight
from guardian.errors import Refused, Unavailable
from guardian.ports import Clock, Target
from simulator.topology import NEVER
from simulator.trouble import RouterDown, RouterSlow, WeightReset
from simulator.world import World


class Platform:
    """What moves one service's traffic and pods (Router, Workload, Inspection, Readiness, Probe)."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world, self._clock = world, clock
        self._reactions = world.spec.platform
        self._troubles = [fault for fault in world.spec.faults if isinstance(fault, RouterSlow | RouterDown)]
        self._resets = [fault for fault in world.spec.faults if isinstance(fault, WeightReset)]
        self._accepted = [(Instant(-math.inf), Weight(0.0))]
        self._moved = Instant(world.start)
        self._stable: Revision = world.spec.deploy.previous
        self._canary: Revision | None = None
        self._ending = NEVER

    async def set_weight(self, target: Target, weight: Weight) -> None:  # noqa: ARG002 - one platform, one service
        """Accept the weight; traffic follows after the lag. Raises Refused without a canary to send it to."""
        await self._router()
        now = self._clock.now()
        if weight == self._weight(now):
            return
        if weight > 0 and self._canary is None:
            raise Refused("no canary is running", where="simulated router", remedy="start the canary first")
        self._world.advance(now)
        began = self._world.shift is None
        self._moved = self._take(weight, now)
        for reset in self._resets if began else ():
            self._take(Weight(reset.weight), Instant(self._moved + reset.at))

    def _take(self, weight: Weight, at: Instant) -> Instant:
        """Have the router accept a weight at a time; return from when on it serves it."""
        insort(self._accepted, (at, weight), key=_when)
        follows = Instant(at + self._reactions.weight_lag)
        self._world.serve(self._reactions.served(weight), follows)
        return follows

    def _weight(self, now: Instant) -> Weight:
        return self._accepted[bisect_right(self._accepted, now, key=_when) - 1][1]

    async def accepted_weight(self, target: Target) -> Weight:  # noqa: ARG002
        """Return the configuration read back."""
        await self._router()
        return self._weight(self._clock.now())

    async def observed_share(self, target: Target) -> Share | None:  # noqa: ARG002
        """Return what the canary served since the weight moved."""
        self._world.advance(self._clock.now())
        return self._world.observed_share(self._moved)

    async def start_canary(self, target: Target, revision: Revision) -> None:  # noqa: ARG002
        """Bring the canary up; it is ready when this returns."""
        if self._canary == revision:
            return
        self._refuse_unknown(revision)
        await self._become_ready()
        self._world.start_canary(self._clock.now(), revision)
        self._canary = revision

    async def make_stable(self, target: Target, revision: Revision) -> None:  # noqa: ARG002
        """Replace stable's pods by ones of this revision."""
        if self._stable == revision:
            return
        self._refuse_unknown(revision)
        await self._become_ready()
        self._world.hand_over(self._clock.now())
        self._stable = revision

    async def stop_canary(self, target: Target) -> None:  # noqa: ARG002
        """Scale the canary down."""
        await self._answer()
        if self._canary is not None:
            self._ending = min(self._ending, Instant(self._clock.now() + self._reactions.stops))
            await self._clock.sleep_until(self._ending)  # who asks again finds the pods about to end
            self._world.stop_canary(self._clock.now())
        self._canary, self._ending = None, NEVER

    async def ready(self, target: Target, track: Track) -> int:  # noqa: ARG002
        """Return how many pods of a track can serve."""
        now = self._clock.now()
        self._world.advance(now)
        return self._world.ready_pods(track, now)

    async def stable_revision(self, target: Target) -> Revision | None:  # noqa: ARG002
        """Return what stable runs; None when the service has no stable pods."""
        await self._answer()
        return self._stable if self._world.spec.service.pods.stable else None

    async def check(self, target: Target, revision: Revision) -> None:  # noqa: ARG002
        """Raise Refused for a revision that the simulated world does not have."""
        await self._answer()
        self._refuse_unknown(revision)

    async def probe(self, target: Target, revision: Revision) -> None:  # noqa: ARG002
        """Pass: simulated pods are ready when they were started."""
        await self._answer()
        self._refuse_unknown(revision)

    async def _router(self) -> None:
        """Wait for the router. Raises Unavailable while it is down."""
        began = self._clock.now()
        on = [one for one in self._troubles if self._world.shift is not None and one.is_on(began - self._world.shift)]
        slow = (one.answers for one in on if isinstance(one, RouterSlow))
        await self._clock.sleep_until(Instant(began + max(slow, default=self._reactions.answers)))
        if any(isinstance(one, RouterDown) for one in on):
            raise Unavailable("connection refused", where="simulated router", remedy="see whether it runs")

    async def _answer(self) -> None:
        await self._clock.sleep_until(Instant(self._clock.now() + self._reactions.answers))

    async def _become_ready(self) -> None:
        await self._clock.sleep_until(Instant(self._clock.now() + self._reactions.ready))

    def _refuse_unknown(self, revision: Revision) -> None:
        deploy = self._world.spec.deploy
        if revision not in {deploy.previous, deploy.revision}:
            raise Refused(
                f"revision '{revision}' is not in the registry",
                where=f"simulated service '{self._world.spec.service.name}'",
                remedy=f"it has {deploy.previous} and {deploy.revision}",
            )


def _when(order: tuple[Instant, Weight]) -> Instant:
    return order[0]
