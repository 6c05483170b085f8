"""Users who stick to a track, in a rollout: its share, its objectives, its evidence, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.core.amend import loosened
from guardian.core.burning import Burning
from guardian.core.evidence import Panel
from guardian.core.fleet import Fleet
from guardian.core.foresight import Traffic, foresee
from guardian.core.looks import Allocation, Breach
from guardian.core.model import Instant, Ratio, Seconds, Track, Weight
from guardian.core.objectives import Objectives
from guardian.core.policy import Affinity, BurnRate, GaugeSli, Guardrail, Policy, Slo
from guardian.core.roster import comparison
from guardian.core.sentences import rollback_sentence
from tests.builders import ERRORS, OBJECTIVE, policy, seen
from tests.core.test_fleet import R, look, observe, scrapes

SESSION = Seconds(600.0)
AFFINITY = Affinity(requests=3.0, session=SESSION, visit=SESSION, variation=1.0, correlation=Ratio(0.2))
STICKY = policy(affinity=AFFINITY)
BUSY = replace(AFFINITY, requests=30.0, variation=2.0).users


def began(rules: Policy, *, weights: list[tuple[float, float]], ticks: int, times_worse: float = 1.0) -> Fleet:
    """A fleet with R open whose weights were accepted at some times; a third of all requests go to the canary."""
    fleet = Fleet()
    fleet.open(R, rules)
    for at, weight in weights:
        fleet.expect(R, weight=Weight(weight), now=Instant(at))
    observe(fleet, scrapes(ticks=ticks, times_worse=times_worse))
    return fleet


@pytest.mark.parametrize(
    ("weights", "ticks", "sticky", "found"),
    [
        ([(1790.0, 0.1), (1800.0, 0.5)], 220, True, Allocation.FITS),  # users of the former weight are still there
        ([(1790.0, 0.1), (1800.0, 0.5)], 220, False, Allocation.SKEWED),
        ([(1790.0, 0.1), (1800.0, 0.5)], 300, True, Allocation.SKEWED),  # now they are gone
        ([(1790.0, 0.5)], 220, True, Allocation.FITS),  # before the first weight the canary had none
        ([(1790.0, 0.1), (1800.0, 0.2)], 220, True, Allocation.SKEWED),  # more than either weight explains
        ([(1500.0, 0.5), (1790.0, 0.1), (1800.0, 0.05)], 220, True, Allocation.FITS),  # so are users of the first
    ],
)
def test_the_share_may_lie_between_the_weights_of_users_who_are_still_there(
    weights: list[tuple[float, float]], ticks: int, found: Allocation, *, sticky: bool
) -> None:
    """A third of the requests come to the canary all the time."""
    fleet = began(STICKY if sticky else policy(), weights=weights, ticks=ticks)
    assert look(fleet).allocation is found


def test_users_who_are_gone_do_not_count_for_the_share() -> None:
    """What came while they were there is no sign of how the router splits new ones."""
    fleet = began(STICKY, weights=[(1800.0, 1 / 3)], ticks=300)
    state, number = fleet.rollouts, fleet.opened[R].number
    at = look(fleet)
    assert at.allocation is Allocation.FITS
    assert at.observed is not None
    former, new = (float(state[name][number].sum()) for name in ("moving", "share"))
    assert min(former, new) > 0.0
    assert at.observed.requests == former + new


def test_a_restart_in_a_session_remembers_the_former_weight() -> None:
    """The interval is part of the checkpoint."""
    fleet = began(STICKY, weights=[(1790.0, 0.1), (1800.0, 0.5)], ticks=220)
    assert look(fleet).allocation is Allocation.FITS
    again = Fleet()
    again.restore(R, STICKY, fleet.checkpoint(R))
    again.expect(R, weight=Weight(0.5), now=Instant(2200.0))  # as the engine does after a restart
    assert look(again).allocation is Allocation.FITS
    observe(again, [sample for sample in scrapes(ticks=300) if sample[1] > 2190.0])
    assert look(again).allocation is Allocation.SKEWED


@pytest.mark.parametrize(("bad", "users", "breach"), [(10, False, True), (70, True, False), (90, True, True)])
def test_failures_of_one_user_do_not_breach_an_objective(bad: int, *, users: bool, breach: bool) -> None:
    """Seventy of 600 requests fail in every minute: one busy user may have made them all, ninety not."""
    objectives, row, said = Objectives(), 0, []
    row = objectives.add(OBJECTIVE, users=BUSY if users else None)
    for minute in range(1, 5):
        for part in range(6):
            failed = bad if part == 0 else 0
            counts = np.array([[[100.0, failed, failed], [0.0, 0.0, 0.0]]])
            objectives.take(
                np.array([row]), time=np.array([60.0 * minute + 10.0 * part]), counts=counts, live=np.ones(1)
            )
            said.append(objectives.breach(row))
    assert (Breach.CRITICAL in said) is breach


@pytest.mark.parametrize(("share", "users", "found"), [(0.02, False, True), (0.02, True, False), (0.3, True, True)])
def test_failures_of_one_user_are_no_burn_rate(share: float, *, users: bool, found: bool) -> None:
    """A rate of 20 among ten requests a second; and one that no user explains."""
    burning = Burning()
    slo = Slo(target=0.999, breached="below", burn_rate=BurnRate())
    row = burning.add(slo, users=BUSY if users else None)
    for tick in range(1, 36):
        counts = np.array([[[100.0, 100.0 * share], [900.0, 0.0]]])
        burning.take(np.array([row]), time=np.array([10.0 * tick]), counts=counts, began=np.zeros(1))
    burn = burning.standing(row)
    assert burn is not None
    assert (burn.breach is Breach.CRITICAL) is found


def test_the_same_requests_prove_less_where_users_made_them() -> None:
    """Harm and safety both; with correlation 0 a user's requests are as good as anybody's."""
    alone, alike, independent = (
        look(began(rules, weights=[], ticks=240, times_worse=3.0))
        for rules in (policy(), STICKY, policy(affinity=replace(AFFINITY, correlation=Ratio(0.0))))
    )
    assert 0.0 < alike.log_harm < alone.log_harm
    assert independent.log_harm == pytest.approx(alone.log_harm, abs=1e-9)
    well, sticky = (look(began(rules, weights=[], ticks=240)) for rules in (policy(), STICKY))
    assert sticky.log_safe < well.log_safe


def test_levels_of_pods_and_users_who_are_counted_are_no_clusters() -> None:
    """Memory is not made by users one by one, and a user who is counted once is one."""
    counted = replace(ERRORS, units="users")
    assert STICKY.users_of(counted) is None
    alone, users = (
        look(began(rules, weights=[], ticks=240, times_worse=3.0)).log_harm
        for rules in (policy(), replace(STICKY, guardrails=(counted,)))
    )
    assert users == alone
    memory = Guardrail(name="memory", sli=GaugeSli(value="memory_bytes"), compare=None)
    assert STICKY.users_of(memory) is None
    assert STICKY.dispersion(memory) == 1.0
    assert STICKY.users_of(ERRORS) == AFFINITY.users


def test_a_step_asks_for_as_many_users_as_requests() -> None:
    """The default of min_requests, times what counts as one; a number that the policy says is taken as it is."""
    needed = [
        look(began(rules, weights=[], ticks=190)).of("errors").needed
        for rules in (policy(), STICKY, policy(affinity=AFFINITY, guardrails=(replace(ERRORS, min_requests=70),)))
    ]
    assert needed[1] == pytest.approx(needed[0] * STICKY.dispersion(ERRORS), rel=0.01)
    assert needed[2] == 70.0


def test_a_plan_says_how_long_users_take() -> None:
    """Each time grows to when as much is known of users."""
    traffic = Traffic(requests={"errors": 200.0}, errors={"errors": 0.005})
    alone, sticky = (foresee(rules, traffic)[0].sights[0] for rules in (policy(), STICKY))
    for before, after in zip((*alone.worse, alone.promote), (*sticky.worse, sticky.promote), strict=True):
        assert after == pytest.approx(float(AFFINITY.users.wait(np.array(before))))
        assert math.isinf(before) or after > before


def test_users_are_fixed_while_a_rollout_runs() -> None:
    """Evidence and windows rest on them."""
    for before, after in ((STICKY, policy()), (policy(), STICKY)):
        assert loosened(before, after) == ("affinity is what the evidence so far rests on and cannot change",)


def test_users_are_reckoned_with_by_the_clock_and_not_by_the_rows_there_were() -> None:
    """Rows that begin late (all pods warm up, a gap) leave every start of the mixture its users since then."""
    panel = Panel(comparison(ERRORS, (), factor=1.0), users=BUSY)
    cell = panel.add_cell(0.01)
    pods = np.array([panel.add_pod(cell, track=track) for track in (Track.CANARY, Track.CONTROL)])
    cells = np.array([cell])
    for end in np.arange(1200.0, 1801.0, 10.0):
        counts = np.array([[500.0, 10.0], [500.0, 3.0]])
        panel.fold(pods, counts, cells=cells, elapsed=np.array([end]), seconds=np.array([10.0]))
    sums = panel.sums(cells, panel.gains(cells))
    known = sums.information[0, :, 0] > 0
    assert known.sum() > 5
    extra = sums.passing[0, known, 0] / sums.information[0, known, 0]
    assert extra.min() >= float(BUSY.dispersion(np.array(500.0))) - 1.0


def test_a_verdict_says_which_users_it_reckoned_with() -> None:
    """Nothing where the policy has none."""
    at = seen(R, at=Instant(1_750_000_900.0), harm=500.0)
    told = rollback_sentence("checkout", "2.1.0", ERRORS, at, users=AFFINITY.users)
    assert "and for users who stick to a track: up to 2.5 requests count as one" in told
    assert "users" not in rollback_sentence("checkout", "2.1.0", ERRORS, at)
