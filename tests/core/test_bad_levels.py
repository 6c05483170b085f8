"""Gauges and counts that are broken, missing, late, zero or huge: never a verdict from nothing, never an exception."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import msgspec
import numpy as np
import pytest

from guardian.core.looks import SeriesKey
from guardian.core.model import Track
from tests.builders import ERRORS
from tests.core.levels import (
    MEMORY,
    ORDERS,
    ZERO,
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

SHORT = Story(memory=level(1.3), orders=events(0.7), history=24, lasts=16)
RULES = by(ERRORS, MEMORY, ORDERS)


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


def test_a_sample_that_is_refused_is_told_once() -> None:
    """Deliveries overlap: the same NaN comes again and again until a good sample is there."""
    samples = replace(SHORT, memory=lambda t, canary, _: math.nan if canary and t == 40.0 else 1e9).samples()
    fleet = opened(by(ERRORS, MEMORY))
    for upto in range(5, len(samples), 40):
        observe(fleet, samples[max(upto - 200, 0) : upto])
        look(fleet)
    assert look(fleet).of("memory").anomalies == {"unusable": 2}


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
