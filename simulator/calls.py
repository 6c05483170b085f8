"""A service that calls another one of the same file: the callee's failures show at the caller, track by track.

No call graph of requests (that is the request grain's): chances to fail are put together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.conditions import Conditions
from simulator.units import Part, Portion

if TYPE_CHECKING:
    from simulator.world import World


class Call(Part):
    """Requests that lead to one of the scenario's service. share: of all requests.

    keeps_track: the caller's canary asks the callee's canary, as where a header says which version a request began
    with; otherwise either track asks the callee by its weights.
    """

    share: Portion
    keeps_track: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """A call, and the world of the service that is called."""

    call: Call
    callee: World

    def bend(self, conditions: Conditions, *, zero: float, at: float) -> None:
        """Have the requests fail whose call fails.

        zero: when `conditions.t` is 0, unix seconds. at: time by which the callee's weight is taken.
        """
        stable, canary = self.callee.failing(conditions.t[..., 0] + zero, at=at)
        weight = float(self.callee.weight(at))
        stable, canary = (canary if weight >= 1.0 else stable), (canary if weight > 0.0 else stable)
        if not self.call.keeps_track:
            stable = canary = weight * canary + (1.0 - weight) * stable
        fails = np.where(conditions.slots.fresh, canary[..., None], stable[..., None])
        conditions.errors = 1.0 - (1.0 - conditions.errors) * (1.0 - self.call.share * fails)
