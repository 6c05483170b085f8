"""One bad pod: of the canary it is named and holds, of stable it neither promotes nor hides that it is one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.core import records as r
from guardian.core.attribution import ALONE
from guardian.core.fleet import Fleet
from guardian.core.gates import missing
from guardian.core.holds import innocent
from guardian.core.looks import Breach, Look, Observed, OnePod, Part, SeriesKey
from guardian.core.model import Instant, Phase, RolloutId, Seconds, Track
from guardian.core.policy import Attribution, Policy
from tests.builders import ERRORS, LATENCY, OBJECTIVE, T0, policy, requested, seen
from tests.core.play import Play

R = RolloutId("r")
POLICY = replace(policy(), guardrails=(ERRORS,))
AT_ONCE = replace(POLICY, risk=replace(POLICY.risk, earliest_promotion=Seconds(0.0)))
BEGIN, BASE = 180, 0.005
Share = Callable[[Track, int, int], float]
"""How often a pod fails: its track, its number, and ticks since the canary's first users."""


def fed(
    share: Share, *, ticks: int, canaries: int = 4, stable: int = 6, seed: int = 1, under: Policy = POLICY
) -> tuple[Fleet, list[Look]]:
    """Every look at a rollout whose pods fail so often; half an hour of history before it."""
    random, fleet, looks = np.random.default_rng(seed), Fleet(), []
    fleet.open(R, under)
    pods = [(Track.CANARY, number) for number in range(canaries)] + [(Track.STABLE, number) for number in range(stable)]
    sums = np.zeros((len(pods), 2))
    for tick in range(1, BEGIN + ticks + 1):
        rows = [row for row, (track, _) in enumerate(pods) if track is Track.STABLE or tick >= BEGIN]
        series = []
        for row in rows:
            track, number = pods[row]
            asked = random.poisson(300.0)
            sums[row] += (asked, random.binomial(asked, share(track, number, tick - BEGIN)))
            for part in (Part.TOTAL, Part.BAD):
                key = SeriesKey(rollout=R, guardrail="errors", track=track, pod=f"{track}-{number}", part=part)
                series.append(fleet.series(key))
        time = np.full(len(series), 10.0 * tick)
        fleet.observe(Observed(series=np.array(series), time=time, value=sums[rows].ravel()))
        if tick > BEGIN:
            looks.append(fleet.look([R], now=Instant(10.0 * tick))[R])
    return fleet, looks


def first_bad(track: Track, number: int, since: int) -> float:
    """The first pod of the canary fails thirty times as often."""
    return 30.0 * BASE if (track, number) == (Track.CANARY, 0) else BASE


def all_bad(track: Track, number: int, since: int) -> float:
    """Every pod of the canary fails three times as often."""
    return 3.0 * BASE if track is Track.CANARY else BASE


def all_good(track: Track, number: int, since: int) -> float:
    """Every pod is as good as any other."""
    return BASE


def repeated(track: Track, number: int, since: int) -> float:
    """The first pod is bad for ten minutes, then another one is."""
    bad = 0 if since < 60 else 1
    return 30.0 * BASE if (track, number) == (Track.CANARY, bad) else BASE


def judged(looks: list[Look], **changes: object) -> list[bool]:
    """Whether each look holds for one pod instead of rolling back."""
    play = Play(policies=(replace(POLICY, **changes),))
    play.tell(requested())
    play.until(5)
    return [innocent(play.rollout, look, ALONE, Instant(look.at)) is not None for look in looks]


@pytest.mark.parametrize("seed", range(5))
def test_one_bad_pod_is_named_and_never_rolled_back(seed: int) -> None:
    """Whatever evidence there is comes from it; the others are as good as stable."""
    _, looks = fed(first_bad, ticks=90, seed=seed)
    against = [look for look in looks if look.log_harm >= math.log(100.0)]
    one = looks[-1].of("errors").one_pod
    assert one is not None
    assert (one.name, one.pods) == ("canary-0", 4)
    assert one.level == pytest.approx(0.15, rel=0.2)
    assert one.others == pytest.approx(BASE, rel=0.3)
    assert all(judged(against))


@pytest.mark.parametrize("seed", range(5))
def test_a_canary_whose_pods_are_all_bad_names_none(seed: int) -> None:
    """A bad version is not taken for a bad machine."""
    _, looks = fed(all_bad, ticks=40, seed=seed)
    against = [look for look in looks if look.log_harm >= math.log(100.0)]
    assert against
    assert not any(judged(against))


def test_a_second_pod_that_repeats_it_speaks_against_the_version() -> None:
    """The page asks to replace the pod; a replacement that fails alike is no accident."""
    _, looks = fed(repeated, ticks=120)
    assert looks[55].of("errors").one_pod is not None
    assert looks[-1].of("errors").one_pod is None
    assert looks[-1].log_harm >= 0.5 * math.log(100.0)


def test_of_two_pods_none_is_the_exception() -> None:
    """With two pods nobody can say whether one is bad or the other lucky."""
    _, looks = fed(first_bad, ticks=60, canaries=2)
    assert all(look.of("errors").one_pod is None for look in looks)


