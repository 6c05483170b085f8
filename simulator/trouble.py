"""What goes wrong with what the guardian acts through: routers that are slow, do not answer, or forget their weight.

Times are seconds after the traffic shift; none of it is there before. The platform asks (platform.py).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.units import FOREVER, Duration, Moment, Part, Portion


class _Lasting(Part):
    """Trouble that begins and may end."""

    at: Moment = 0.0
    lasts: Duration = FOREVER

    def is_on(self, t: float) -> bool:
        """t: seconds after the shift. Whether it is there."""
        return self.at <= t < self.at + self.lasts


class RouterSlow(_Lasting):
    """The router takes `answers` for whatever it is asked or told; who does not wait so long has told it nothing."""

    kind: Literal["router_slow"]
    answers: Annotated[Duration, Field(gt=0)]


class RouterDown(_Lasting):
    """The router cannot be reached by who sets it; it goes on serving the weight that it has."""

    kind: Literal["router_down"]


class WeightReset(Part):
    """Somebody else or a reload gives the router another weight; it says so when it is asked."""

    kind: Literal["weight_reset"]
    at: Moment
    weight: Portion


RouterTrouble = RouterSlow | RouterDown | WeightReset
