"""The rule that accepts, rejects or asks for more runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cells import Campaign, Cell, Counts, Standing, judge, judge_claim, limits, overall, runs_after


def nothing_happens(seed: int, runs: int) -> Counts:
    """A cell in which the event never happens."""
    return Counts(runs=runs, events={"event": 0 * seed})


def test_limits_agree_with_the_published_table() -> None:
    """Clopper and Pearson, 3 of 20: one-sided 95 % limits 4.22 % and 34.37 %."""
    assert limits(3, 20) == pytest.approx((0.0422, 0.3437), abs=5e-5)


def test_no_event_has_a_limit_of_three_over_n() -> None:
    """The rule of three: 0 of n is as likely as 5 % when the share is 1 - 0.05 ** (1 / n), about 3 / n."""
    assert limits(0, 2_000) == pytest.approx((0.0, 1 - 0.05 ** (1 / 2_000)))


def test_only_events_leave_no_upper_room() -> None:
    """All of the runs: the upper limit is 1, the lower one below it."""
    lower, upper = limits(10, 10)
    assert (upper, lower < 1) == (1.0, True)


@pytest.mark.parametrize(("count", "runs"), [(1, 0), (-1, 5), (6, 5)])
def test_a_share_that_cannot_be_is_refused(count: int, runs: int) -> None:
    """Bad counts are a bug of a cell and never a limit."""
    with pytest.raises(ValueError, match="not a share"):
        limits(count, runs)


@given(st.integers(1, 5_000).flatmap(lambda runs: st.tuples(st.integers(0, runs), st.just(runs))))
def test_the_share_itself_is_within_its_limits(counted: tuple[int, int]) -> None:
    """Limits enclose what was seen, whatever was seen."""
    count, runs = counted
    lower, upper = limits(count, runs)
    assert 0 <= lower <= count / runs <= upper <= 1


@pytest.mark.parametrize(
    ("count", "standing"),
    [(4, Standing.ACCEPTED), (20, Standing.UNDECIDED), (40, Standing.REJECTED)],
)
def test_a_claim_is_judged_by_its_limits(count: int, standing: Standing) -> None:
    """Allowed 1 % over 2,000 runs: 4 are within, 40 beyond, 20 could be either."""
    assert judge_claim("event", count=count, runs=2_000, allowed=0.01).standing is standing


def test_an_undecided_cell_doubles_up_to_32_000() -> None:
    """2,000, 4,000, .. 32,000 and no further."""
    asked = [0]
    while (runs := runs_after(asked[-1], Standing.UNDECIDED)) is not None:
        asked.append(runs)
    assert asked == [0, 2_000, 4_000, 8_000, 16_000, 32_000]


@pytest.mark.parametrize("standing", [Standing.ACCEPTED, Standing.REJECTED])
def test_a_decided_cell_asks_for_nothing(standing: Standing) -> None:
    """More runs after the answer would only be looking for another one."""
    assert runs_after(2_000, standing) is None


def test_a_cell_needs_all_its_claims() -> None:
    """One claim beyond rejects; one open claim keeps the cell open."""
    cell = Cell(name="two", run=nothing_happens, at_most={"rare": 0.01, "common": 0.5})
    standings = [overall(judge(cell, Counts(runs=2_000, events={"rare": rare, "common": 10}))) for rare in (4, 20, 40)]
    assert standings == [Standing.ACCEPTED, Standing.UNDECIDED, Standing.REJECTED]


def test_counts_add_up() -> None:
    """Runs, events and figures of two chunks together; an event only one of them saw counts too."""
    both = Counts(runs=3, events={"a": 1}, figures={"s": (1.0,)}) + Counts(
        runs=4, events={"a": 2, "b": 4}, figures={"s": (float("inf"),)}
    )
    assert both == Counts(runs=7, events={"a": 3, "b": 4}, figures={"s": (1.0, float("inf"))})


def test_more_events_than_runs_are_refused() -> None:
    """Such counts would be judged as if they meant something."""
    with pytest.raises(ValueError, match=r"'a': 4 of 3 runs; allowed is 0\.\.3"):
        Counts(runs=3, events={"a": 4})


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_a_claim_that_cannot_fail_or_pass_is_refused(share: float) -> None:
    """At most 0 can never be shown, at most 1 never be refuted."""
    with pytest.raises(ValueError, match=r"shares in \(0, 1\)"):
        Cell(name="never", run=nothing_happens, at_most={"event": share})


def test_two_cells_of_one_name_are_refused() -> None:
    """They would share seeds and saved counts."""
    cell = Cell(name="same", run=nothing_happens, at_most={"event": 0.5})
    with pytest.raises(ValueError, match="names of their own"):
        Campaign(name="twins", claim="None.", cells=(cell, cell))


def test_an_unknown_cell_is_answered_with_the_known_ones() -> None:
    """A slip of the pen must not cost a look into the source."""
    cell = Cell(name="same", run=nothing_happens, at_most={"event": 0.5})
    with pytest.raises(LookupError, match="no cell 'other'; there are: same"):
        Campaign(name="one", claim="None.", cells=(cell,)).cell("other")
