"""Whether stable breaks an objective as well, where the canary's requests lie in other strata than stable's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.sequential.base import Floats
from guardian.core.looks import Breach
from guardian.core.model import Seconds, Track
from guardian.core.policy import BurnRate, Level, Scope, Slo, WarmUp
from guardian.core.strata import Strata, likeness
from tests.core.zones import BEGAN, R, Service

PAIN = Slo(
    target=0.99, breached="below", warning=None, critical=Level(bound=0.96, lasts=Seconds(60.0)), scope=Scope.CANARY
)
"""Four failures in a hundred: the canary's mix has 8 where zone b is down, stable's 2."""
BOTH = (Track.CANARY, Track.STABLE)


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_zone_that_is_down_for_both_breaks_the_objective_of_both(*, spread: bool, restarts: bool) -> None:
    """On average only the canary's is broken, as most of its requests are there; stable's would be, if its were."""
    at = Service(spread=spread, broken=BOTH, objective=PAIN).until(BEGAN + 300.0, restarts=restarts).of("errors")
    assert at.canary.level == pytest.approx(0.08, abs=0.01)
    assert at.stable.level == pytest.approx(0.02, abs=0.005)
    assert at.breach is Breach.CRITICAL
    assert at.stable_breach


def test_what_a_warming_canary_serves_counts_for_its_mix() -> None:
    """Its rows are compared apart from those of warm pods; its users are where they are."""
    warming = WarmUp(lasts=Seconds(600.0), factor=20.0)
    at = Service(broken=BOTH, objective=PAIN, warm_up=warming).until(BEGAN + 300.0).of("errors")
    assert at.breach is Breach.CRITICAL
    assert at.stable_breach


def test_a_zone_that_is_down_for_the_canary_only_is_its_own_pain() -> None:
    """However much stable's requests there count."""
    at = Service(broken=(Track.CANARY,), objective=PAIN).until(BEGAN + 300.0).of("errors")
    assert at.breach is Breach.CRITICAL
    assert not at.stable_breach


def test_an_objective_without_strata_asks_how_stable_is_on_average() -> None:
    """Where the policy names no labels nothing says that the canary's requests are others."""
    at = Service(named=False, broken=BOTH, objective=PAIN).until(BEGAN + 300.0).of("errors")
    assert at.breach is Breach.CRITICAL
    assert not at.stable_breach


def test_a_closed_rollout_leaves_no_windows_behind() -> None:
    """Both are given back, and used again."""
    service = Service(objective=PAIN)
    service.fleet.close(R)
    used = service.fleet.objectives.rows.size
    service.fleet.open(R, service.policy)
    assert service.fleet.objectives.rows.size == used


@pytest.mark.parametrize("critical", [None, PAIN.critical])
def test_a_budget_that_burns_is_asked_in_the_canarys_mix_too(critical: Level | None) -> None:
    """Alone, or beside a level that is broken for both."""
    slo = Slo(target=0.996, breached="below", critical=critical, burn_rate=BurnRate())
    both, own = (Service(broken=broken, objective=slo) for broken in (BOTH, (Track.CANARY,)))
    for service, shared in ((both, True), (own, False)):
        at = service.until(BEGAN + 400.0, restarts=True).of("errors")
        assert (at.breach, at.stable_breach) == (Breach.CRITICAL, shared)


@given(
    served=st.lists(st.tuples(st.floats(1.0, 1e4), st.floats(1.0, 1e4)), min_size=1, max_size=6),
    again=st.integers(1, 3),
)
def test_weighted_stable_lies_as_the_canary_does_and_no_request_stands_for_several(
    served: list[tuple[float, float]], again: int
) -> None:
    """Parts of the canary, but for strata that stable hardly serves: they say nothing."""
    strata, canary, stable = served_by(served)
    weights = likeness([strata] * again)
    compared = canary * stable.sum() <= 20.0 * stable * canary.sum()
    assert (weights[~compared] == 0.0).all()
    assert weights.max() == 1.0
    counted = (weights * stable)[compared]
    assert counted / counted.sum() == pytest.approx(canary[compared] / canary[compared].sum())


def served_by(served: list[tuple[float, float]]) -> tuple[Strata, Floats, Floats]:
    """Strata that served so many requests of canary and stable."""
    strata = Strata(1)
    strata.add_cell(0)
    for _ in served[1:]:
        strata.add(0)
    canary, stable = np.array(served).T
    strata.serve(strata.of(np.array([0])), canary, stable, seconds=np.array([10.0]))
    return strata, canary, stable


def test_a_stray_request_of_stable_does_not_silence_the_rest() -> None:
    """However long ago it was: the stratum is then one that stable does not serve."""
    strata, _, _ = served_by([(40.0, 1440.0), (160.0, 360.0), (2.0, 1.0)])
    groups = strata.of(np.array([0]))
    for _ in range(30_000):
        strata.serve(groups, np.array([40.0, 160.0, 2.0]), np.array([1440.0, 360.0, 0.0]), seconds=np.array([10.0]))
    assert likeness([strata]) == pytest.approx([40.0 / 1440.0 / (160.0 / 360.0), 1.0, 0.0])


def test_strata_without_one_of_the_tracks_weigh_nothing() -> None:
    """Of requests that stable never had nothing is known; and before the canary's first one nothing at all."""
    strata = Strata(1)
    strata.add_cell(0)
    strata.add(0)
    strata.add(0)
    assert likeness([strata]).tolist() == [0.0, 0.0, 0.0]
    strata.serve(
        strata.of(np.array([0])), np.array([5.0, 5.0, 0.0]), np.array([0.0, 50.0, 50.0]), seconds=np.array([10.0])
    )
    assert likeness([strata]).tolist() == [0.0, 1.0, 0.0]
