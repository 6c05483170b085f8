"""Gauges and counts: since when a canary serves, and by what its events are judged."""

from __future__ import annotations

import math
from itertools import groupby

import msgspec
import numpy as np
import pytest

from guardian.core.exposure import Exposure
from guardian.core.looks import Breach, Counted, Look, Part
from guardian.core.model import Instant, Seconds, Track, Weight
from guardian.core.policy import Level, Slo
from tests.builders import ERRORS
from tests.core.levels import (
    MEMORY,
    ORDERS,
    ZERO,
    R,
    Story,
    by,
    events,
    level,
    look,
    observe,
    opened,
    told,
)

HIGH = Slo(target=1e9, breached="above", critical=Level(bound=1.2e9, lasts=Seconds(60.0)))


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