def test_latencies_name_their_pod_too() -> None:
    """A pod ten times as slow: told at the 95 % quantile."""
    random, fleet = np.random.default_rng(3), Fleet()
    bounds = (0.05, 0.1, 0.2, 0.5, 1.0, math.inf)
    fleet.open(R, replace(policy(), guardrails=(LATENCY,)))
    pods = [(Track.CANARY, number) for number in range(4)] + [(Track.STABLE, number) for number in range(6)]
    sums = np.zeros((len(pods), len(bounds)))
    for tick in range(1, BEGIN + 40):
        rows = [row for row, (track, _) in enumerate(pods) if track is Track.STABLE or tick >= BEGIN]
        series = []
        for row in rows:
            track, number = pods[row]
            slow = 10.0 if (track, number) == (Track.CANARY, 2) else 1.0
            took = random.lognormal(math.log(0.08 * slow), 0.5, 300)
            sums[row] += [(took <= bound).sum() for bound in bounds]
            for bound in bounds:
                key = SeriesKey(
                    rollout=R, guardrail="latency", track=track, pod=f"{track}-{number}", part=Part.BUCKET, le=bound
                )
                series.append(fleet.series(key))
        time = np.full(len(series), 10.0 * tick)
        fleet.observe(Observed(series=np.array(series), time=time, value=sums[rows].ravel()))
    one = fleet.look([R], now=Instant(0.0))[R].of("latency").one_pod
    assert one is not None
    assert one.name == "canary-2"
    assert one.level is not None
    assert one.others is not None
    assert one.level > 4.0 * one.others


def test_a_checkpoint_knows_the_pods_totals() -> None:
    """After a restart the same pod is named."""
    fleet, looks = fed(first_bad, ticks=30)
    again = Fleet()
    again.restore(R, POLICY, fleet.checkpoint(R))
    assert again.look([R], now=Instant(0.0))[R].of("errors").one_pod == looks[-1].of("errors").one_pod


@pytest.mark.parametrize("times", [3.0, 5.0, 10.0, 30.0])
def test_a_bad_pod_of_stable_promotes_no_canary_that_is_worse_than_the_others(times: float) -> None:
    """Its mean flatters the canary for minutes, until it is learned that the pods differ: who it is stops that."""

    def share(track: Track, number: int, since: int) -> float:
        if track is Track.CANARY:
            return 2.0 * BASE
        return times * BASE if number == 0 and since >= 0 else BASE

    for seed in range(2):
        _, looks = fed(share, ticks=40, canaries=2, seed=seed, under=AT_ONCE)
        shown = [look for look in looks if look.log_safe >= math.log(20.0)]
        assert {look.of("errors").flatterer for look in shown} <= {"stable-0"}


def test_nothing_is_looked_for_before_the_earliest_promotion() -> None:
    """A pod is named from the first look on at which a promotion could hang on it."""

    def share(track: Track, number: int, since: int) -> float:
        return 30.0 * BASE if (track, number) == (Track.STABLE, 0) and since >= 0 else BASE

    late = replace(POLICY, risk=replace(POLICY.risk, earliest_promotion=Seconds(30.0)))
    named = [
        [look.of("errors").flatterer for look in fed(share, ticks=8, canaries=2, under=under)[1]]
        for under in (AT_ONCE, late)
    ]
    assert any(named[0][:2])
    assert named[1] == ["", "", *named[0][2:]]


@pytest.mark.parametrize("seed", range(4))
def test_a_good_canary_hangs_on_no_pod_of_stable(seed: int) -> None:
    """Any one pod of stable may be left out, and it is still shown to be good: nothing is promoted later."""
    _, looks = fed(all_good, ticks=60, stable=3, seed=seed, under=AT_ONCE)
    assert not any(look.of("errors").flatterer for look in looks)


def test_a_promotion_that_hangs_on_one_pod_of_stable_waits_and_says_so() -> None:
    """The step says which pod to replace; without it the plan goes on."""

    def show(rollout: RolloutId, now: Instant) -> Look:
        look = seen(rollout, at=now, harm=0.5, safe=100.0)
        name = "s-4" if now < T0 + 1500.0 else ""
        return replace(look, guardrails=tuple(replace(at, flatterer=name) for at in look.guardrails))

    play = Play(show=show)
    play.tell(requested())
    play.until(1400)
    look = play.engine.look(play.rollout.id)
    waits = [item.text for item in missing(play.rollout, look, play.now)]
    assert any("s-4" in text for text in waits)
    assert play.until(1600).phase() is Phase.BAKING


ONE = OnePod(name="c-3", pods=10, level=0.3, others=0.005, stable=0.005, without=-1.0)


def told(*, harm: float = 226.0, breach: Breach = Breach.NONE, **changes: object) -> Play:
    """A rollout whose evidence comes from one pod."""
    guardrail = replace(ERRORS, objective=OBJECTIVE)

    def show(rollout: RolloutId, now: Instant) -> Look:
        look = seen(rollout, at=now, harm=harm, breach=breach)
        return replace(look, guardrails=tuple(replace(at, one_pod=ONE) for at in look.guardrails))

    play = Play(policies=(policy(guardrails=(guardrail,), **changes),), show=show)
    play.tell(requested())
    return play


def test_the_rollout_is_held_and_the_page_says_which_pod_to_replace() -> None:
    """Once, and for as long as the evidence stays; nothing else moves."""
    play = told().until(900)
    assert play.phase() is Phase.PROGRESSING
    assert play.step() == 0
    assert [record.hold for record in play.all(r.Held)] == [r.Hold.ONE_POD]
    (page,) = play.all(r.Paged)[:1]
    assert "c-3: 30%, the others 0.5%, stable 0.5%" in page.reason
    assert "replace the pod" in page.reason


def test_little_evidence_of_one_pod_holds_nothing() -> None:
    """Below 1/sqrt(false_rollback) it would not stop a step either."""
    assert told(harm=5.0).until(60).rollout.held is None


def test_the_users_pain_does_not_ask_for_the_reason() -> None:
    """A critical objective that only the canary breaks rolls back, one pod or not."""
    assert told(breach=Breach.CRITICAL).until(60).phase() is Phase.ROLLED_BACK


def test_who_wants_it_rolled_back_says_so() -> None:
    """attribution.one_pod: rollback."""
    assert told(attribution=Attribution(one_pod="rollback")).until(60).phase() is Phase.ROLLED_BACK
