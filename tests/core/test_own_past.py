"""A bake against the service's own past: what is remembered of it, what it says, and what follows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from analysis.sequential.past import PastWatch
from guardian.core import records as r
from guardian.core.explain import explain
from guardian.core.facts import Order
from guardian.core.fleet import Fleet
from guardian.core.looks import Breach, Look, Observed, Part, Past, SeriesKey
from guardian.core.model import Instant, Phase, RolloutId, Seconds, Track
from guardian.core.own_past import KEPT, OwnPast
from guardian.core.policy import Policy, WarmUp
from tests.builders import ERRORS, LATENCY, T0, ordered, policy, requested, seen
from tests.core.play import Play

R = RolloutId("r")
POLICY = replace(policy(), guardrails=(ERRORS, LATENCY))
BASE, BEGAN, SWITCHED, END = 0.005, 240, 300, 360
"""Share of bad requests; ticks of 10 s up to the canary's first traffic, to the switch, and to the end."""
Tick = tuple[list[SeriesKey], list[float], float]


def ticks(
    *, worse: float = 5.0, history: int = BEGAN, seed: int = 1, stable: bool = True, young: float = 1.0
) -> list[Tick]:
    """Scrapes of three pods a track, tick by tick; after the switch the canary's pods fail `worse` times as often.

    history: ticks of stable before the canary. stable: whether there is such a track. young: factor of the canary's
    share of bad requests in the five minutes after the switch, when its second pod begins.
    """
    random, found = np.random.default_rng(seed), []
    sums: dict[tuple[Track, int], list[float]] = {}
    for tick in range(1, END + 1):
        keys, values = [], []
        for track in (Track.STABLE, Track.CANARY):
            for pod in range(3):
                served = BEGAN - history < tick <= SWITCHED + 1 if track is Track.STABLE else tick > BEGAN
                begun = track is Track.STABLE or pod == 0 or tick > SWITCHED
                if not (served and begun and (stable or track is Track.CANARY)):
                    continue
                bad = BASE * (worse if track is Track.CANARY and tick > SWITCHED else 1.0)
                bad *= young if pod and tick <= SWITCHED + 30 and track is Track.CANARY else 1.0
                asked = random.poisson(500.0)
                known = sums.setdefault((track, pod), [0.0, 0.0])
                known[0] += asked
                known[1] += random.binomial(asked, min(bad, 1.0))
                for part, value in zip((Part.TOTAL, Part.BAD), known, strict=True):
                    keys.append(SeriesKey(rollout=R, guardrail="errors", track=track, pod=f"{track}-{pod}", part=part))
                    values.append(value)
        found.append((keys, values, 10.0 * tick))
    return found


def feed(fleet: Fleet, some: list[Tick], *, each: bool = False) -> Look:
    """Show scrapes to a fleet, in one look or one look each; the canary has all traffic from the switch on."""
    for keys, values, time in some:
        if time > 10.0 * SWITCHED:
            fleet.switch(R, at=Instant(10.0 * SWITCHED))
        series = np.array([fleet.series(key) for key in keys], dtype=np.int64)
        fleet.observe(Observed(series=series, time=np.full(len(series), time), value=np.array(values)))
        if each:
            fleet.look([R], now=Instant(time))
    return fleet.look([R], now=Instant(some[-1][2]))[R]


def opened(rule: Policy = POLICY) -> Fleet:
    """A fleet with one rollout."""
    fleet = Fleet()
    fleet.open(R, rule, since=Instant(10.0 * BEGAN))
    return fleet


def past_of(look: Look) -> Past | None:
    """What a look says of the errors' past."""
    return look.of("errors").past


def test_nothing_is_said_before_the_canary_has_all_traffic() -> None:
    """Until then stable is there to compare with."""
    look = feed(opened(), ticks()[:SWITCHED])
    assert look.of("errors").participates
    assert past_of(look) is None
    assert look.of("latency").past is None


