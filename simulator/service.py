"""How a service answers: share of failed requests and distribution of latencies, pod by pod.

Equal pods differ lastingly and errors cluster: production data shows both (data of equal pods: sd of log
latency 0.105 between pods). What a fault changes is in faults.py; counts are drawn in world.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, model_validator
from scipy.special import ndtr

from guardian.config.fields import Name
from guardian.config.findings import complaint
from simulator.meters import Attempt, Gauge
from simulator.traffic import Floats, Noise
from simulator.units import Duration, Factor, Part, Portion, Spread

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets in seconds, the default of Prometheus' client libraries; +Inf follows."""
TOTAL: Final = "http_requests_total"
BUCKET: Final = "http_request_duration_seconds_bucket"
ZONE: Final = "zone"
"""Label of the metrics of a service that has zones."""


class Mode(Part):
    """One hump of a latency distribution: log-normal."""

    share: Portion = 1.0
    median: Duration
    sigma: Spread


class Errors(Part):
    """Requests that fail. spread: between equal pods, lasting. noise: per pod. bursts: of all at once."""

    share: Portion
    spread: Spread = 0.0
    noise: Noise = Noise()
    bursts: Noise = Noise()


class Latency(Part):
    """Latencies: humps whose shares sum to 1; `tail.share` of all requests fall into the tail instead.

    spread: sd of log latency between equal pods, lasting. noise: per pod, over time. common: of all pods at
    once.
    """

    body: tuple[Mode, ...]
    tail: Mode
    spread: Spread = 0.0
    noise: Noise = Noise()
    common: Noise = Noise()
    bounds: tuple[float, ...] = BOUNDS

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if abs(sum(mode.share for mode in self.body) - 1.0) > 1e-9:
            raise ValueError("the shares of `body` must sum to 100 %")
        if not self.bounds or list(self.bounds) != sorted(set(self.bounds)) or self.bounds[0] <= 0:
            raise ValueError("`bounds` must rise and be more than 0")
        return self

    @cached_property
    def _log_bounds(self) -> Floats:
        logs: Floats = np.log(np.array(self.bounds))
        return logs

    def shares(self, slow: Floats, tail: Floats) -> Floats:
        """Return the probability of each bucket.

        slow: factor on every latency. tail: share of requests in the tail, 0..1. Both of one shape s.
        Returns shape (*s, buckets + 1), +Inf last, sums to 1 along the last axis.
        """
        reach = self._log_bounds - np.log(slow)[..., None]
        body = sum(mode.share * ndtr((reach - math.log(mode.median)) / mode.sigma) for mode in self.body)
        late = ndtr((reach - math.log(self.tail.median)) / self.tail.sigma)
        below = body + tail[..., None] * (late - body)
        edges = np.zeros((*slow.shape, len(self.bounds) + 2))
        edges[..., 1:-1] = below
        edges[..., -1] = 1.0
        return np.maximum(np.diff(edges, axis=-1), 0.0)


class Pods(Part):
    """How many pods each track has, and by how much their loads differ lastingly (sd of the logarithm).

    control: of the old revision, begun and ended with the canary; each gets as much as a canary pod.
    """

    stable: Annotated[int, Field(ge=0, le=1000)] = 5
    canary: Annotated[int, Field(ge=1, le=1000)] = 1
    control: Annotated[int, Field(ge=0, le=1000)] = 0
    spread: Spread = 0.0


class Zone(Part):
    """A part of the pods whose metrics carry its name as the label ZONE, and what is different there for all of them.

    stable, canary, control: how many pods of each track. load: how much each of them gets, beside one of another zone.
    errors, slow: factors on failures and latencies.
    """

    name: Name
    stable: Annotated[int, Field(ge=0, le=1000)] = 0
    canary: Annotated[int, Field(ge=0, le=1000)] = 0
    control: Annotated[int, Field(ge=0, le=1000)] = 0
    load: Factor = 1.0
    errors: Factor = 1.0
    slow: Factor = 1.0


class Service(Part):
    """One service as users and scrapers meet it; zones: where its pods are, none if that makes no difference."""

    name: str = "checkout"
    environment: str = "production"
    pods: Pods = Pods()
    zones: tuple[Zone, ...] = ()
    errors: Errors
    latency: Latency
    attempts: tuple[Attempt, ...] = ()
    gauges: tuple[Gauge, ...] = ()

    @model_validator(mode="after")
    def _each_metric_once(self) -> Self:
        seen = {TOTAL, BUCKET}
        written = [(("attempts", number), one.metric) for number, one in enumerate(self.attempts)]
        written += [(("gauges", number), one.metric) for number, one in enumerate(self.gauges)]
        for path, metric in written:
            if metric in seen:
                what = f"the metric '{metric}' is there already"
                raise complaint(what, "give it another name", at=(*path, "metric"))
            seen.add(metric)
        return self

    @model_validator(mode="after")
    def _every_pod_is_somewhere(self) -> Self:
        names = [zone.name for zone in self.zones]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise complaint(f"two zones are named '{name}'", "name each once", at=("zones", number, "name"))
        for track in ("stable", "canary", "control"):
            here, said = (sum(getattr(one, track) for one in group) for group in (self.places, (self.pods,)))
            if here != said:
                what = f"the zones have {here} pods of {track}, `pods` says {said}"
                raise complaint(what, f"write `pods: {{{track}: {here}}}`, or change the zones", at=("zones",))
        return self

    @property
    def places(self) -> tuple[Zone, ...]:
        """Return the zones; where there are none, one without a name that holds all pods."""
        everywhere = {track: getattr(self.pods, track) for track in ("stable", "canary", "control")}
        return self.zones or (Zone.model_construct(name="", **everywhere),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """What each pod was born with: factors on errors, latencies and its share of load; shape (pods,)."""

    errors: Floats
    slow: Floats
    load: Floats


def temper(service: Service, pods: int, chance: Generator) -> Temper:
    """Draw the lasting differences of `pods` pods, each factor with mean 1."""

    def factors(spread: float) -> Floats:
        return np.exp(spread * chance.standard_normal(pods) - spread**2 / 2)

    return Temper(
        errors=factors(service.errors.spread),
        slow=factors(service.latency.spread),
        load=factors(service.pods.spread),
    )
