"""What commands print on terminals of any width: nothing is lost, and no word is broken."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from guardian.cli import fit, output
from guardian.cli.output import Output, Table, show

TABLE = Table(
    columns=("rollout", "place", "phase", "now"),
    rows=[
        ("checkout-e5b24deca7", "production/checkout", "progressing", "held: 'errors' has no metrics of the canary"),
        ("cart-db7f010432", "production/cart", "verified", ""),
    ],
)
WORDS = [word for row in TABLE.rows for cell in row for word in str(cell).split()]


def printed(monkeypatch: pytest.MonkeyPatch, *, room: int) -> str:
    """Return the table as a terminal of that many columns shows it."""
    stream = io.StringIO()
    monkeypatch.setattr(output, "console", lambda: Console(file=stream, width=room, no_color=True, highlight=False))
    show("RolloutList", [], Output.TABLE, tables=[TABLE])
    return stream.getvalue()


@pytest.mark.parametrize("room", [40, 60, 80, 100, 200])
def test_no_word_is_broken_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """An id that is folded cannot be copied."""
    text = printed(monkeypatch, room=room)
    assert all(word in text for word in WORDS)
    assert max(map(len, text.splitlines())) <= room


def test_a_last_column_that_does_not_fit_hangs_below_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences take the lines they need; the rest stays a table."""
    lines = printed(monkeypatch, room=60).splitlines()
    assert lines[0].split() == ["rollout", "place", "phase"]
    assert lines[2].strip() == "held: 'errors' has no metrics of the canary"
    assert lines[3].split() == ["cart-db7f010432", "production/cart", "verified"]


def test_a_terminal_too_narrow_for_columns_gets_a_block_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a cell, and none for what is empty."""
    lines = printed(monkeypatch, room=40).splitlines()
    assert lines[0].split() == ["rollout", "checkout-e5b24deca7"]
    assert sum(line.startswith("now") for line in lines) == 1


def test_long_columns_share_alike() -> None:
    """What two columns say of the same is compared line by line."""
    cell = "rollback after 5m40s (errors, evidence 474)"
    assert fit.widths(("when", "recorded", "replayed"), [("5m", cell, cell)], room=60) == [4, 26, 26]


@given(st.lists(st.lists(st.text("ab c", max_size=12), min_size=3, max_size=3), max_size=4), st.integers(5, 60))
def test_columns_never_take_more_than_there_is(rows: list[list[str]], room: int) -> None:
    """And each has room for its longest word."""
    found = fit.widths(("x", "y", "z"), rows, room=room)
    if found is not None:
        assert sum(found) + 2 * fit.GAP <= room
        assert all(len(word) <= found[at] for row in rows for at, cell in enumerate(row) for word in cell.split())