def test_a_service_that_fails_five_times_as_often_is_found() -> None:
    """Within minutes, with the shares of before and since."""
    past = past_of(feed(opened(), ticks()[: SWITCHED + 18]))
    assert past is not None
    assert past.stands
    assert past.calibrated
    assert past.before == pytest.approx(BASE, rel=0.1)
    assert past.since == pytest.approx(5.0 * BASE, rel=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_a_service_as_good_as_before_is_not(seed: int) -> None:
    """Ten minutes of a healthy bake."""
    past = past_of(feed(opened(), ticks(worse=1.0, seed=seed)))
    assert past is not None
    assert past.calibrated
    assert not past.stands


@pytest.mark.parametrize("changes", [{"history": -5}, {"stable": False}])
def test_without_a_past_nothing_is_said(changes: dict[str, object]) -> None:
    """No row of stable before the canary's, or no stable track at all: a first release has no past to be worse than."""
    assert past_of(feed(opened(), ticks(**changes))) is None  # type: ignore[arg-type]


def test_a_short_past_calibrates_nothing() -> None:
    """Ten minutes: how the level moves by itself is not known."""
    past = past_of(feed(opened(), ticks(history=60)))
    assert past is not None
    assert not past.calibrated


def test_pods_that_warm_up_say_nothing() -> None:
    """New pods come with all the traffic; they may fail `factor` times as often while they are young."""
    warm = replace(ERRORS, warm_up=WarmUp(lasts=Seconds(300.0), factor=10.0))
    shown = ticks(worse=1.0, young=8.0)
    stood = [past_of(feed(opened(replace(POLICY, guardrails=(one,))), shown)) for one in (ERRORS, warm)]
    assert [past is not None and past.stands for past in stood] == [True, False]


def test_history_in_one_go_leaves_what_it_leaves_tick_by_tick() -> None:
    """The same numbers to the last bit, those after the switch included."""
    told = []
    for each in (True, False):
        fleet = opened()
        feed(fleet, ticks()[:BEGAN], each=each)
        feed(fleet, ticks()[BEGAN:], each=True)
        told.append(fleet.own_past.pack(fleet.opened[R].sheets["errors"].past))
    assert told[0] == told[1]


@pytest.mark.parametrize("until", [BEGAN // 2, SWITCHED - 1, SWITCHED + 10])
def test_a_checkpoint_goes_on_bit_for_bit(until: int) -> None:
    """Within history, before the switch and in the bake."""
    shown, fleet, again = ticks(), opened(), Fleet()
    feed(fleet, shown[:until])
    blob = fleet.checkpoint(R)
    again.restore(R, POLICY, blob)
    assert again.checkpoint(R) == blob
    assert feed(again, shown[until:]) == feed(fleet, shown[until:])
    assert again.checkpoint(R) == fleet.checkpoint(R)


def test_a_past_ends_with_its_rollout() -> None:
    """The next one that is opened knows nothing."""
    fleet = opened()
    feed(fleet, ticks())
    fleet.close(R)
    fleet.open(R, POLICY, since=Instant(10.0 * BEGAN))
    assert past_of(feed(fleet, ticks()[:10])) is None
    assert not fleet.own_past.rows["memory"].any()


@pytest.mark.parametrize("length", [10.0, 15.0, 45.0])
def test_what_is_kept_for_later_says_what_it_would_have_said_at_once(length: float) -> None:
    """Far more blocks than are kept, two guardrails of different length: the same as the watch itself, tick by tick."""
    random, own = np.random.default_rng(3), OwnPast()
    rows = np.array([own.add(ERRORS, risk=0.01), own.add(ERRORS, risk=0.01)])
    assert ERRORS.compare is not None
    margin = ERRORS.compare.promote
    watch = PastWatch(relative=margin.relative, absolute=margin.absolute, alpha=0.01)
    memory = np.zeros((2, watch.remembered))
    before = int(2.3 * KEPT * 30.0 / length)
    for tick in range(before + 40):
        there = np.array([True, tick >= before // 2])
        asked = random.poisson(300.0, 2).astype(np.float64)
        bad = random.binomial(asked.astype(np.int64), BASE * (3.0 if tick >= before else 1.0)).astype(np.float64)
        counts, seconds, live = np.stack((bad, asked), axis=1), np.full(2, length), np.full(2, tick >= before)
        own.take(rows[there], counts=counts[there], seconds=seconds[there], live=live[there])
        mine = memory[there]
        watch.take(mine, counts[there], seconds=seconds[there], live=live[there])
        memory[there] = mine
    np.testing.assert_array_equal(own.rows["memory"][rows], memory)


# ---- what follows -------------------------------------------------------------------------------------------


WORSE = Past(log_evidence=20.0, stands=True, calibrated=True, before=0.005, since=0.025)
GONE = replace(WORSE, log_evidence=3.0, stands=False)
UNKNOWN = replace(WORSE, calibrated=False)


def baking(*pasts: tuple[float, Past], breach: tuple[float, Breach] = (math.inf, Breach.NONE)) -> Play:
    """A rollout that bakes, and what its looks say of the past from so many seconds after T0 on."""

    def show(rollout: RolloutId, now: Instant) -> Look:
        found = next((past for since, past in reversed(pasts) if now - T0 >= since), None)
        broken = breach[1] if now - T0 >= breach[0] else Breach.NONE
        look = seen(rollout, at=now, harm=0.5, safe=100.0, breach=broken)
        return replace(look, guardrails=tuple(replace(at, past=found) for at in look.guardrails))

    play = Play(show=show)
    play.tell(requested())
    play.until(950)
    assert play.phase() is Phase.BAKING
    return play


def test_a_worse_bake_is_held_and_paged_once_and_never_goes_back() -> None:
    """For as long as the evidence stands, whatever becomes of its calibration: time alone verifies nothing."""
    play = baking((0, WORSE), (1500, UNKNOWN), (2500, WORSE)).until(9000)
    assert play.phase() is Phase.BAKING
    assert [(held.hold, held.guardrail) for held in play.all(r.Held)] == [(r.Hold.OWN_PAST, "errors")]
    (page,) = play.all(r.Paged)
    assert "2.5% since, 0.5% before" in page.reason
    assert "cannot tell the change from anything else that began with it" in page.reason
    assert not play.all(r.RollbackOrdered)


def test_the_bake_goes_on_when_the_evidence_is_gone() -> None:
    """By itself."""
    play = baking((0, WORSE), (1700, GONE)).until(1750)
    assert play.phase() is Phase.VERIFIED
    assert len(play.all(r.Held)) == len(play.all(r.Paged)) == len(play.all(r.Resumed)) == 1


@pytest.mark.parametrize("past", [UNKNOWN, GONE])
def test_what_is_not_found_holds_nothing(past: Past) -> None:
    """Without enough history there is a word in the explanation, and no more."""
    play = baking((0, past))
    look = play.engine.look(play.rollout.id)
    told = explain(play.rollout, look, play.now).guardrails[0].sentence
    assert ("uncalibrated: too little history" in told) is (past is UNKNOWN)
    assert play.until(1600).phase() is Phase.VERIFIED
    assert not play.all(r.Held) + play.all(r.Paged)


def test_a_person_may_let_the_bake_go_on() -> None:
    """They may know of the campaign that began with the change; it is in the record, and the bake ends as it would."""
    play = baking((0, WORSE)).until(1200)
    look = play.engine.look(play.rollout.id)
    assert any("guardian promote" in said for said in explain(play.rollout, look, play.now).next)
    play.tell(ordered(play.rollout.id, Order.PROMOTE, reason="bots since noon"))
    assert play.refusal is None
    assert play.until(1600).phase() is Phase.VERIFIED
    assert [record.reason for record in play.all(r.Dismissed)] == [
        "ann lets the bake go on though the service is worse than it was before: bots since noon"
    ]


def test_nobody_lets_a_bake_go_on_over_a_critical_objective() -> None:
    """As at any other step."""
    play = baking((0, WORSE), breach=(1200, Breach.CRITICAL)).until(1250)
    play.tell(ordered(play.rollout.id, Order.PROMOTE))
    assert play.refusal is not None
    assert "critical objective" in str(play.refusal)
    assert play.held()


def test_a_rollback_by_hand_ends_the_hold() -> None:
    """What the page asks for."""
    play = baking((0, WORSE)).until(1000)
    play.tell(ordered(play.rollout.id, Order.ROLLBACK))
    assert play.phase() is Phase.ROLLED_BACK
