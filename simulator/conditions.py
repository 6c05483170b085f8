"""What holds for each pod over a stretch of time: the values that faults bend and counts are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.topology import Flags, Slots
from simulator.traffic import Floats


@dataclass(slots=True, kw_only=True)
class Conditions:
    """Arrays of one shape (..., pods); a fault changes them in place.

    t: seconds since the traffic shift, in the middle of the stretch. slots: the pods. rate: requests/s of the
    whole service. share: of traffic that the router gives to the canary. errors: chance that a request fails.
    slow: factor on latencies. tail: share of requests in the slow tail. ready: whether a pod can serve; where no pod of
    a track can, its requests are answered by nobody. wrong, levels: by metric, the chance that an attempt goes wrong,
    and what a gauge shows.
    """

    t: Floats
    slots: Slots
    rate: Floats
    share: Floats
    errors: Floats
    slow: Floats
    tail: Floats
    ready: Flags
    wrong: dict[str, Floats]
    levels: dict[str, Floats]
