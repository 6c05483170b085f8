"""The weight that users meet, recorded all the time from outside the product: HAProxy asked every few milliseconds.

Only changes are kept, each once two looks agree: HAProxy sets the servers of one command one after the other. It judges
nothing; while HAProxy does not answer nothing is recorded.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from simulator.testing.haproxy import HaProxy

EVERY = 0.02
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From `at` (unix seconds) on, `share` of the requests were meant for the canary."""

    at: float
    share: float


class WeightTape:
    """Records one proxy from `start` to `stop`."""

    def __init__(self, proxy: HaProxy) -> None:
        self._proxy = proxy
        self._changes: list[Change] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weight-tape", daemon=True)

    @property
    def changes(self) -> list[Change]:
        """Every change so far, the first reading included."""
        return list(self._changes)

    @property
    def shares(self) -> list[float]:
        """The shares in their order, rounded to a tenth of a percent."""
        return [round(change.share, 3) for change in self._changes]

    @property
    def share(self) -> float | None:
        """The newest share; None before the first reading."""
        return self._changes[-1].share if self._changes else None

    def when(self, share: float, *, after: float = 0.0) -> float | None:
        """Unix time of the first change to this share at or after `after`; None when there was none."""
        found = (one.at for one in self._changes if one.at >= after and abs(one.share - share) < 0.001)
        return next(found, None)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        last = -1.0
        while not self._stopped.wait(EVERY):
            try:
                weights = self._proxy.weights()
            except OSError:
                continue
            whole = sum(weights.values())
            share = weights["canary"] / whole if whole else 0.0
            settled, last = abs(last - share) < 1e-6, share  # one server's weight is set a moment before the other's
            if settled and (not self._changes or abs(self._changes[-1].share - share) > 1e-6):
                self._changes.append(Change(at=time.time(), share=share))
