"""Waiting for a fact of the outside, with a deadline and a text that says what was missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL = 0.05
"""Seconds between two looks."""


def until(look: Callable[[], T], *, what: str, deadline: float, every: float = POLL) -> T:
    """Return the first true value of `look`; AssertionError naming `what` and the last value after the deadline (s)."""
    limit = time.monotonic() + deadline
    while not (found := look()):
        if time.monotonic() > limit:
            raise AssertionError(f"not within {deadline:g} s: {what}; last seen: {found!r}")
        time.sleep(every)
    return found
