"""Effects in flight when something else is wanted: what takes their place is carried out, whatever adapters do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from guardian.adapters.routers.memory import MemoryRouter
from guardian.core.effects import SetWeight
from guardian.core.engine import Engine
from guardian.core.facts import EffectDone, EffectFailed
from guardian.core.fleet import Fleet
from guardian.core.model import EffectId, Instant, RolloutId, Weight
from guardian.core.policies import Policies
from guardian.core.rollout import PendingEffect, Rollout
from guardian.errors import Unavailable
from guardian.ports import Target
from guardian.runtime.dispatch import Dispatcher
from guardian.runtime.equipment import Equipment
from guardian.runtime.telemetry import Telemetry
from tests.builders import PLACE, T0, policy, requested


def weight(number: int, share: float) -> SetWeight:
    """Return an effect that sets this share."""
    return SetWeight(id=EffectId(f"x/weight-{number}"), place=PLACE, weight=Weight(share))


class SlowRouter(MemoryRouter):
    """Takes its time over weights above 0; `stubborn`: reports being cut short as a failure of its own."""

    def __init__(self, *, seconds: float, stubborn: bool = False) -> None:
        super().__init__()
        self._seconds, self._stubborn = seconds, stubborn
        self.busy = asyncio.Event()

    async def set_weight(self, target: Target, weight: Weight) -> None:
        if weight > 0.0:
            self.busy.set()
            try:
                await asyncio.sleep(self._seconds)
            except asyncio.CancelledError:
                if self._stubborn:
                    raise Unavailable("the connection was lost", remedy="try again") from None
                raise
        await super().set_weight(target, weight)


class Yard:
    """A dispatcher over one rollout whose wanted effects a test sets."""

    def __init__(self, router: MemoryRouter) -> None:
        engine = Engine(policies=Policies([policy()]), fleet=Fleet())
        engine.receive(requested(), T0)
        (self.rollout,) = engine.world.rollouts.values()
        self.router = router
        self.ended: list[EffectDone | EffectFailed] = []
        self.dispatcher = Dispatcher(
            equip=lambda _: Equipment(router=(router, Target(place=PLACE, options={}))),
            known=self._known,
            give=self.ended.append,
            telemetry=Telemetry(),
        )

    def _known(self, _: RolloutId) -> Rollout:
        return self.rollout

    def want(self, effect: SetWeight) -> None:
        """From here on only this effect is wanted."""
        pending = PendingEffect(effect=effect, since=Instant(T0))
        self.rollout = replace(self.rollout, effects=(pending,))
        self.dispatcher.dispatch(self.rollout.id, effect)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Yard]:
        """Run the dispatcher."""
        task = asyncio.create_task(self.dispatcher.run())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()

    async def has_done(self, effect: SetWeight) -> None:
        """Return when the effect is done."""
        async with asyncio.timeout(10.0):
            while not any(isinstance(one, EffectDone) and one.effect == effect.id for one in self.ended):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_what_takes_the_place_of_a_hanging_effect_is_done_however_often_it_changes(*, stubborn: bool) -> None:
    """Two decisions in a row, each making the one before unwanted, must not lose the rollback that comes last."""
    async with Yard(SlowRouter(seconds=3600.0, stubborn=stubborn)).running() as yard:
        yard.want(weight(1, 0.1))
        assert isinstance(yard.router, SlowRouter)
        for number in range(2, 8, 2):
            await yard.router.busy.wait()
            yard.router.busy.clear()
            yard.want(weight(number, 0.5))
            yard.want(weight(number + 1, 0.6))
        await yard.router.busy.wait()
        back = weight(9, 0.0)
        yard.want(back)
        await yard.has_done(back)
        assert yard.router.weights.get(PLACE, 0.0) == 0.0


async def test_a_weight_on_its_way_lands_before_the_one_that_takes_it_back() -> None:
    """Cut off while the router has the call, it could land after the rollback had found the weight to be 0."""
    async with Yard(SlowRouter(seconds=0.05)).running() as yard:
        first, back = weight(1, 0.1), weight(2, 0.0)
        yard.want(first)
        assert isinstance(yard.router, SlowRouter)
        await yard.router.busy.wait()
        yard.want(back)
        await yard.has_done(back)
        assert [one.effect for one in yard.ended] == [first.id, back.id]
        assert yard.router.weights[PLACE] == 0.0
