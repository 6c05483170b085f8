"""Readings of gauges as rows that add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.readings import COLUMNS, LARGEST, REMEMBERED, Column, reading_rows
from analysis.sequential.base import Floats

LEVEL = st.floats(-1e6, 1e6, allow_nan=False)


def rows(values: Floats, *, start: float = 0.0) -> Floats:
    """Rows (T, COLUMNS) of one series read every ten seconds."""
    memory = np.zeros((1, REMEMBERED))
    return np.concatenate(
        [reading_rows(np.array([v]), np.array([start + 10.0 * i]), memory) for i, v in enumerate(values)]
    )


@given(values=st.lists(LEVEL, min_size=2, max_size=20), shift=LEVEL)
def test_residuals_do_not_know_the_level(values: list[float], shift: float) -> None:
    """A pod that lies higher for ever has the same residuals: that is what makes leaks of unequal pods comparable."""
    plain, moved = rows(np.array(values)), rows(np.array(values) + shift)
    assert moved[:, Column.RESIDUAL_SUM] == pytest.approx(plain[:, Column.RESIDUAL_SUM], rel=1e-6, abs=1e-4)


def test_residuals_of_independent_noise_are_independent_and_equally_noisy() -> None:
    """Brown, Durbin and Evans: the first ones too, though they look back on little."""
    random = np.random.default_rng(2)
    values, memory, found = random.normal(5.0, 2.0, (12, 40_000)), np.zeros((40_000, REMEMBERED)), []
    for i, value in enumerate(values):
        found.append(reading_rows(value, np.full(40_000, 10.0 * i), memory)[:, Column.RESIDUAL_SUM])
    correlation = np.cov(np.array(found[1:]))
    assert correlation == pytest.approx(4.0 * np.eye(11), abs=0.12)


def test_a_steady_growth_is_its_lever() -> None:
    """One unit a second: every residual equals its lever, so a slope is read off exactly."""
    found = rows(np.arange(30.0) * 10.0, start=1e9)
    assert found[:, Column.RESIDUAL_SUM] == pytest.approx(found[:, Column.LEVER], rel=1e-6, abs=1e-4)
    assert np.all(np.diff(found[1:, Column.LEVER]) > 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0 * LARGEST])
def test_an_unusable_reading_changes_nothing(value: float) -> None:
    """It is as if the pod had not been asked."""
    memory = np.array([[3.0, 10.0, 20.0]])
    assert not reading_rows(np.array([value]), np.array([40.0]), memory).any()
    assert memory.tolist() == [[3.0, 10.0, 20.0]]


def test_a_past_that_begins_anew_forgets_the_old_one() -> None:
    """When the canary's traffic begins, every pod looks back equally far."""
    memory = np.array([[50.0, 10.0, 20.0], [50.0, 10.0, 20.0]])
    found = reading_rows(np.array([12.0, 12.0]), np.array([30.0, 30.0]), memory, anew=np.array([True, False]))
    assert found[:, Column.RESIDUALS].tolist() == [0.0, 1.0]
    assert memory[0].tolist() == [1.0, 12.0, 30.0]


def test_rows_have_the_columns_that_are_named() -> None:
    """One enumeration for whoever makes rows and whoever reads them."""
    assert rows(np.array([1.0])).shape == (1, COLUMNS)
