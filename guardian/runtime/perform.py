"""One effect carried out through a rollout's equipment. Absolute: what is in place already is only read back."""

from __future__ import annotations

from typing import Final, NoReturn

from guardian.core.effects import Effect, MakeStable, Preflight, SetWeight, StartCanary
from guardian.core.facts import EffectDone
from guardian.core.model import RolloutId, Weight
from guardian.errors import Refused
from guardian.ports import Router, Target, Workload
from guardian.runtime.equipment import Equipment

_SAME: Final = 0.0005
"""Weights closer than this are the same; routers round to 1/256 or to percents, and the core judges by its own."""


async def perform(rollout: RolloutId, effect: Effect, equipment: Equipment) -> EffectDone:
    """Carry the effect out and return what was read back. Raises AdapterError."""
    accepted, stable = None, None
    if isinstance(effect, Preflight):
        if equipment.inspection is not None:
            inspection, target = equipment.inspection
            await inspection.check(target, effect.revision)
            stable = await inspection.stable_revision(target)
        if equipment.router is not None:
            router, target = equipment.router
            accepted = await router.accepted_weight(target)
    elif isinstance(effect, SetWeight):
        accepted = await _set_weight(effect.weight, *(equipment.router or _absent("router", rollout)))
    else:
        await _change(effect, equipment, *(equipment.workload or _absent("workload", rollout)))
    return EffectDone(rollout=rollout, effect=effect.id, accepted=accepted, stable=stable)


async def _set_weight(weight: Weight, router: Router, target: Target) -> Weight:
    accepted = await router.accepted_weight(target)
    if abs(accepted - weight) <= _SAME:
        return accepted
    await router.set_weight(target, weight)
    return await router.accepted_weight(target)


async def _change(effect: Effect, equipment: Equipment, workload: Workload, target: Target) -> None:
    if isinstance(effect, StartCanary):
        await workload.start_canary(target, effect.revision)
        for probe, place in equipment.probes:
            await probe.probe(place, effect.revision)
    elif isinstance(effect, MakeStable):
        await workload.make_stable(target, effect.revision)
    else:
        await workload.stop_canary(target)


def _absent(port: str, rollout: RolloutId) -> NoReturn:
    raise Refused(
        f"the policy of {rollout} names no {port}", where="policy", remedy=f"add spec.{port} for the next rollout"
    )
