"""Gauges and counts in running rollouts: as in files of samples, bit for bit after a restart, nothing from nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, groupby, pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.exposure import Exposure
from guardian.core.fleet import Fleet
from guardian.core.history import take_history
from guardian.core.looks import Breach, Counted, Look, Part, SeriesKey
from guardian.core.model import Instant, Seconds, Track, Verdict, Weight
from guardian.core.offline import Offline, OfflineVerdict
from guardian.core.policy import Guardrail, Level, Policy, Slo
from tests.builders import ERRORS
from tests.core.levels import (
    FREE,
    MEMORY,
    METRICS,
    ORDERS,
    ZERO,
    R,
    Sample,
    Story,
    by,
    events,
    level,
    look,
    observe,
    opened,
    told,
)
from tests.core.test_history import numbers

STORIES = {
    "healthy": Story(),
    "more memory": Story(memory=level(1.5)),
    "a leak": Story(memory=level(1.0, leak=2.0)),
    "half the orders": Story(orders=events(0.5)),
    "twice the orders": Story(orders=events(2.0)),
    "half the orders, of other pods": Story(orders=events(0.5), named=False),
}


def offline(story: Story, rules: Policy) -> OfflineVerdict:
    """What the judge of samples says."""
    batch, pods = story.batch()
    court = Offline(rules, rollouts=["r"], metrics=METRICS, pods=pods)
    court.take(batch)
    return court.finish()[0]


def live(story: Story, rules: Policy) -> tuple[Verdict, float, float]:
    """The first verdict of a fleet that looks after every scrape: what, when and on which evidence."""
    fleet, risk = opened(rules), rules.risk
    found, at = look(fleet), ZERO
    for at, scrape in groupby(story.samples(), key=lambda sample: sample[1]):
        observe(fleet, scrape)
        found = look(fleet, at)
        if found.log_harm >= -math.log(risk.false_rollback):
            return Verdict.ROLLBACK, at - ZERO, math.exp(found.log_harm)
        late = found.began is not None and found.at - found.began >= risk.earliest_promotion
        if late and found.log_safe >= -math.log(risk.false_promotion) and not found.rising:
            return Verdict.PROMOTE, at - ZERO, math.exp(found.log_safe)
    return Verdict.HOLD, at - ZERO, math.exp(found.log_harm)


@pytest.mark.parametrize("guardrails", [(ERRORS, MEMORY, ORDERS), (MEMORY, ORDERS, ERRORS)])
@pytest.mark.parametrize("name", STORIES)
def test_a_running_rollout_and_a_file_of_the_same_samples_give_the_same_verdict(
    name: str, guardrails: tuple[Guardrail, ...]
) -> None:
    """What, when and on which evidence; whichever guardrail comes first in the policy."""
    rules = by(*guardrails)
    expected = offline(STORIES[name], rules)
    verdict, at, evidence = live(STORIES[name], rules)
    assert (verdict, at) == (expected.verdict, expected.decided_at)
    assert evidence == pytest.approx(expected.evidence, rel=1e-6)


SHORT = Story(memory=level(1.3), orders=events(0.7), history=24, lasts=16)
RULES = by(ERRORS, MEMORY, ORDERS)


def numbers_of(found: Look) -> list[float]:
    """Evidence and totals of every guardrail."""
    return [
        value
        for at in found.guardrails
        for value in (at.log_harm, at.log_safe, at.canary.requests, at.stable.requests, at.canary.level or 0.0)
    ]


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 41), max_size=6), overlap=st.integers(0, 5), shuffled=st.integers(0, 9),
    named=st.booleans(),
)  # fmt: skip
def test_any_cut_and_overlap_of_scrapes_gives_the_same_evidence(
    cuts: list[int], overlap: int, shuffled: int, *, named: bool
) -> None:
    """A look over all of it, or one for each scrape, in any order within a delivery: nothing depends on it."""
    scrapes = [list(each) for _, each in groupby(replace(SHORT, named=named).samples(), key=lambda sample: sample[1])]
    whole = told(RULES, chain.from_iterable(scrapes))
    fleet = opened(RULES)
    for begin, end in pairwise(sorted({0, *cuts, len(scrapes)})):
        piece = list(chain.from_iterable(scrapes[max(begin - overlap, 0) : end]))
        order = np.random.default_rng(shuffled).permutation(len(piece))
        observe(fleet, [piece[place] for place in order])
        look(fleet)
    assert numbers_of(look(fleet)) == pytest.approx(numbers_of(whole), rel=1e-9, abs=1e-9, nan_ok=True)
    assert whole.of("memory").canary.requests == 2 * SHORT.lasts


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 24 * 4 * 4), max_size=6), overlap=st.integers(0, 60))
def test_any_cut_within_a_scrape_loses_no_reading_and_no_event(cuts: list[int], overlap: int) -> None:
    """Scrapes may come in pieces: then rows may be told a tick later, but all that was there is counted, once."""
    samples = SHORT.samples()
    whole, fleet = told(RULES, samples), opened(RULES)
    for begin, end in pairwise(sorted({0, *cuts, len(samples)})):
        observe(fleet, samples[max(begin - overlap, 0) : end])
        look(fleet)
    found = look(fleet)
    for name in ("memory", "orders"):
        for side in ("canary", "stable"):
            got, wanted = getattr(found.of(name), side), getattr(whole.of(name), side)
            assert (got.requests, got.level) == (wanted.requests, pytest.approx(wanted.level))


def test_a_checkpoint_restores_bit_for_bit_and_goes_on_alike() -> None:
    """Also where a scrape waits for its rest, and where events wait for a request."""
    samples = [*SHORT.samples(), *second_series(SHORT)]
    samples.sort(key=lambda sample: sample[1])
    now = ZERO + 80.0
    first = [each for each in samples if each[1] < now or (each[1] == now and each[0].labels == "")]
    fleet, again = opened(RULES), Fleet()
    observe(fleet, first)
    look(fleet)
    blob = fleet.checkpoint(R)
    again.restore(R, RULES, blob)
    assert again.checkpoint(R) == blob
    for each in (fleet, again):
        observe(each, [sample for sample in samples if sample[1] >= now - 20.0])
    assert look(again) == look(fleet)
    assert again.checkpoint(R) == fleet.checkpoint(R)


def second_series(story: Story) -> list[Sample]:
    """The same readings once more under another label: of another queue, or container, of the same pods."""
    return [
        (msgspec.structs.replace(key, labels="other"), at, value)
        for key, at, value in story.samples()
        if key.part.level
    ]


@pytest.mark.parametrize("named", [True, False])
def test_history_in_one_go_leaves_what_it_leaves_tick_by_tick(monkeypatch: pytest.MonkeyPatch, *, named: bool) -> None:
    """Readings, exposures, noise and objectives alike: the start of a rollout must not cost a second."""
    memory = msgspec.structs.replace(MEMORY, objective=HIGH)
    rules, samples = by(ERRORS, memory, ORDERS), replace(SHORT, named=named).samples()
    taken: list[bool] = []

    def watched(*arguments: Any) -> bool:
        taken.append(take_history(*arguments))
        return taken[-1]

    def blob() -> bytes:
        fleet = opened(rules)
        observe(fleet, samples)
        look(fleet)
        return fleet.checkpoint(R)

    monkeypatch.setattr("guardian.core.feeding.take_history", watched)
    at_once = numbers(blob())
    assert taken[0]
    monkeypatch.setattr("guardian.core.feeding.take_history", lambda *_: False)
    assert at_once == pytest.approx(numbers(blob()), rel=1e-9, abs=1e-9, nan_ok=True)


HIGH = Slo(target=1e9, breached="above", critical=Level(bound=1.2e9, lasts=Seconds(60.0)))


def test_series_of_one_pod_are_added_up() -> None:
    """A pod's level is that of all its queues, containers or heaps."""
    found = told(RULES, sorted([*SHORT.samples(), *second_series(SHORT)], key=lambda sample: sample[1]))
    alone = told(RULES, SHORT.samples())
    assert found.of("memory").canary.requests == alone.of("memory").canary.requests
    assert found.of("memory").stable.level == pytest.approx(2.0 * (alone.of("memory").stable.level or 0.0))
    assert found.of("memory").log_harm == pytest.approx(alone.of("memory").log_harm, rel=1e-9)


