"""Somebody else who carries a rollout out: a flag service, another tool. It listens to what the guardian decides.

Gives the canary its weight when it began, and takes it away when the guardian says that it goes back.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from simpy import Environment, Event

from guardian.core import records as r
from guardian.core.model import Instant, Phase, Weight
from guardian.core.records import Record
from simulator.scenario import Scenario
from simulator.world import World

_BACK = frozenset({Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED})


class Outsider:
    """Moves the traffic of one service; `world` is that service's."""

    def __init__(self, scenario: Scenario, world: World, environment: Environment) -> None:
        self._world, self._environment = world, environment
        self._reactions = scenario.spec.platform
        weight = scenario.spec.deploy.weight or 0.0
        began = Instant(world.opening + min(event.at for event in scenario.spec.deploys))
        world.start_canary(began)
        world.serve(self._reactions.served(Weight(weight)), Instant(began + self._reactions.weight_lag))

    def hear(self, record: Record) -> None:
        """Act on a decision about this service."""
        if isinstance(record, r.Ended) and record.phase in _BACK:
            self._environment.process(self._take_back())

    def _take_back(self) -> Generator[Event, Any, None]:
        yield self._environment.timeout(self._reactions.answers)
        follows = Instant(self._environment.now + self._reactions.weight_lag)
        self._world.advance(Instant(self._environment.now))
        self._world.serve(Weight(0.0), follows)
        self._world.stop_canary(follows)
