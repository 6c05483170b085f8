"""Quantities are read as people write them, and refused where two readings are possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.config.units import UnitError, format_duration, parse_duration, parse_number, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1d", 86400), ("1.5h", 5400), ("0", 0), (0, 0)],
)
def test_durations_are_seconds(text: object, seconds: float) -> None:
    """The forms of the contract, and milliseconds for latencies."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", [5, 1.5, "5", "m5", "5 minutes", "30m1h", "1h1h", "-5m", "", None, True, "5m!"])
def test_a_duration_needs_units_in_order(text: object) -> None:
    """5 could be seconds or minutes; nobody should have to guess."""
    with pytest.raises(UnitError) as caught:
        parse_duration(text)
    assert caught.value.remedy


@given(st.integers(0, 10**9))
def test_a_duration_that_is_written_reads_back(milliseconds: int) -> None:
    """What reference pages and errors show can be pasted into a policy."""
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), ("99.9%", 0.999), (0.05, 0.05), ("0.005%", 5e-5), ("100 %", 1.0), (1, 1.0), (0, 0)],
)
def test_shares_are_exact(text: object, share: float) -> None:
    """99.9% is 0.999 and not a number beside it: equal policies must have equal digests."""
    assert parse_share(text) == share


@pytest.mark.parametrize("value", [300, 0.5])
def test_a_duration_without_unit_is_told_both_that_may_be_meant(value: float) -> None:
    """Latencies are written in milliseconds, bakes in seconds."""
    with pytest.raises(UnitError) as caught:
        parse_duration(value)
    assert f"{value:g}s" in caught.value.remedy
    assert f"{value:g}ms" in caught.value.remedy


@pytest.mark.parametrize("value", [99.95, 5, 1.0001])
def test_a_share_over_one_is_told_how_to_write_a_percentage(value: float) -> None:
    """The usual mistake is a percent sign left out."""
    with pytest.raises(UnitError) as caught:
        parse_share(value)
    assert f"'{value:g}%'" in caught.value.remedy


@pytest.mark.parametrize("value", ["150%", "-1%", -0.1, "0.05", "half", None, True, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(value: object) -> None:
    """A quoted number is text: it is not known whether a percent sign was meant."""
    with pytest.raises(UnitError):
        parse_share(value)


@pytest.mark.parametrize(("value", "number"), [(1.5, 1.5), ("80%", 0.8), (3, 3.0), ("1e-2%", 1e-4)])
def test_numbers_may_be_percentages(value: object, number: float) -> None:
    """A factor of 105% is 1.05."""
    assert parse_number(value) == number


@pytest.mark.parametrize(("value", "size"), [("1MiB", 2**20), (1048576, 2**20), ("64KiB", 65536), ("10 kB", 10000)])
def test_sizes_are_bytes(value: object, size: int) -> None:
    """Binary and decimal units are told apart."""
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["1.5MiB", "MiB", -1, None, "1 TB"])
def test_what_is_no_size_is_refused(value: object) -> None:
    """A limit that is read wrongly shows only under load."""
    with pytest.raises(UnitError):
        parse_size(value)


@pytest.mark.parametrize("text", ["3653d", "99999999h", "1" + "0" * 300 + "s"])
def test_a_duration_is_at_most_ten_years(text: str) -> None:
    """A deadline beyond the year 9999 cannot be written as a date, and every list of rollouts would fail on it."""
    with pytest.raises(UnitError, match="ten years"):
        parse_duration(text)
