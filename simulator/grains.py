"""Which world a scenario is played in: that of its grain."""

from __future__ import annotations

from guardian.core.model import Instant
from simulator.chance import Chance
from simulator.request.language import Grain
from simulator.request.world import RequestWorld
from simulator.scenario import Scenario
from simulator.world import EPOCH, World


def world_of(scenario: Scenario, chance: Chance, *, start: Instant = EPOCH) -> World:
    """Return the world of one run, its history behind it. Both grains answer the same questions in the same units."""
    kind = RequestWorld if scenario.spec.grain is Grain.REQUEST else World
    return kind(scenario, chance, start=start)
