"""The weights that users meet, looked at from outside the product: HAProxy asked every few milliseconds.

Each look reads all servers in one answer, and each look counts: nothing is smoothed. A change that is shorter than the
time between two looks is not seen here; wire.py sees every one that the guardian makes, and `unexplained` compares
the two. While HAProxy does not answer nothing is recorded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.testing.haproxy import HaProxy
from tests.e2e.wire import Weights, share_of

EVERY = 0.04
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """From `at` (unix seconds) on, the servers had these weights."""

    at: float
    weights: Weights


class WeightTape:
    """Records one proxy from `start` to `stop`."""

    def __init__(self, proxy: HaProxy) -> None:
        self._proxy = proxy
        self._seen: list[Seen] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weight-tape", daemon=True)

    @property
    def states(self) -> list[Weights]:
        """Every change of weights that was seen, the first reading included."""
        return [one.weights for one in self._seen]

    @property
    def shares(self) -> list[float]:
        """The shares in their order, each change once."""
        shares = [share_of(weights) for weights in self.states]
        return [share for before, share in zip([None, *shares], shares, strict=False) if share != before]

    def when(self, share: float, *, after: float = 0.0) -> float | None:
        """Unix time at which this share was first seen at or after `after`; None when it was not."""
        return next((one.at for one in self._seen if one.at >= after and share_of(one.weights) == share), None)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY):
            try:
                weights = self._proxy.weights()
            except (OSError, ValueError):
                continue  # it is away, or was stopped in the middle of its answer
            if weights and (not self._seen or self._seen[-1].weights != weights):
                self._seen.append(Seen(at=time.time(), weights=weights))


def unexplained(seen: Sequence[Weights], written: Iterable[Weights]) -> Weights | None:
    """Return the first weights seen that were not written then; None when what was seen is what was written.

    seen may lack states, for they may be short, but has no other ones and none twice.
    """
    rest = iter(written)
    return next((weights for weights in seen if all(state != weights for state in rest)), None)
