"""Burn rates from raw samples: cuts, restarts, history, and who does not ask."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core.fleet import Fleet
from guardian.core.looks import Breach, Burn, Observed, Part
from guardian.core.model import Instant, Ratio, Seconds, Track
from guardian.core.policy import BurnRate, Level, Policy, Scope, Slo
from tests.builders import ERRORS, LATENCY, policy
from tests.core.pods import BEGAN, BOUNDS, STEP, R, Sample, key, look, observe, scrapes

SLO = Slo(target=0.99, breached="below", burn_rate=BurnRate())
SLOW = Slo(target=0.5, breached="above", quantile=Ratio(0.99), burn_rate=BurnRate())
"""5 % of the story's requests take more than 500 ms, 1 % may."""
ASKS = replace(
    policy(),
    guardrails=(
        replace(ERRORS, objective=SLO),
        replace(LATENCY, objective=SLOW),
    ),
)
STORY: dict[str, dict[str, Any]] = {"healthy": {}, "bad": {"worse": 25.0}, "slow": {"slower": 90.0}}


def opened(rule: Policy = ASKS) -> Fleet:
    """A fleet with R open."""
    fleet = Fleet()
    fleet.open(R, rule)
    return fleet


def story(name: str) -> list[Sample]:
    """Samples of half an hour of history, and twelve minutes of the canary."""
    return scrapes(lasts=720.0, rate=60.0, **STORY[name])


def again(fleet: Fleet, rule: Policy = ASKS) -> Fleet:
    """The fleet as the next process has it."""
    blob, after = fleet.checkpoint(R), Fleet()
    after.restore(R, rule, blob)
    assert after.checkpoint(R) == blob
    return after


def burns(fleet: Fleet) -> list[Burn | None]:
    """Burn rates of all guardrails."""
    return [one.burn for one in look(fleet).guardrails]


def at_once(name: str) -> list[Burn | None]:
    """What a story says in one delivery."""
    fleet = opened()
    observe(fleet, story(name))
    return burns(fleet)


@pytest.mark.parametrize(
    ("name", "breaches"),
    [
        ("healthy", [Breach.NONE, Breach.NONE]),
        ("bad", [Breach.CRITICAL, Breach.NONE]),
        ("slow", [Breach.NONE, Breach.CRITICAL]),
    ],
)
def test_errors_and_slow_requests_burn(name: str, breaches: list[Breach]) -> None:
    """25 times the errors; and 23 % of the requests slower than the objective's target. Stable has neither."""
    found = [burn for burn in at_once(name) if burn is not None]
    assert [(burn.breach, burn.stable) for burn in found] == [(breach, False) for breach in breaches]
    assert [burn.seen for burn in found] == [720.0, 720.0]
    rate = {"healthy": (1.0, 5.0), "bad": (25.0, 5.0), "slow": (1.0, 23.0)}[name]
    assert [burn.pairs[0].rates[0] for burn in found] == [pytest.approx(each, rel=0.15) for each in rate]


@settings(max_examples=8)
@given(
    name=st.sampled_from(sorted(STORY)), cuts=st.lists(st.integers(0, 252), max_size=5), seed=st.integers(0, 9),
)  # fmt: skip
def test_deliveries_of_whole_scrapes_with_restarts_burn_the_same(name: str, cuts: list[int], seed: int) -> None:
    """To the last bit, wherever they are cut and in whatever order their samples come."""
    samples, random, fleet = story(name), np.random.default_rng(seed), opened()
    for begin, end in pairwise([-1.0, *sorted(cut * STEP for cut in cuts), 1e9]):
        piece = [sample for sample in samples if begin < sample[1] <= end]
        observe(fleet, [piece[place] for place in random.permutation(len(piece))])
        look(fleet)
        fleet = again(fleet)
    assert burns(fleet) == at_once(name)