def test_a_scrape_that_lacks_a_series_is_no_level() -> None:
    """Half of a pod's memory was never its memory; told as an anomaly. When it stays away, the rest is the level."""
    whole = sorted([*SHORT.samples(), *second_series(SHORT)], key=lambda sample: sample[1])
    gaps = [sample for sample in whole if not (sample[0].labels and sample[1] == ZERO + 50.0)]
    found, untouched = told(RULES, gaps).of("memory"), told(RULES, whole).of("memory")
    assert found.anomalies == {"incomplete": 6}
    assert found.canary.requests == untouched.canary.requests - 2
    ended = [sample for sample in whole if not (sample[0].labels and sample[1] >= ZERO + 50.0)]
    found = told(RULES, ended).of("memory")
    assert found.anomalies == {"incomplete": 6}
    assert found.canary.requests == untouched.canary.requests - 2


# ---- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e200])
def test_readings_that_are_no_levels_decide_nothing_and_are_told(value: float) -> None:
    """Of the canary all of them: no verdict, no exception, and the look says that samples were refused."""
    broken = replace(SHORT, memory=lambda _, canary, random: value if canary else 1e9 * random.normal(1.0, 0.02))
    found = told(by(ERRORS, MEMORY), broken.samples())
    at = found.of("memory")
    assert at.anomalies == {"unusable": 2 * (SHORT.lasts + 1)}
    assert (at.canary.requests, at.canary.last, at.comparable) == (0.0, None, False)
    assert at.log_harm == 0.0
    assert found.log_safe <= 0.0


