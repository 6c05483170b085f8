"""Random numbers of a simulated run: one seed, an independent stream for each purpose and each round.

A stream is found by its purpose and round alone, never by what was drawn before. So two runs of one seed that
differ only in what the guardian did meet the same users, the same pods and the same incidents (common random
numbers).
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.random import Generator, Philox, SeedSequence


class Purpose(Enum):
    """What random numbers are for; the value is part of the stream's key and never changes."""

    TRAFFIC = 1
    ERRORS = 2
    LATENCY = 3
    PODS = 4
    SCRAPES = 5
    PLATFORM = 6
    EVENTS = 7
    NOISE = 8
    METERS = 9
    ATTEMPTS = 10
    PARAMETERS = 11
    DELIVERY = 12
    BOTS = 13
    ARRIVALS = 20
    CAUSES = 21
    LOOPS = 22


SET_UP: Final = 0
"""Round of draws made once, before the first scrape."""


class Chance:
    """All random streams of one seed.

    Source: Philox is a counter-based generator (Salmon, Moraes, Dror, Shaw 2011), so a round's stream is
    reached by setting the counter instead of drawing up to it.
    """

    def __init__(self, seed: int) -> None:
        """seed: any integer >= 0; the same seed gives the same numbers on every machine."""
        self.seed = seed
        self._streams: dict[Purpose, tuple[Philox, Generator, Any]] = {}

    def at(self, purpose: Purpose, round_: int = SET_UP) -> Generator:
        """Return the stream of this purpose and round, from its beginning; its last one is spent."""
        if purpose not in self._streams:
            key = SeedSequence([self.seed, purpose.value]).generate_state(2, np.uint64)
            bits = Philox(key=key)
            self._streams[purpose] = (bits, Generator(bits), bits.state)
        bits, generator, state = self._streams[purpose]
        state["state"]["counter"][2] = round_  # two words below it: 2**128 draws before streams could meet
        bits.state = state
        return generator
