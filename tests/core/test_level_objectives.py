"""Objectives on gauges: which side, how sure, and how long."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import msgspec
import pytest

from guardian.core.looks import Breach
from guardian.core.model import Seconds
from guardian.core.policy import Level, Slo
from tests.builders import ERRORS
from tests.core.levels import (
    FREE,
    MEMORY,
    Story,
    by,
    level,
    look,
    observe,
    opened,
    told,
)

HIGH = Slo(target=1e9, breached="above", critical=Level(bound=1.2e9, lasts=Seconds(60.0)))
SHORT = Story(history=24, lasts=16)


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