def test_negative_levels_are_levels() -> None:
    """A temperature, a balance, an offset: below zero is no error."""
    cold = replace(SHORT, memory=lambda _, __, random: -40.0 + random.normal())
    at = told(by(ERRORS, MEMORY), cold.samples()).of("memory")
    assert at.anomalies == {}
    assert at.canary.level == pytest.approx(-40.0, abs=1.0)


def without(samples: list[Sample], gone: Callable[[SeriesKey, float], bool]) -> list[Sample]:
    """The samples but those that are gone."""
    return [sample for sample in samples if not gone(sample[0], sample[1] - ZERO)]


@pytest.mark.parametrize(
    "gone",
    [
        lambda key, t: key.pod == "p3" and t > 30.0,  # vanishes
        lambda key, t: key.pod == "p3" and t < 40.0,  # appears late
        lambda key, t: key.pod == "p0" and t < 40.0,  # a canary pod that comes late
        lambda key, _: key.pod == "p1" and key.guardrail == "memory",  # has no such metric
        lambda key, t: key.pod == "p4" and key.guardrail == "orders" and t == 60.0,  # missed once
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_pods_that_come_and_go_make_no_verdict(gone: Callable[[SeriesKey, float], bool], *, named: bool) -> None:
    """A healthy release stays one, whichever pod is not there and whenever."""
    story = Story(history=60, lasts=60, named=named)

    def is_gone(key: SeriesKey, t: float) -> bool:
        return gone(msgspec.structs.replace(key, pod=key.pod.removeprefix("worker-")), t)

    fleet = opened(RULES)
    highest = -math.inf
    for at, scrape in groupby(without(story.samples(), is_gone), key=lambda sample: sample[1]):
        observe(fleet, scrape)
        highest = max(highest, np.nan_to_num(look(fleet, at).log_harm, nan=-math.inf))
    assert highest < math.log(20.0)


def test_a_canary_whose_gauge_vanishes_is_not_compared_any_more() -> None:
    """No rollback and no promotion by what is not there: the track is silent, and that holds."""
    vanished = without(Story(history=60, lasts=60).samples(), lambda key, t: key.track is Track.CANARY and t > 60.0)
    fleet = opened(RULES)
    observe(fleet, vanished)
    at = look(fleet).of("memory")
    assert not at.comparable
    assert at.canary.last == ZERO + 60.0


def test_an_hour_without_events_decides_nothing() -> None:
    """Zero orders on both tracks are no proof of health, and none of harm."""
    found = told(by(ORDERS, ERRORS), Story(orders=lambda *_: 0.0, history=30, lasts=360).samples())
    at = found.of("orders")
    assert (at.log_harm, at.canary.level) == (0.0, 0.0)
    assert at.log_safe <= 0.0


def test_a_canary_without_any_event_is_rolled_back() -> None:
    """It serves everything and sells nothing."""
    found = told(
        by(ORDERS, ERRORS), Story(orders=lambda _, c, random: 0.0 if c else float(random.poisson(20))).samples()
    )
    assert found.log_harm > math.log(100.0)
    assert found.of("orders").canary.level == 0.0


def test_huge_numbers_are_numbers() -> None:
    """10^12 orders a tick, levels of 10^99: finite evidence, no exception."""
    huge = replace(SHORT, orders=lambda *_: 1e12, memory=lambda _, __, random: 1e99 * random.normal(1.0, 0.01))
    found = told(RULES, huge.samples())
    assert all(math.isfinite(at.log_harm) and math.isfinite(at.log_safe) for at in found.guardrails)
    assert found.log_harm < math.log(100.0)


# ---- when, and by what -------------------------------------------------------------------------------------


def test_what_a_canary_shows_before_its_first_traffic_says_nothing() -> None:
    """A pod that is up and idle holds less memory, and more of the processor while it starts."""
    idle = [
        (key, at, 5e9 if at < ZERO + 60.0 and key.track is Track.CANARY and key.part.level else value)
        for key, at, value in Story(history=60, lasts=60).samples()
        if key.part.level or key.track is Track.STABLE or at >= ZERO + 60.0
    ]
    found = told(by(ERRORS, msgspec.structs.replace(MEMORY, objective=HIGH)), idle)
    at = found.of("memory")
    assert found.began == ZERO + 60.0
    assert at.canary.level == pytest.approx(1e9, rel=0.02)
    assert at.log_harm < 0.0
    assert at.breach is Breach.NONE


def test_where_nothing_counts_requests_the_accepted_weight_says_when_it_began() -> None:
    """Only gauges: canary pods may be there long before they serve."""
    fleet = opened(by(MEMORY))
    samples = [sample for sample in Story(memory=level(1.6)).samples() if sample[0].part.level]
    observe(fleet, [sample for sample in samples if sample[1] <= ZERO + 100.0])
    assert look(fleet).began is None
    fleet.expect(R, weight=Weight(0.1), now=Instant(ZERO + 101.0))
    observe(fleet, [sample for sample in samples if sample[1] > ZERO + 100.0])
    found = look(fleet)
    assert found.began == pytest.approx(ZERO + 106.0, abs=10.0)
    assert found.log_harm > math.log(100.0)


def test_where_nobody_sets_weights_the_first_reading_says_when_it_began() -> None:
    """Somebody else moves the traffic and only gauges are measured."""
    rules = msgspec.structs.replace(by(MEMORY), router=None)
    samples = [sample for sample in Story().samples() if sample[0].part.level]
    assert told(rules, samples).began == ZERO


def weighed(story: Story, weight: float, later: float | None = None) -> Look:
    """Orders only, under an accepted weight, and another one after 300 s."""
    fleet = opened(by(ORDERS))
    fleet.expect(R, weight=Weight(weight), now=Instant(ZERO - 6.0))
    samples = [sample for sample in story.samples() if sample[0].part is Part.COUNT]
    for at, scrape in groupby(samples, key=lambda sample: sample[1]):
        observe(fleet, scrape)
        look(fleet, at)
        if later is not None and at == ZERO + 300.0:
            fleet.expect(R, weight=Weight(later), now=Instant(at + 1.0))
    return look(fleet)


def test_events_are_judged_by_the_weight_where_nothing_counts_requests() -> None:
    """Two of six equal pods have a third of the traffic: as many orders each are as many as stable's."""
    same, few = weighed(Story(), 1 / 3), weighed(Story(orders=events(0.5)), 1 / 3)
    assert same.of("orders").counted is Counted.WEIGHT
    assert same.log_safe > math.log(20.0)
    assert few.log_harm > math.log(100.0)
    assert few.of("orders").canary.level == pytest.approx(0.5 * (few.of("orders").stable.level or 0.0), rel=0.1)


def test_rows_from_before_a_weight_has_settled_are_nobodys() -> None:
    """Half of their events belong to the old share. The new one is held against rows of its own."""
    doubled = Story(orders=lambda t, c, random: float(random.poisson((40.0 if c else 10.0) if t > 310.0 else 20.0)))
    found = weighed(doubled, 1 / 3, later=2 / 3)
    assert found.log_harm < math.log(2.0)
    assert found.log_safe > math.log(20.0)


def test_a_pod_that_joins_or_leaves_shifts_no_exposure() -> None:
    """Requests of the track are divided by the pods that serve now, not by all there ever were."""
    exposure, sides = Exposure(), np.zeros(4, dtype=np.int64)
    for pod, side in enumerate(sides):
        exposure.join(pod, int(side))
    total = 0.0
    given: list[float] = []
    for tick in range(1, 40):
        there = np.array([0, 1, 2] if tick < 15 else [0, 1, 2, 3] if tick < 25 else [0, 1])
        total += 1200.0
        rows = exposure.by_requests(
            there, end=np.full(len(there), 10.0 * tick), seconds=np.full(len(there), 10.0),
            events=np.ones(len(there)), total=np.full(len(there), total), own=np.zeros(len(there), dtype=bool),
        )  # fmt: skip
        given.append(rows[:, 0].sum())
    assert given[0] == 0.0  # the baseline
    assert sorted(set(given[1:])) == pytest.approx([600.0, 900.0, 1200.0])
    assert [round(each) for each in given].count(900) == 1  # where the fourth joins, with its own baseline
    assert [round(each) for each in given].count(600) == 1  # one tick until the two that left are missed


# ---- objectives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("worse", "breach"), [(1.1, Breach.NONE), (1.3, Breach.CRITICAL)])
def test_a_gauge_beyond_its_bound_for_as_long_as_it_says_is_critical(worse: float, breach: Breach) -> None:
    """The mean of the canary's readings, at one-sided 99 %; stable is not to blame."""
    guarded = msgspec.structs.replace(MEMORY, objective=HIGH, compare=None)
    at = told(by(ERRORS, guarded), replace(SHORT, memory=level(worse)).samples()).of("memory")
    assert (at.breach, at.stable_breach) == (breach, False)


def test_a_gauge_below_its_bound_is_critical_where_below_hurts() -> None:
    """Free memory; and of both tracks it is nobody's fault."""
    low = Slo(target=1e9, breached="below", critical=Level(bound=0.8e9, lasts=Seconds(60.0)))
    guarded = msgspec.structs.replace(FREE, objective=low, compare=None)
    story = replace(SHORT, memory=lambda _, __, random: 1e9 * random.normal(0.5, 0.02))
    at = told(by(ERRORS, guarded), story.samples()).of("memory")
    assert (at.breach, at.stable_breach) == (Breach.CRITICAL, True)


def test_a_swing_that_ends_before_its_time_is_no_breach() -> None:
    """50 s above the bound where a minute is asked for, in every window of it."""
    story = replace(SHORT, memory=lambda t, canary, _: 2e9 if canary and 20.0 < t <= 60.0 else 1e9)
    guarded = msgspec.structs.replace(
        MEMORY, compare=None, objective=msgspec.structs.replace(HIGH, window=Seconds(10.0))
    )  # fmt: skip
    fleet = opened(by(ERRORS, guarded))
    for at, scrape in groupby(story.samples(), key=lambda sample: sample[1]):
        observe(fleet, scrape)
        assert look(fleet, at).of("memory").breach is not Breach.CRITICAL
