"""Parts of tapes made by hand, for what keeps them."""

from __future__ import annotations

import numpy as np

from guardian.core.looks import Observed
from guardian.core.model import Instant
from guardian.core.tape import Entry, Given, Header, Part, Start
from tests.builders import PLACE, T0


def part(*entries: Entry, number: int = 0, began: float = T0, service: str = PLACE.service, size: int = 0) -> Part:
    """Return a part of 30 s; size: samples that do not compress, 24 bytes each."""
    chance = np.random.default_rng(number)
    noise = Observed(series=np.arange(size), time=chance.uniform(size=size), value=chance.uniform(size=size))
    header = Header(
        service=service, environment=PLACE.environment, cast=(service,), run="1", number=number, began=Instant(began),
        ended=Instant(began + 30.0), last=False, start=Start(),
    )  # fmt: skip
    return Part(header=header, entries=(*entries, Given(at=Instant(began), fact=noise)) if size else entries)
