"""Services whose users stick to a track: they arrive, make more or fewer requests for a while, and differ in luck.

Every request is drawn by itself: whose it is, when, by which pod it is served and whether it fails. So nothing of what
the product assumes of users (a design effect) is built in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.detection.streams import TENTH, Curve, Floats, Situation, Streams
from guardian.core.model import Ratio, Seconds
from guardian.core.policy import Affinity


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Users of one service.

    rps: requests a second on both tracks. requests: that a user makes in a session, on average. session: seconds they
    lie in, evenly; so long a user stays on its track. variation: sd of what users make over its mean, log-normal.
    base: share of requests that fail. correlation: intraclass correlation of failure within a user, beta-binomial.
    broken: share of users whose account, client or bot fails always, beside. effect: times as many of the canary's
    requests fail. pinned: whether a user stays with one pod, too. weight: of time, in seconds after the first canary
    traffic; the share of users who begin a session then and are given to the canary.
    """

    rps: float = 200.0
    requests: float = 30.0
    session: float = 600.0
    variation: float = 2.0
    base: float = 0.005
    correlation: float = 0.1
    broken: float = 0.0
    effect: float = 1.0
    pinned: bool = False
    canary_pods: int = 2
    stable_pods: int = 6
    weight: Curve = TENTH
    history: float = 1800.0
    length: float = 1800.0

    @property
    def situation(self) -> Situation:
        """Pods and times."""
        return Situation(
            canary_pods=self.canary_pods, stable_pods=self.stable_pods, history=self.history, length=self.length
        )  # fmt: skip

    @property
    def alike(self) -> float:
        """Intraclass correlation of failure on stable, those who fail always among them."""
        share = self.base + self.broken * (1.0 - self.base)
        squares = self.base**2 + self.correlation * self.base * (1.0 - self.base)
        squares += self.broken * (1.0 - squares)
        return (squares - share**2) / (share * (1.0 - share))

    @property
    def affinity(self) -> Affinity:
        """What a policy says that knows these users."""
        session = Seconds(self.session)
        return Affinity(
            requests=self.requests, session=session, visit=session, variation=self.variation,
            correlation=Ratio(self.alike),
        )  # fmt: skip


def generate(crowd: Crowd, *, runs: int, seed: int) -> Streams:
    """Draw runs of a crowd."""
    rng, situation = np.random.default_rng(seed), crowd.situation
    drawn = [_run(crowd, situation, rng) for _ in range(runs)]
    requests, bad = (np.stack(each) for each in zip(*drawn, strict=True))
    present = np.ones(requests.shape, dtype=np.bool_)
    present &= ~(situation.canary[None, None, :] & (situation.times <= 0)[None, :, None])
    return Streams(situation=situation, requests=requests, bad=bad, buckets=None, present=present)


def _run(crowd: Crowd, situation: Situation, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Requests and bad ones (ticks, pods) of one run."""
    first, last = -situation.history - crowd.session, situation.length
    users = rng.poisson(crowd.rps / crowd.requests * (last - first))
    begin = rng.uniform(first, last, users)
    canary = (begin > 0) & (rng.random(users) < crowd.weight(begin))
    count = rng.poisson(crowd.requests * _lognormal(rng, crowd.variation, users))
    share = np.minimum(_luck(crowd, rng, users) * np.where(canary, crowd.effect, 1.0), 1.0)
    share[rng.random(users) < crowd.broken] = 1.0
    pods = np.where(canary, crowd.canary_pods, crowd.stable_pods)
    home = np.where(canary, 0, crowd.canary_pods) + rng.integers(0, pods)
    owner = np.repeat(np.arange(users), count)
    time = begin[owner] + crowd.session * rng.random(len(owner))
    tick = np.floor((time + situation.history) / situation.tick).astype(np.int64)
    seen = (tick >= 0) & (tick < len(situation.times))
    owner, tick = owner[seen], tick[seen]
    pod = home[owner]
    if not crowd.pinned:
        pod = np.where(canary, 0, crowd.canary_pods)[owner] + rng.integers(0, pods[owner])
    shape = (len(situation.times), len(situation.canary))
    place = tick * shape[1] + pod
    failed = rng.random(len(owner)) < share[owner]
    size = shape[0] * shape[1]
    return (
        np.bincount(place, minlength=size).reshape(shape).astype(np.float64),
        np.bincount(place[failed], minlength=size).reshape(shape).astype(np.float64),
    )


def _lognormal(rng: np.random.Generator, variation: float, count: int) -> Floats:
    """Numbers of mean 1 whose sd is `variation`."""
    square = np.log1p(variation**2)
    return np.asarray(np.exp(np.sqrt(square) * rng.standard_normal(count) - square / 2.0))


def _luck(crowd: Crowd, rng: np.random.Generator, count: int) -> Floats:
    """Share of its requests that fails, of each user, were it on stable."""
    if crowd.correlation == 0.0:
        return np.full(count, crowd.base)
    size = 1.0 / crowd.correlation - 1.0
    return np.asarray(rng.beta(crowd.base * size, (1.0 - crowd.base) * size, count))
