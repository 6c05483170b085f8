"""Burn rates as a policy writes them."""

from __future__ import annotations

import pytest

from tests.config.test_policy import ERRORS, GAUGE, LATENCY, finding, policy


@pytest.mark.parametrize(
    ("written", "period", "limits"),
    [("{}", 2_592_000.0, [14.4, 6.0, 1.0]), ("{period: 7d}", 604_800.0, [3.36, 1.4, 1.0])],
)
def test_a_burn_rate_is_for_a_month_unless_it_says_otherwise(written: str, period: float, limits: list[float]) -> None:
    """The workbook's rates follow from the period, and none is below 1: that keeps the objective."""
    objective = policy(f"{ERRORS}      objective: {{target: 99.9%, burn_rate: {written}}}\n").guardrails[0].objective
    assert objective is not None
    assert objective.burn_rate is not None
    assert objective.burn_rate.period == period
    assert [limit for _, limit in objective.burn_rate.limits] == pytest.approx(limits)


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        (ERRORS + "      objective: {target: 99%, burn_rate: {period: 2d}}\n", "2d is not between 7d and 366d"),
        (ERRORS + "      objective: {target: 99%, burn_rate: {period: 2y}}\n", "is not a duration"),
        (ERRORS + "      objective: {target: 99%, burn_rate: {periode: 30d}}\n", "unknown key 'periode'"),
        (ERRORS + "      objective: {target: 99%, burn_rate: 14.4}\n", "is not a mapping of keys to values"),
        (ERRORS + "      objective: {target: 99%, burn_rate: }\n", "is empty"),
        (ERRORS + "      objective: {target: 100%, burn_rate: {}}\n", "target 100 % leaves no error budget"),
        (
            ERRORS + "      objective: {target: 80%, burn_rate: {}}\n",
            "the burn rate would be 5, and a person is called",
        ),
        (
            LATENCY + "      objective: {target: 500ms, quantile: 50%, burn_rate: {}}\n",
            "quantile 50 %: even if every request were bad",
        ),
        (GAUGE + "      objective: {target: 5, burn_rate: {}}\n", "a gauge has no error budget"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused(rest: str, what: str) -> None:
    """With the place, and what to write."""
    found = finding(rest)
    assert what in found.what
    assert found.remedy
    assert found.where.startswith("checkout.yaml:1")
