"""The forecast of `guardian plan` orders things as they are: more traffic and larger changes are faster."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from guardian.config.comparison import DEFAULTS
from guardian.core.foresight import Sight, Traffic, foresee
from guardian.core.model import Seconds, Weight
from guardian.core.policy import Compare, CountSli, GaugeSli, Guardrail, Margin, Match, Policy
from guardian.core.strategies import Canary, Step
from tests.builders import ERRORS, LATENCY

BUCKETS = ((0.1, 0.25, 0.5, 1.0, 2.5, math.inf), (40_000.0, 40_000.0, 15_000.0, 4_000.0, 900.0, 100.0))
PLAN = Canary(
    plan=(
        Step(weight=Weight(0.1), bake=Seconds(300.0)),
        Step(weight=Weight(0.5), bake=Seconds(300.0)),
        Step(weight=Weight(1.0), bake=Seconds(600.0)),
    )
)
POLICY = Policy(name="p", match=Match(service="checkout"), strategy=PLAN, guardrails=(ERRORS, LATENCY))


def traffic(rate: float, errors: float = 0.005) -> Traffic:
    """Return traffic of both guardrails."""
    return Traffic(requests={"errors": rate, "latency": rate}, errors={"errors": errors}, buckets={"latency": BUCKETS})


def sight(policy: Policy = POLICY, rate: float = 200.0, errors: float = 0.005) -> Sight:
    """Return what the first step sees of the error guardrail."""
    return foresee(policy, traffic(rate, errors))[0].sights[0]


MEMORY = Guardrail(name="memory", sli=GaugeSli(value="memory_bytes"), compare=DEFAULTS["gauge"])
ORDERS = Guardrail(name="orders", sli=CountSli(events="orders_total"), compare=DEFAULTS["count"])


def test_what_cannot_be_told_of_gauges_is_not_told() -> None:
    """It is NaN, not "never" and not "at once"; what is known decides how long a step lasts."""
    both = replace(POLICY, guardrails=(ERRORS, MEMORY))
    step, alone = (foresee(rules, traffic(200.0))[1] for rules in (both, replace(POLICY, guardrails=(ERRORS,))))
    memory = step.sights[1]
    assert all(math.isnan(time) for time in (*memory.worse, memory.promote))
    assert memory.sample == 0.0
    assert alone.lasts <= step.lasts < math.inf  # two guardrails share the risk


def test_events_are_seen_by_their_number() -> None:
    """Half as many events take twice as long; without knowing how many a request makes nothing is known."""
    rules = replace(POLICY, guardrails=(ERRORS, ORDERS))
    often, rarely, unknown = (
        foresee(rules, replace(traffic(200.0), requests={"errors": 200.0, "orders": 200.0}, events=events))[0].sights[1]
        for events in ({"orders": 0.2}, {"orders": 0.1}, {})
    )
    assert often.worse[1] < often.worse[0] < math.inf
    assert rarely.worse[0] == pytest.approx(2.0 * often.worse[0])
    assert rarely.promote == pytest.approx(2.0 * often.promote)
    assert all(math.isnan(time) for time in (*unknown.worse, unknown.promote, unknown.sample))


def test_time_is_inverse_to_traffic() -> None:
    """It is a number of requests that is needed."""
    assert sight(rate=50.0).worse[0] == pytest.approx(4 * sight(rate=200.0).worse[0])


def test_a_larger_change_is_seen_sooner() -> None:
    """Twice as bad before one and a half times, in both kinds of guardrail."""
    for one in foresee(POLICY, traffic(200.0))[0].sights:
        assert one.worse[1] < one.worse[0] < math.inf


def test_what_the_margin_allows_is_never_seen() -> None:
    """A canary 1.5 times as bad is healthy for a policy that allows 3."""
    wide = Compare(rollback=Margin(relative=2.5), promote=Margin(relative=3.0))
    lenient = replace(POLICY, guardrails=(replace(ERRORS, compare=wide),))
    assert sight(lenient).worse == (math.inf, math.inf)
    assert sight(lenient).promote < sight().promote


def test_equal_margins_can_never_be_promoted() -> None:
    """To show that nothing is worse at all would take for ever."""
    none = Compare(rollback=Margin(relative=1.0), promote=Margin(relative=1.0))
    assert sight(replace(POLICY, guardrails=(replace(ERRORS, compare=none),))).promote == math.inf


def test_only_the_last_comparable_step_waits_for_the_verdict() -> None:
    """It is not over before the earliest promotion either."""
    first, second, last = foresee(POLICY, traffic(100_000.0))
    assert (first.extends, second.extends, last.extends) == (False, True, False)
    assert first.lasts + second.lasts == POLICY.risk.earliest_promotion
    assert last.sights == ()


def test_a_step_that_outlasts_its_limit_is_late() -> None:
    """With little traffic a person would be paged."""
    assert foresee(POLICY, traffic(1.0))[1].late
    assert foresee(POLICY, traffic(0.0))[1].lasts == math.inf


def test_no_errors_at_all_are_lawful() -> None:
    """A service without errors still has an absolute margin."""
    assert sight(errors=0.0).promote < math.inf


def test_a_sample_is_as_large_as_the_step_asks_for() -> None:
    """Other guardrails share the risk, and leave the default of `min_requests` as it is."""
    both, alone = (
        foresee(replace(POLICY, guardrails=rules), traffic(200.0))[0].sights[0]
        for rules in ((ERRORS, LATENCY), (ERRORS,))
    )
    assert both.sample == alone.sample
    assert both.worse[0] > alone.worse[0]
