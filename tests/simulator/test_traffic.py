"""Shapes of traffic over time."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from simulator.traffic import Traffic

MINUTES = 60.0


def _rates(written: dict[str, object], *minutes: float) -> list[float]:
    traffic = TypeAdapter(Traffic).validate_python(written)
    rates: list[float] = traffic.at(np.array(minutes) * MINUTES).tolist()
    return rates


def test_steady_is_steady() -> None:
    """Before the shift and long after."""
    assert _rates({"kind": "steady", "rate": 5}, -10, 0, 100) == [5, 5, 5]


def test_a_ramp_begins_with_the_traffic_shift_and_stays_at_its_end() -> None:
    """Before the shift, history sees the old level."""
    written = {"kind": "ramp", "rate": 50, "to": 400, "over": "30m"}
    assert _rates(written, -10, 0, 15, 30, 60) == [50, 50, 225, 400, 400]


def test_on_and_off_take_turns() -> None:
    """And `quiet` is what is left of the rate while off."""
    written = {"kind": "on_off", "rate": 100, "on": "2m", "off": "3m", "quiet": "1%"}
    assert _rates(written, 0, 1.9, 2.1, 4.9, 5.1) == [100, 100, 1, 1, 100]


def test_a_night_is_half_a_day_from_its_noon() -> None:
    """The lowest point is where the scenario puts it."""
    written = {"kind": "daily", "low": 0.4, "high": 40, "low_at": "0s"}
    assert _rates(written, 0, 12 * 60, 24 * 60) == pytest.approx([0.4, 40, 0.4])
