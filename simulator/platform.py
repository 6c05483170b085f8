"""The simulated platform of one service: router, workload, inspection and probe at once.

Does what it is told after some time, over a lag, and maybe not exactly: the weight that is served follows the
weight that was accepted. Waits on the Clock port only, so it runs in virtual time and in the real daemon
alike.
"""

from __future__ import annotations

from guardian.core.model import Instant, Revision, Share, Weight
from guardian.errors import Refused
from guardian.ports import Clock, Target
from simulator.world import World


class Platform:
    """What moves one service's traffic and pods (Router, Workload, Inspection, Probe of guardian.ports)."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world, self._clock = world, clock
        self._reactions = world.spec.platform
        self._accepted = Weight(0.0)
        self._moved = Instant(world.start)
        self._stable: Revision = world.spec.deploy.previous
        self._canary: Revision | None = None

    async def set_weight(self, target: Target, weight: Weight) -> None:  # noqa: ARG002 - one platform, one service
        """Accept the weight; traffic follows after the lag. Raises Refused without a canary to send it to."""
        await self._answer()
        if weight == self._accepted:
            return
        if weight > 0 and self._canary is None:
            raise Refused("no canary is running", where="simulated router", remedy="start the canary first")
        self._accepted = weight
        self._moved = Instant(self._clock.now() + self._reactions.weight_lag)
        self._world.advance(self._clock.now())
        self._world.serve(Weight(min(1.0, weight * self._reactions.serves)), self._moved)

    async def accepted_weight(self, target: Target) -> Weight:  # noqa: ARG002
        """Return the configuration read back."""
        await self._answer()
        return self._accepted

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
        self._world.start_canary(self._clock.now())
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
            self._world.stop_canary(self._clock.now())
        self._canary = None

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
