"""Which world a scenario is played in: that of its grain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guardian.core.model import Instant
from simulator.calls import Calls
from simulator.chance import Chance
from simulator.request.language import Grain
from simulator.request.world import RequestWorld
from simulator.scenario import Scenario
from simulator.world import EPOCH, World

_APART: Final = 1_000_003
"""Between the seeds of services of one run: no two of them meet the same noise."""


def world_of(scenario: Scenario, chance: Chance, *, start: Instant = EPOCH, calls: Sequence[Calls] = ()) -> World:
    """Return the world of one run, its history behind it. Both grains answer the same questions in the same units."""
    kind = RequestWorld if scenario.spec.grain is Grain.REQUEST else World
    return kind(scenario, chance, start=start, calls=calls)


def worlds_of(scenario: Scenario, seed: int) -> dict[str, World]:
    """Return the worlds of all services of one run, by the service's name; the scenario's own comes first."""
    own = world_of(scenario, Chance(seed))
    worlds = {scenario.place.service: own}
    for number, one in enumerate(scenario.beside, start=1):
        call = scenario.spec.beside[number - 1].calls
        calls = (Calls(call=call, callee=own),) if call is not None else ()
        worlds[one.place.service] = world_of(one, Chance(seed + number * _APART), calls=calls)
    return worlds