@settings(max_examples=8)
@given(name=st.sampled_from(sorted(STORY)), cuts=st.lists(st.integers(0, 10_000), max_size=4))
def test_deliveries_cut_anywhere_say_the_same(name: str, cuts: list[int]) -> None:
    """In the middle of a scrape too, each part twice."""
    samples, fleet = story(name), opened()
    for begin, end in pairwise([0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]):
        observe(fleet, samples[max(begin - 50, 0) : end])
        look(fleet)
    for one, whole in zip(burns(fleet), at_once(name), strict=True):
        assert one is not None
        assert whole is not None
        assert (one.breach, one.stable) == (whole.breach, whole.stable)
        assert one.pairs[0].rates == pytest.approx(whole.pairs[0].rates, rel=0.1)


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("burnt", [False, True])
def test_history_in_one_go_leaves_what_it_leaves_tick_by_tick(
    scope: Scope, monkeypatch: pytest.MonkeyPatch, *, burnt: bool
) -> None:
    """The same bytes, whether the service burnt in it or not."""
    objective = replace(SLO, target=0.9995 if burnt else 0.99, scope=scope)
    rule = replace(ASKS, guardrails=(replace(ERRORS, objective=objective), ASKS.guardrails[1]))
    found = []
    for whole in (True, False):
        if not whole:
            monkeypatch.setattr("guardian.core.feeding.take_history", lambda *_: False)
        fleet = opened(rule)
        observe(fleet, story("healthy"))
        found.append((burns(fleet), fleet.burning.rows.row(0)))
    assert found[0][0] == found[1][0]
    assert found[0][0][0] is not None
    assert found[0][0][0].stable is burnt
    for name, value in found[0][1].items():
        np.testing.assert_array_equal(value, found[1][1][name], err_msg=name)


def test_who_does_not_ask_keeps_nothing() -> None:
    """Nor is told anything."""
    fleet = opened(replace(policy(), guardrails=(ERRORS, LATENCY)))
    observe(fleet, story("bad"))
    assert burns(fleet) == [None, None]
    assert fleet.burning.rows.size == 0


def test_a_tightened_policy_keeps_its_windows() -> None:
    """Another threshold beside them changes nothing; another budget begins anew."""
    fleet, errors = opened(), ASKS.guardrails[0]
    observe(fleet, story("bad"))
    known = burns(fleet)
    assert errors.objective is not None
    for objective, kept in (
        (replace(errors.objective, critical=Level(bound=0.5, lasts=Seconds(60.0))), True),
        (replace(errors.objective, target=0.999), False),
    ):
        rule = replace(ASKS, guardrails=(replace(errors, objective=objective), ASKS.guardrails[1]))
        after = Fleet()
        after.restore(R, rule, fleet.checkpoint(R))
        found = burns(after)
        assert found[1] == known[1]
        assert (found[0] == known[0]) is kept


def test_a_burn_rate_that_an_amendment_adds_begins_with_it() -> None:
    """Ten minutes of the canary are over; nothing is known of them, and five more are waited for."""
    plain = replace(policy(), guardrails=(ERRORS, LATENCY))
    fleet, samples = opened(plain), story("bad")
    observe(fleet, [sample for sample in samples if sample[1] <= BEGAN + 600.0])
    look(fleet)
    fleet.restore(R, ASKS, fleet.checkpoint(R))
    observe(fleet, [sample for sample in samples if sample[1] > BEGAN + 600.0])
    found = burns(fleet)[0]
    assert found is not None
    assert (found.breach, found.seen) == (Breach.NONE, 110.0)
    assert found.pairs[0].rates[0] == pytest.approx(25.0, rel=0.2)


def test_a_canary_of_before_the_rollout_burns_nothing() -> None:
    """Its rows are an earlier release's."""
    fleet = Fleet()
    fleet.open(R, ASKS, since=Instant(BEGAN + 720.0))
    observe(fleet, story("bad"))
    found = burns(fleet)[0]
    assert found is not None
    assert (found.breach, found.seen) == (Breach.UNKNOWN, 0.0)


def test_buckets_that_straddle_the_target_are_not_slow() -> None:
    """500 ms is a bound, 400 ms is not: then only what is surely slower counts, from the next bound on."""
    rates = []
    for target in (0.5, 0.4, 0.25):
        fleet = opened(replace(policy(), guardrails=(replace(LATENCY, objective=replace(SLOW, target=target)),)))
        observe(fleet, story("healthy"))
        (burn,) = burns(fleet)
        assert burn is not None
        rates.append(burn.pairs[0].rates[0])
    assert 0.5 in BOUNDS
    assert rates[0] == rates[1]
    assert rates[2] == pytest.approx(20.0, rel=0.2)  # a fifth of the requests took more than 250 ms


def test_a_series_of_nothing_known_is_no_burn() -> None:
    """A guardrail whose selector finds nothing says unknown, as its thresholds do."""
    fleet = opened()
    fleet.series(key(Track.CANARY, 0, Part.TOTAL))
    fleet.observe(Observed(series=np.zeros(0, dtype=np.int64), time=np.zeros(0), value=np.zeros(0)))
    assert [one.breach for one in look(fleet).guardrails] == [Breach.UNKNOWN, Breach.UNKNOWN]
