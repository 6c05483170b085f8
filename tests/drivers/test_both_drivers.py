"""SimPy in virtual time and asyncio in sped-up time drive the same engine to the same effects.

What was simulated is what runs: the drivers may differ in milliseconds, never in what they order.
"""

from __future__ import annotations

import asyncio
import io
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from guardian.adapters.journal.memory import MemoryJournal
from guardian.core.effects import Effect
from guardian.core.facts import DeployRequested
from guardian.core.model import EventRef, Instant, Phase, Place
from guardian.core.policies import Policies
from guardian.core.records import EffectOrdered, Record
from guardian.core.rollout import Rollout
from guardian.core.world import World as Fold
from guardian.ports import MetricSource, Target
from guardian.runtime.clock import FastClock
from guardian.runtime.daemon import Daemon, Limits, Outside
from guardian.runtime.equipment import Equipment
from guardian.runtime.logs import DecisionLog
from guardian.runtime.telemetry import Telemetry as Counters
from guardian.wire.entry import decode_entry
from simulator.chance import Chance
from simulator.platform import Platform
from simulator.run import Simulation
from simulator.scenario import Scenario
from simulator.telemetry import Telemetry
from simulator.world import World
from tests.simulator.worlds import SERVICE, scenario

SPEED = 60.0
PATIENCE = 60.0
PLAYED_OUT: dict[str, Any] = {"truth": {"verdict": "hold"}, "lasts": "12m", "history": "35m"}
"""Watched to the end, not only to the verdict: what is stopped and drained belongs to the effects."""


def _orders(records: list[Record]) -> list[tuple[str, str]]:
    """Return the effects ordered, without their times: kind and what it carries."""
    return [_told(record.effect) for record in records if isinstance(record, EffectOrdered)]


def _told(effect: Effect) -> tuple[str, str]:
    carried = msgspec.to_builtins(effect)
    return type(effect).__name__, str(carried.get("weight", carried.get("revision", "")))


def _in_virtual_time(script: Scenario, seed: int) -> list[Record]:
    simulation = Simulation(script, seed)
    simulation.play()
    return simulation.driver.journal


async def _in_sped_up_time(script: Scenario, seed: int) -> list[Record]:
    """Play the same script in the real daemon until its rollout is over."""
    world = World(script, Chance(seed))
    clock = FastClock(speed=SPEED, start=world.opening)
    platform, metrics, journal = Platform(world, clock), Telemetry({"checkout": world}, clock), MemoryJournal()

    def equip(rollout: Rollout) -> Equipment:
        target = Target(place=rollout.place, options={})
        acts = (platform, target)
        return Equipment(router=acts, workload=acts, inspection=acts, readiness=acts, probes=(acts,))

    def sources(_: Place) -> MetricSource:
        return metrics

    log = DecisionLog(io.BytesIO(), level="info")
    outside = Outside(clock=clock, journal=journal, log=log, equip=equip, sources=sources)
    daemon = Daemon(outside=outside, policies=Policies([script.policy]), limits=Limits(), telemetry=Counters())
    running = asyncio.create_task(daemon.run())
    try:
        await daemon.recovered.wait()
        await daemon.inbox.put([_request(script, seed, world.opening)])
        async with asyncio.timeout(PATIENCE):
            while not _over(daemon):  # noqa: ASYNC110  the daemon has no such event, and no user needs one
                await asyncio.sleep(0.02)
    finally:
        await daemon.stop()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    return [record for row in journal.read() for record in decode_entry(row.body, seq=row.seq).records]


def _request(script: Scenario, seed: int, now: Instant) -> DeployRequested:
    deploy = script.spec.deploy
    return DeployRequested(
        event=EventRef(source="simulator", id=f"{script.name}/{seed}"),
        time=now,
        place=script.place,
        revision=deploy.revision,
        previous=deploy.previous,
    )


def _over(daemon: Daemon) -> bool:
    rollouts = daemon.engine.world.rollouts.values()
    return bool(rollouts) and all(one.phase.terminal and not one.effects for one in rollouts)


@pytest.mark.parametrize(
    "script",
    [
        scenario(
            **PLAYED_OUT,
            name="broken",
            traffic={"kind": "steady", "rate": 1000},
            faults=[{"kind": "error_step", "at": "30s", "share": "10%"}],
        ),
        scenario(
            **PLAYED_OUT,
            name="broken-later",
            traffic={"kind": "steady", "rate": 1000},
            service={**SERVICE, "pods": {"stable": 6, "canary": 3}},
            faults=[{"kind": "error_step", "at": "6m", "share": "20%"}],
        ),
    ],
    ids=lambda script: script.name,
)
async def test_the_same_script_leads_to_the_same_effects(script: Scenario) -> None:
    """Canary up, weights up as the plan says, and down again when it breaks: in the same order, none twice."""
    virtual = _in_virtual_time(script, 1)
    real = await _in_sped_up_time(script, 1)
    assert _orders(real) == _orders(virtual)
    assert _orders(virtual)[:3] == [("Preflight", "1.1.0"), ("StartCanary", "1.1.0"), ("SetWeight", "0.1")]
    assert ("SetWeight", "0.0") in _orders(virtual)


async def test_both_journals_fold_to_the_same_end() -> None:
    """Phase, step, weight and cause are those of the records, whoever delivered the facts."""
    script = scenario(
        **PLAYED_OUT,
        traffic={"kind": "steady", "rate": 1000},
        faults=[{"kind": "error_step", "share": "10%"}],
    )
    ends = []
    for records in (_in_virtual_time(script, 2), await _in_sped_up_time(script, 2)):
        fold = Fold()
        for record in records:
            fold.apply(record)
        (rollout,) = fold.rollouts.values()
        ends.append((rollout.phase, rollout.step, rollout.desired, rollout.cause.why if rollout.cause else None))
    assert ends[0] == ends[1]
    assert ends[0][0] is Phase.ROLLED_BACK
