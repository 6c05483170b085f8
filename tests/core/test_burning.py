"""Burn rates of objectives: which windows count, who is to blame, and what follows in a rollout."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.core.burning import Burning, worse
from guardian.core.looks import Breach, Burn
from guardian.core.model import Seconds
from guardian.core.policy import BurnRate, Scope, Slo
from tests.builders import T0

SLO = Slo(target=0.999, breached="below", burn_rate=BurnRate())
SERVICE = replace(SLO, scope=Scope.SERVICE)
TICK = 10.0
Told = list[tuple[Breach, bool]]


def minutes(*parts: tuple[float, float]) -> list[float]:
    """Burn rates tick by tick, from (minutes, burn rate) parts."""
    return [rate for length, rate in parts for _ in range(round(length * 60.0 / TICK))]


def told(
    canary: list[float], stable: list[float], *, slo: Slo = SLO, before: list[float] | None = None,
    asked: tuple[float, float] = (100.0, 900.0), objectives: Burning | None = None,
) -> Told:  # fmt: skip
    """What is said at each tick since the canary's first traffic, of bad requests in exact parts.

    before: burn rates of stable in history. asked: requests of canary and stable in each tick.
    """
    burning, said = objectives or Burning(), []
    row, bad, shown = burning.add(slo), np.zeros(2), np.zeros(2)
    past = [(0.0, rate) for rate in before or ()]
    for tick, rates in enumerate([*past, *zip(canary, stable, strict=True)], start=1 - len(past)):
        served = np.array(asked) * ((tick > 0), True)
        bad += served * rates * (1.0 - slo.good)
        new = np.floor(bad + 1e-9) - shown
        shown += new
        burning.take(
            np.array([row]), time=np.array([T0 + TICK * tick]), counts=np.stack((served, new), axis=1)[None],
            began=np.array([T0 if tick > 0 else np.nan]),
        )  # fmt: skip
        burn = burning.standing(row)
        assert burn is not None
        if tick > 0:
            said.append((burn.breach, burn.stable))
    return said


def first(said: Told, breach: Breach) -> float:
    """Minutes after the first traffic at which it is said first; infinite for never."""
    return next((tick * TICK / 60.0 for tick, (one, _) in enumerate(said, start=1) if one is breach), math.inf)


def to_blame(said: Told) -> bool:
    """Whether at any tick the canary would go back."""
    return (Breach.CRITICAL, False) in said


QUIET = minutes((40.0, 0.5))


# ---- windows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "after"), [(100.0, 5.0), (20.0, 5.0), (9.0, 30.0), (3.0, math.inf)])
def test_a_canary_that_burns_goes_back_once_the_short_window_is_filled(rate: float, after: float) -> None:
    """5 minutes for what would page within the hour, 30 for what would in six; a rate below both never does."""
    said = told(minutes((40.0, rate)), QUIET, before=QUIET)
    assert first(said, Breach.CRITICAL) == pytest.approx(after, abs=0.2)
    assert to_blame(said) is (after < math.inf)


def test_an_hour_that_is_not_over_is_judged_on_what_there_is() -> None:
    """Two minutes of harm in the first six are a burn rate of 20; at the end of the hour they are 2 of it."""
    hit = minutes((3.0, 0.5), (2.0, 60.0), (1.0, 0.5))
    assert first(told(hit, QUIET[: len(hit)], before=QUIET), Breach.CRITICAL) == 5.0
    late = minutes((55.0, 0.5), (2.0, 60.0), (3.0, 0.5))
    assert first(told(late, minutes((60.0, 0.5))), Breach.CRITICAL) == math.inf


def test_the_short_window_ends_it() -> None:
    """Ten minutes after the harm the hour still burns, and nothing is said any more."""
    said = told(minutes((10.0, 60.0), (10.0, 0.0)), minutes((20.0, 0.5)))
    assert said[59] == (Breach.CRITICAL, False)
    assert said[-1] == (Breach.NONE, False)


def test_a_slow_burn_holds_after_six_hours() -> None:
    """More than the budget allows, not enough to call a person."""
    said = told(minutes((400.0, 1.5)), minutes((400.0, 0.5)), asked=(1000.0, 1000.0))
    assert first(said, Breach.WARNING) == pytest.approx(360.0, abs=0.5)
    assert first(said, Breach.CRITICAL) == math.inf


@pytest.mark.parametrize("slo", [SLO, SERVICE])
def test_one_error_in_a_quiet_service_is_nothing(slo: Slo) -> None:
    """One request in 30 s, one of them bad: a burn rate of 100 in five minutes."""
    rates = [0.0] * 60
    rates[33] = 1000.0
    said = told(rates, [0.0] * 60, slo=slo, asked=(1 / 3, 1 / 3))
    assert {breach for breach, _ in said} == {Breach.NONE}


def test_without_requests_nothing_is_known() -> None:
    """Neither kept nor broken."""
    assert told([0.0] * 60, [0.0] * 60, asked=(0.0, 0.0))[-1] == (Breach.UNKNOWN, False)


def test_the_service_has_a_past_and_both_tracks() -> None:
    """The canary's harm is that part of the service's; history fills its windows, so it may be found sooner."""
    tenth, half = (
        told(minutes((40.0, 300.0)), QUIET, slo=SERVICE, before=QUIET, asked=(canary, 1000.0 - canary))
        for canary in (100.0, 500.0)
    )
    assert first(half, Breach.CRITICAL) < 3.0
    assert first(tenth, Breach.CRITICAL) == pytest.approx(9.0, abs=1.0)
    assert to_blame(half)
    assert to_blame(tenth)


# ---- who is to blame ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slo", [SLO, SERVICE])
@pytest.mark.parametrize("rate", [20.0, 100.0])
@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
def test_what_both_suffer_is_not_the_canarys_fault(slo: Slo, rate: float, weight: float) -> None:
    """Though stable had a quiet hour before, which the canary had not."""
    both = minutes((1.0, 0.5), (12.0, rate), (27.0, 0.5))
    said = told(both, both, slo=slo, before=QUIET, asked=(1000.0 * weight, 1000.0 - 1000.0 * weight))
    assert first(said, Breach.CRITICAL) < math.inf or slo is SERVICE
    assert not to_blame(said)


def test_a_service_that_burnt_before_the_rollout_blames_nobody() -> None:
    """It was over before the canary came: who wrote the policy is told, and decides."""
    said = told(minutes((20.0, 50.0)), minutes((20.0, 0.5)), before=minutes((10.0, 0.5), (8.0, 60.0), (10.0, 0.5)))
    assert first(said, Breach.CRITICAL) == 5.0
    assert not to_blame(said)


@pytest.mark.parametrize("before", [minutes((20.0, 12.0)), minutes((4.0, 500.0))])
def test_what_the_service_burnt_before_the_canary_is_not_its_fault(before: list[float]) -> None:
    """Windows of the service keep that time, also where it was too short to fill one."""
    said = told(minutes((35.0, 0.0)), minutes((35.0, 0.0)), slo=SERVICE, before=before, asked=(250.0, 750.0))
    assert first(said, Breach.CRITICAL) < math.inf
    assert not to_blame(said)


def test_a_short_disturbance_of_before_excuses_nothing() -> None:
    """One minute of errors that nobody would have been called for."""
    said = told(minutes((20.0, 50.0)), minutes((20.0, 0.5)), before=minutes((30.0, 0.5), (1.0, 60.0), (9.0, 0.5)))
    assert to_blame(said)


def test_the_worse_of_levels_and_burn_rate_counts() -> None:
    """What the canary alone suffers is worse than what both do, and that is worse than a warning."""
    pages = Burn(period=Seconds(1.0), seen=Seconds(1.0), pairs=(), breach=Breach.CRITICAL, stable=False)
    shared = replace(pages, stable=True)
    assert worse(Breach.CRITICAL, True, pages) == (Breach.CRITICAL, False)
    assert worse(Breach.CRITICAL, False, shared) == (Breach.CRITICAL, False)
    assert worse(Breach.WARNING, False, shared) == (Breach.CRITICAL, True)
    assert worse(Breach.UNKNOWN, False, replace(pages, breach=Breach.NONE)) == (Breach.NONE, False)
    assert worse(Breach.WARNING, True, None) == (Breach.WARNING, True)


def test_rollouts_do_not_know_each_other() -> None:
    """Rows that are given back are blank, and others stay what they were."""
    burning = Burning()
    told(minutes((10.0, 50.0)), minutes((10.0, 0.5)), objectives=burning)
    burning.drop(0)
    assert told(minutes((10.0, 1.0)), minutes((10.0, 0.5)), objectives=burning)[-1] == (Breach.NONE, False)
    assert burning.rows.size == 1
    assert burning.add(None) == burning.add(replace(SLO, burn_rate=None)) == -1
