"""Four releases guarded by the real daemon, over a simulated platform, with time sped up.

The daemon is guardian.app's own: HTTP on loopback, SQLite journal in a temporary folder; deploy events are posted to
it as a pipeline would. Only the world it acts on is simulated. It shows nothing: commands/demo.py does.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from guardian.app import Equipment, FastClock, configure_logs, serve
from guardian.app import Platform as Outside
from guardian.config.settings import Settings
from guardian.core.model import Instant, Phase, Place, Verdict
from guardian.core.rollout import Rollout
from guardian.errors import SimulationError
from guardian.ports import Clock, MetricSource, Target
from simulator.chance import Chance
from simulator.counted import Harm
from simulator.gates.walk import run_gate
from simulator.library import LIBRARY, find, load
from simulator.platform import Platform
from simulator.scenario import Scenario
from simulator.telemetry import Telemetry
from simulator.world import World

SPEED: Final = 25.0
"""Virtual seconds in a real one."""
SEED: Final = 1
LOOK: Final = 0.25
"""Seconds between two frames."""
PATIENCE: Final = 55.0
"""Seconds after which the demo gives up."""
EVENT: Final = "slo-guardian.deploy.requested.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the daemon's API says at one moment. at: virtual seconds since the events were posted."""

    at: float
    rollouts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of one release.

    evidence: a sentence per guardrail, as it stood at the verdict. unguarded: the same users, had the plan gone on by
    the clock.
    """

    scenario: Scenario
    phase: Phase
    right: bool
    explanation: Mapping[str, Any]
    evidence: tuple[str, ...]
    guarded: Harm
    unguarded: Harm


@dataclass(slots=True)
class Told:
    """What the daemon has said of one rollout so far."""

    phase: Phase = Phase.QUEUED
    held: bool = False
    ended: bool = False
    evidence: tuple[str, ...] = ()
    explanation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Cloud:
    """The simulated world of all services, behind the daemon's ports."""

    scenarios: Sequence[Scenario]
    clock: Clock
    worlds: dict[str, World] = field(init=False)
    platforms: dict[Place, Platform] = field(init=False)
    metrics: Telemetry = field(init=False)

    def __post_init__(self) -> None:
        """Build each service, its history already behind it."""
        self.worlds = {one.place.service: World(one, Chance(SEED)) for one in self.scenarios}
        self.platforms = {one.place: Platform(self.worlds[one.place.service], self.clock) for one in self.scenarios}
        self.metrics = Telemetry(self.worlds, self.clock)

    def equip(self, rollout: Rollout) -> Equipment:
        """Return what the rollout acts through."""
        acts = (self.platforms[rollout.place], Target(place=rollout.place, options={}))
        return Equipment(router=acts, workload=acts, inspection=acts, readiness=acts, probes=(acts,))

    def source(self, _: Place) -> MetricSource:
        """Return where any place is measured."""
        return self.metrics


def scenarios() -> tuple[Scenario, ...]:
    """Return the four releases of the demo."""
    return tuple(load(file) for file in find(str(LIBRARY / "demo")))


async def play(of: Sequence[Scenario], show: Callable[[Frame], None]) -> tuple[Ending, ...]:
    """Guard the releases from their events to their ends. Raises SimulationError when they do not end in time."""
    configure_logs("error")
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    with tempfile.TemporaryDirectory(prefix="guardian-demo-") as name:
        settings = _settings(Path(name), of)
        opening = World(of[0], Chance(SEED)).opening
        clock = FastClock(speed=SPEED, start=opening)
        cloud = Cloud(of, clock)
        outside = Outside(clock=clock, equip=cloud.equip, sources=cloud.source)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(settings, platform=outside, stop=stop, ready=address.set_result))
            try:
                told = await _watch(await address, of, clock, show)
            finally:
                stop.set()
    return tuple(_ending(one, cloud.worlds[one.place.service], told[one.place.service]) for one in of)


def _settings(folder: Path, of: Sequence[Scenario]) -> Settings:
    """Write the policies where the daemon reads them, and return its settings."""
    policies = folder / "policies"
    policies.mkdir()
    for file in find(str(LIBRARY / "demo")):
        policy = file.read_text(encoding="utf-8").partition("\n---\n")[2]
        (policies / file.name).write_text(policy, encoding="utf-8")
    places: dict[str, Any] = {one.place.environment: {} for one in of}
    return Settings.model_validate(
        {"data": folder / "data", "policies": policies, "listen": "127.0.0.1:0", "environments": places, "log": "error"}
    )


async def _watch(url: str, of: Sequence[Scenario], clock: Clock, show: Callable[[Frame], None]) -> dict[str, Told]:
    """Post the events, show how it goes until all have ended, and return what was told of each service."""
    async with httpx.AsyncClient(base_url=url, timeout=10.0) as client:
        began = clock.now()
        for one in of:
            answer = await client.post("/v1/events", json=_event(one))
            answer.raise_for_status()
        told = {one.place.service: Told() for one in of}
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(one.ended for one in told.values()):
                    rollouts = await _ask(client, "/v1/rollouts")
                    frame = {item["service"]: item for item in reversed(rollouts["items"])}
                    show(Frame(at=clock.now() - began, rollouts=frame))
                    for name, item in frame.items():
                        await _listen(client, told[name], item)
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise SimulationError(
                f"the releases did not end within {PATIENCE:g}s", remedy="try it on a machine that is less busy"
            ) from None
        return told


async def _ask(client: httpx.AsyncClient, path: str) -> Any:
    return (await client.get(path)).raise_for_status().json()


async def _listen(client: httpx.AsyncClient, told: Told, item: Mapping[str, Any]) -> None:
    """Keep what the daemon says of a rollout: that it holds, its evidence at the verdict, its end."""
    told.phase = Phase(item["phase"])
    told.held |= item["held"] is not None
    path = f"/v1/rollouts/{item['id']}/explanation"
    if item["verdict"] == Verdict.PROMOTE and not told.evidence and not told.phase.terminal:
        told.evidence = tuple(one["sentence"] for one in (await _ask(client, path))["guardrails"])
    if told.phase.terminal and not told.ended:
        told.explanation = await _ask(client, path)
        told.ended = True


def _event(scenario: Scenario) -> dict[str, Any]:
    """Return a deploy event as a pipeline would post it."""
    deploy, place = scenario.spec.deploy, scenario.place
    return {
        "specversion": "1.0",
        "id": f"demo-{place.service}",
        "source": "demo",
        "type": EVENT,
        "data": {
            "service": place.service,
            "environment": place.environment,
            "revision": deploy.revision,
            "previous": deploy.previous,
        },
    }


def _ending(scenario: Scenario, world: World, told: Told) -> Ending:
    truth = scenario.spec.truth
    wanted = Phase.ROLLED_BACK if truth.verdict is Verdict.ROLLBACK else Phase.VERIFIED
    shift = world.opening if world.shift is None else world.shift
    world.advance(Instant(shift + scenario.horizon))
    return Ending(
        scenario=scenario,
        phase=told.phase,
        right=told.phase is wanted and (told.held or not truth.expect),
        explanation=told.explanation,
        evidence=told.evidence,
        guarded=world.harm,
        unguarded=run_gate(scenario, SEED, None).harm,
    )
