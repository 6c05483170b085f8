"""The dependencies of a service, connected as its scenario says, and what an outage does to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from simpy import Environment

from simulator.faults import Outage
from simulator.request.draws import keys, times, uniforms
from simulator.request.language import Capacity, Requests
from simulator.request.server import Called, Line
from simulator.topology import Slots


class Mesh:
    """All dependencies, by name. luck: draws from [0, 1) for whoever needs one."""

    def __init__(self, environment: Environment, section: Requests, chance: Generator) -> None:
        self.luck = uniforms(chance)
        self._section = section
        self.servers = {
            one.name: Called(environment, one, work=times(chance, one.median, one.sigma), luck=self.luck)
            for one in section.dependencies
        }
        cached = [call for one in (section, *section.dependencies) for call in one.calls]
        self._keys = {call: keys(chance, call.cache) for call in cached if call.cache is not None}
        for one in section.dependencies:
            self.servers[one.name].lines = self.lines(one)

    def lines(self, caller: Capacity) -> list[Line]:
        """Return the calls of one caller, with caches of its own."""
        return [
            Line(to=self.servers[call.to], patience=call, luck=self.luck, key=self._keys.get(call))
            for call in caller.calls
        ]

    def suffer(self, outages: Sequence[Outage], slots: Slots, t: float) -> None:
        """Have every dependency behave as at `t` seconds after the shift."""
        for one in self._section.dependencies:
            errors, slow = np.full(len(slots.fresh), one.errors), np.ones(len(slots.fresh))
            for outage in outages:
                if outage.of == one.name and outage.runs(np.array(t)):
                    hit = outage.hits(slots)
                    errors[hit] = 1 - (1 - errors[hit]) * (1 - outage.share)
                    slow[hit] *= outage.slow
            self.servers[one.name].errors, self.servers[one.name].slow = errors.tolist(), slow.tolist()
