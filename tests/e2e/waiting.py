"""Waiting for a fact of the outside, with a deadline and a text that says what was missing.

Deadlines are for what never comes: they are long, so that a slow machine meets them, and cost nothing when it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL = 0.05
"""Seconds between two looks."""
PATIENCE = 300.0
"""Seconds; the longest of these waits takes about 40 s on an idle machine with two cores."""


def until(
    look: Callable[[], T | None], *, what: str | Callable[[], str], deadline: float = PATIENCE, every: float = POLL
) -> T:
    """Return the first true value of `look`; AssertionError naming `what` and the last value after the deadline (s)."""
    limit = time.monotonic() + deadline
    while not (found := look()):
        if time.monotonic() > limit:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {deadline:g} s: {told}; last seen: {found!r}")
        time.sleep(every)
    return found
