"""How a pod behaves: share of errors, latency, health. Said at its start, changed over POST /control.

It draws nothing itself, apart from `Latency.draw`, which is given its random generator.
"""

from __future__ import annotations

import random

import msgspec


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log-normal service time with an optional slow tail.

    median: seconds. sigma: standard deviation of the logarithm; 0 makes each answer take exactly `median`.
    tail_share of the answers (0..1) take `tail_factor` times as long.
    """

    median: float = 0.005
    sigma: float = 0.0
    tail_share: float = 0.0
    tail_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.median < 0 or self.sigma < 0 or self.tail_factor <= 0 or not 0 <= self.tail_share <= 1:
            raise ValueError(f"impossible latency {self}: median, sigma >= 0, tail_factor > 0, 0 <= tail_share <= 1")

    def draw(self, chance: random.Random) -> float:
        """One service time in seconds."""
        seconds = self.median * (chance.lognormvariate(0.0, self.sigma) if self.sigma else 1.0)
        if self.tail_share and chance.random() < self.tail_share:
            seconds *= self.tail_factor
        return seconds


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the pod does with a request from now on.

    error_ratio: share of requests to `/` answered 500, 0..1. queue: what the gauge queue_length shows. healthy,
    ready: /health and /ready answer 200 or 503. metrics: /metrics answers, or 503 (a gap for Prometheus). hang:
    requests to `/` get no answer at all.
    """

    error_ratio: float = 0.0
    latency: Latency = Latency()
    healthy: bool = True
    ready: bool = True
    metrics: bool = True
    hang: bool = False
    queue: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.error_ratio <= 1:
            raise ValueError(f"error_ratio {self.error_ratio} is not a share: allowed is 0..1")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the pod is: the labels of its metrics (no zone: without that label), and its version."""

    service: str = "checkout"
    track: str = "stable"
    pod: str = "pod-0"
    zone: str = ""
    version: str = "1.0.0"


class PodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a pod's process is told at its start. buckets: upper bounds of the histogram in seconds."""

    port: int
    identity: Identity
    behaviour: Behaviour
    buckets: tuple[float, ...]
    seed: int
