"""Two rollouts that overlap, with real evidence: counters of two services, one of which calls the other.

Requests follow their version: the canary of `checkout` calls the canary of `payment`, so a bad `payment` shows on one
track of both. There is no call graph in the simulator; here it is one line (`failures`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from guardian.core import records as r
from guardian.core.engine import Engine
from guardian.core.facts import Woke
from guardian.core.fleet import Fleet
from guardian.core.looks import Floats, Observed, Part, SeriesKey
from guardian.core.model import Instant, Phase, RolloutId, Track
from guardian.core.policies import Policies
from guardian.core.policy import Policy
from guardian.core.rollout import Rollout
from guardian.core.world import fold
from tests.builders import T0
from tests.core.test_attribution import Shop as Scripted
from tests.core.test_attribution import deploy, newest, of

PODS = {Track.CANARY: 2, Track.STABLE: 4}
RATE, BASE, HISTORY = 200.0, 0.005, 1800
Share = Callable[["Streams", str, Track], float]


class Streams(Scripted):
    """Counters instead of looks: every 10 s each pod of each open rollout has a row."""

    def attach(self, policies: tuple[Policy, ...], failures: Share, seed: int) -> Streams:
        """Put real evidence in the place of the script."""
        fleet = Fleet()
        self.engine = Engine(policies=Policies(policies), fleet=fleet)
        self._failures, self._random = failures, np.random.default_rng(seed)
        self._sums: dict[tuple[RolloutId, Track, int], Floats] = {}
        return self

    def weight(self, service: str) -> float:
        """The share of traffic that the canary of a service has."""
        return next((float(each) for place, each in self.routers.items() if place.service == service), 0.0)

    def until(self, at: float) -> Streams:
        """Let time pass in ticks of 10 s; each is measured, then looked at."""
        while self.now + 10.0 <= T0 + at:
            self.now = Instant(self.now + 10.0)
            for name in list(self.engine._next_look):
                self._measure(self.engine.world.rollouts[name], self.now)
            self.tell(Woke())
        return self

    def deploy(self, service: str, **changes: object) -> None:
        """Deploy, and give the evidence half an hour of stable history."""
        self.tell(deploy(service, at=self.now - T0, identity=str(self.now), **changes))
        rollout = newest(self, service)
        for at in range(int(self.now) - HISTORY, int(self.now) + 1, 10):
            self._measure(rollout, Instant(float(at)), tracks=(Track.STABLE,))

    def _measure(self, rollout: Rollout, at: Instant, *, tracks: tuple[Track, ...] = tuple(Track)) -> None:
        service, series, value = rollout.place.service, [], []
        weight = self.weight(service)
        for track in tracks:
            part = weight if track is Track.CANARY else 1.0 - weight
            share = self._failures(self, service, track) if at > T0 else BASE
            for pod in range(PODS[track] if part > 0 else 0):
                asked = self._random.poisson(RATE * 10.0 * part / PODS[track])
                sums = self._sums.setdefault((rollout.id, track, pod), np.zeros(2))
                sums += (asked, self._random.binomial(asked, share))
                for kind, number in zip((Part.TOTAL, Part.BAD), sums, strict=True):
                    key = SeriesKey(rollout=rollout.id, guardrail="errors", track=track, pod=f"p{pod}", part=kind)
                    series.append(self.engine.series(key))
                    value.append(number)
        time = np.full(len(series), float(at))
        self.tell(Observed(series=np.array(series, dtype=np.int64), time=time, value=np.array(value)))


def played(failures: Share, *, seed: int, lasts: float, after: float = 300.0) -> Streams:
    """Checkout goes out, payment after it; `failures` says how often each track of each fails."""
    policies = of("payment"), of("checkout", "payment")
    story = Streams(policies=policies).attach(policies, failures, seed)
    story.deploy("checkout")
    story.until(after)
    story.deploy("payment")
    return story.until(lasts)


def bad_payment(story: Streams, service: str, track: Track) -> float:
    """Payment's canary fails, and checkout's canary with it as long as payment's has traffic."""
    return 0.05 if track is Track.CANARY and story.weight("payment") > 0 else BASE


def bad_both(story: Streams, service: str, track: Track) -> float:
    """Payment's canary fails, and checkout's, for a reason of its own, from the same moment on, for ever."""
    began = any(rollout.place.service == "payment" for rollout in story.engine.world.rollouts.values())
    return 0.05 if track is Track.CANARY and began else BASE


@pytest.mark.parametrize("seed", range(6))
def test_a_dependent_that_suffers_from_its_dependency_is_not_rolled_back(seed: int) -> None:
    """Payment goes back; checkout is at most held meanwhile, and takes its next step afterwards."""
    story = played(bad_payment, seed=seed, lasts=2400.0)
    assert newest(story, "payment").phase is Phase.ROLLED_BACK
    checkout = newest(story, "checkout")
    assert checkout.phase in (Phase.PROGRESSING, Phase.BAKING, Phase.VERIFIED)
    assert checkout.step >= 1


@pytest.mark.parametrize("seed", range(4))
def test_a_guilty_dependent_goes_back_soon_after_its_dependency(seed: int) -> None:
    """Ticks after payment is restored speak against checkout alone."""
    story = played(bad_both, seed=seed, lasts=300.0 + 400.0)
    payment, checkout = newest(story, "payment"), newest(story, "checkout")
    assert payment.phase is Phase.ROLLED_BACK
    assert checkout.phase is Phase.ROLLED_BACK
    assert 0.0 < checkout.ended_at - payment.ended_at < 200.0  # type: ignore[operator]


def test_without_the_dependency_named_the_innocent_would_have_gone_back() -> None:
    """The counterpart: the same streams, and nobody to blame but checkout itself."""
    policies = of("payment"), of("checkout")
    back = 0
    for seed in range(6):
        story = Streams(policies=policies).attach(policies, bad_payment, seed)
        story.deploy("checkout")
        story.until(300.0)
        story.deploy("payment")
        story.until(600.0)
        back += newest(story, "checkout").phase is Phase.ROLLED_BACK
    assert back >= 3


def test_the_journal_of_two_overlapping_rollouts_folds_to_the_same_world() -> None:
    """Whom a rollout blames is part of the fold."""
    story = played(bad_payment, seed=0, lasts=500.0)
    assert fold(story.records) == story.engine.world
    assert (
        any(isinstance(record, r.Held) and record.cause for record in story.records)
        or not newest(story, "checkout").blamed
    )
