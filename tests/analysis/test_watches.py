"""Watches of one track: burn rates, and a service against its own past."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.budget import PAGE_FAST, PAIRS
from analysis.sequential import WATCHES, BurnWatch, PastWatch, Watch
from analysis.sequential.base import Floats
from analysis.sequential.past import BLOCK, NOW

TABLE: dict[str, Watch] = {
    "burn": BurnWatch(objective=0.999),
    "past": PastWatch(relative=1.2, absolute=0.0),
    "past, few": PastWatch(relative=1.2, few=True),
}
EVERY = pytest.mark.parametrize("name", list(TABLE))


def fed(watch: Watch, ticks: Floats, *, live: int, seconds: float = BLOCK) -> Floats:
    """Memory (C, remembered) after ticks (T, C, 2), the last `live` of which lie after the change."""
    memory = np.zeros((ticks.shape[1], watch.remembered))
    for number, counts in enumerate(ticks):
        after = np.full(len(memory), number >= len(ticks) - live)
        watch.take(memory, counts, seconds=np.full(len(memory), seconds), live=after)
    return memory


def steady(events: float, exposure: float, *, ticks: int, cells: int = 1) -> Floats:
    """The same row at every tick."""
    return np.tile([events, exposure], (ticks, cells, 1))


def drawn(seed: int, *, ticks: int, cells: int, worse: float = 1.0, after: int = 0) -> Floats:
    """Poisson events among 6,000; the last `after` ticks `worse` times as many."""
    random = np.random.default_rng(seed)
    events = 30.0 * np.where(np.arange(ticks) >= ticks - after, worse, 1.0)[:, None]
    return np.stack((random.poisson(np.broadcast_to(events, (ticks, cells))), np.full((ticks, cells), 6000.0)), axis=-1)


def test_every_watch_is_tested() -> None:
    """A new line in WATCHES needs a line in TABLE."""
    assert {type(watch) for watch in TABLE.values()} == set(WATCHES.values())


@EVERY
def test_nothing_is_found_in_nothing(name: str) -> None:
    """No rows, rows of zeros for two hours, rows that are no numbers."""
    watch = TABLE[name]
    for value in (0.0, np.nan, -1.0, np.inf):
        memory = fed(watch, np.full((240, 2, 2), value), live=60)
        standing = watch.standing(memory)
        assert np.isfinite(memory).all()
        assert not standing.found.any()
        assert standing.log_evidence == pytest.approx(np.zeros(standing.log_evidence.shape), abs=1e-9)
    assert not watch.standing(np.zeros((2, watch.remembered))).found.any()


@EVERY
def test_a_million_million_per_tick_is_no_exception(name: str) -> None:
    """10^12 of everything."""
    memory = fed(TABLE[name], steady(1e9, 1e12, ticks=80), live=20)
    standing = TABLE[name].standing(memory)
    assert np.isfinite(standing.log_evidence).all()
    assert not standing.found[:, -1:].any()


@EVERY
@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 100), seed=st.integers(0, 1000))
def test_a_restored_memory_goes_on_bit_for_bit(name: str, cut: int, seed: int) -> None:
    """Memory is numbers only; where it was written out does not show."""
    watch, ticks = TABLE[name], drawn(seed, ticks=100, cells=2, worse=3.0, after=30)
    whole = fed(watch, ticks, live=30)
    memory = np.zeros((2, watch.remembered))
    for number, counts in enumerate(ticks):
        if number == cut:
            memory = np.frombuffer(memory.tobytes()).reshape(memory.shape).copy()
        watch.take(memory, counts, seconds=np.full(2, BLOCK), live=np.full(2, number >= 70))
    assert memory.tobytes() == whole.tobytes()


@EVERY
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), parts=st.integers(2, 6))
def test_a_tick_cut_into_parts_says_the_same(name: str, seed: int, parts: int) -> None:
    """How often the source is asked is no evidence, as long as blocks end where they ended."""
    watch, ticks = TABLE[name], drawn(seed, ticks=70, cells=2, worse=2.0, after=20)
    whole = watch.standing(fed(watch, ticks, live=20))
    small = np.repeat(ticks / parts, parts, axis=0)
    part = watch.standing(fed(watch, small, live=20 * parts, seconds=BLOCK / parts))
    assert part.log_evidence == pytest.approx(whole.log_evidence, rel=1e-6, abs=1e-6)


@EVERY
def test_cells_do_not_know_each_other(name: str) -> None:
    """Rollouts are independent: alone or among others a cell stands the same."""
    watch, ticks = TABLE[name], drawn(3, ticks=100, cells=5, worse=2.0, after=30)
    together = watch.standing(fed(watch, ticks, live=30))
    alone = watch.standing(fed(watch, ticks[:, 2:3], live=30))
    assert alone.log_evidence[0] == pytest.approx(together.log_evidence[2], rel=1e-12, abs=1e-12)


@EVERY
def test_more_harm_is_more_evidence(name: str) -> None:
    """Monotone in the effect, and in the end it is found."""
    watch = TABLE[name]
    effects = np.array([1.1, 2.0, 4.0, 12.0])
    effects = 1.0 / effects if name == "past, few" else effects
    history = np.repeat(steady(30.0, 6000.0, ticks=80), len(effects), axis=1)
    worse = np.stack((np.round(30.0 * effects), np.full(4, 6000.0)), axis=1)[None].repeat(40, axis=0)
    standing = watch.standing(fed(watch, np.concatenate((history, worse)), live=40))
    level = standing.log_evidence[:, 0]
    assert np.all(np.diff(level) > -1e-9)
    assert standing.found[-1, 0]
    assert not standing.found[0, 0]


def test_burn_rates_of_the_workbook() -> None:
    """2, 5 and 10 % of a month's budget in 1 h, 6 h and 3 days are burn rates of 14.4, 6 and 1."""
    assert BurnWatch(objective=0.999).limits == pytest.approx([14.4, 6.0, 1.0])


def test_a_short_window_ends_the_alarm() -> None:
    """Half an hour of 5 % errors pages; ten quiet minutes later the hour is still bad, and the page is over."""
    watch = BurnWatch(objective=0.999)
    bad = fed(watch, steady(300.0, 6000.0, ticks=60), live=60)
    assert watch.standing(bad).found[0, 0]
    for _ in range(20):
        watch.take(bad, np.array([[0.0, 6000.0]]), seconds=np.full(1, BLOCK), live=np.full(1, fill_value=True))
    assert watch.rates(bad)[0, 0, 0] > 14.4
    assert not watch.standing(bad).found[0, 0]


def test_a_pair_is_asked_once_its_short_window_is_filled() -> None:
    """A burst in the first minute is no trend; five minutes of it page, and half an hour is asked of the slow pair."""
    watch = BurnWatch(objective=0.999)
    found = [
        watch.standing(fed(watch, steady(300.0, 6000.0, ticks=ticks), live=ticks)).found[0] for ticks in (9, 10, 59, 60)
    ]
    assert [each.tolist() for each in found] == [
        [False, False, False], [True, False, False], [True, False, False], [True, True, False],
    ]  # fmt: skip


def test_a_short_period_asks_for_no_more_than_its_objective() -> None:
    """A tenth of a week's budget in three days is a burn rate of 0.23: that keeps the objective."""
    assert BurnWatch(objective=0.999, period=7 * 86400.0).limits == pytest.approx([3.36, 1.4, 1.0])


def test_few_bad_events_do_not_page() -> None:
    """1 of 20 is a burn rate of 50, and no evidence of anything."""
    watch = BurnWatch(objective=0.999)
    memory = fed(watch, steady(1.0, 20.0, ticks=1), live=1)
    assert watch.rates(memory)[0, 0] == pytest.approx([50.0, 50.0])
    assert not watch.standing(memory).found.any()


def test_more_bad_than_events_is_time_without_data() -> None:
    """What cannot be is not counted."""
    watch = BurnWatch(objective=0.999)
    assert not fed(watch, steady(10.0, 5.0, ticks=3), live=3)[:, 1:].any()


def test_a_burn_window_forgets_what_is_older() -> None:
    """A window reaches back for its length and one piece more, whatever the ticks."""
    watch = BurnWatch(objective=0.999, pairs=(PAGE_FAST,))
    memory = fed(watch, steady(60.0, 600.0, ticks=1), live=1)
    for _ in range(int(300.0 / BLOCK) + 1):
        watch.take(memory, np.zeros((1, 2)), seconds=np.full(1, BLOCK), live=np.full(1, fill_value=True))
    totals = watch.totals(memory)
    assert totals[0, 0, 1].tolist() == [0.0, 0.0]
    assert totals[0, 0, 0].tolist() == [60.0, 600.0]


@pytest.mark.parametrize("objective", [-0.1, 1.0])
def test_an_objective_without_a_budget_is_refused(objective: float) -> None:
    """A burn rate needs something to burn."""
    with pytest.raises(ValueError, match="objective"):
        BurnWatch(objective=objective, pairs=PAIRS)


def foretold(history: Floats, most: int, *, few: bool = False) -> tuple[Floats, Floats, PastWatch]:
    """Chances (X,) of 0..most events in the first block after the change, and evidence (X,) after each."""
    watch = PastWatch(relative=1.1, few=few)
    cells = most + 1
    memory = np.repeat(fed(watch, history, live=0), cells, axis=0)
    before = watch.prior + memory[0, 11 : 11 + 3 * watch.models].reshape(watch.models, 3)[:, 2]
    rows = np.stack((np.arange(cells), np.full(cells, 6000.0)), axis=1)
    watch.take(memory, rows, seconds=np.full(cells, BLOCK), live=np.full(cells, fill_value=True))
    after = watch.prior + memory[:, 11 : 11 + 3 * watch.models].reshape(cells, watch.models, 3)[:, :, 2]
    weights = np.exp(before - before.max())
    chance = (weights * np.exp(after - before)).sum(axis=1) / weights.sum()
    return chance, np.exp(memory[:, NOW]), watch


@pytest.mark.parametrize("few", [False, True])
def test_a_past_that_foretells_itself_gains_nothing(*, few: bool) -> None:
    """E-process property: over all outcomes, with the chances the models give, evidence is 1 on average."""
    chance, evidence, _ = foretold(drawn(1, ticks=80, cells=1), 4_000, few=few)
    assert chance.sum() == pytest.approx(1.0, abs=1e-3)
    assert (chance * evidence).sum() == pytest.approx(1.0, abs=1e-3)


def test_a_short_history_finds_nothing() -> None:
    """Uncalibrated is a state: evidence is told, and nothing is found, however bad it looks."""
    watch = PastWatch(relative=1.2)
    for ticks, calibrated in ((40, False), (100, True)):
        memory = fed(
            watch, np.concatenate((steady(30.0, 6000.0, ticks=ticks), steady(600.0, 6000.0, ticks=20))), live=20
        )
        standing = watch.standing(memory)
        assert standing.log_evidence[0, 0] > np.log(100.0)
        assert bool(standing.calibrated[0]) == calibrated
        assert bool(standing.found[0, 0]) == calibrated


def test_history_must_last_longer_than_the_time_since_the_change() -> None:
    """Half an hour of history says little about how a level wanders within an hour."""
    watch = PastWatch(relative=1.2)
    memory = fed(watch, steady(30.0, 6000.0, ticks=80 + 60), live=60)
    assert not watch.standing(memory).calibrated[0]


@pytest.mark.parametrize("relative", [0.9, np.nan])
def test_a_margin_below_one_is_refused(relative: float) -> None:
    """A service as it was would count as worse."""
    with pytest.raises(ValueError, match="relative"):
        PastWatch(relative=relative)


def test_the_absolute_margin_is_on_top() -> None:
    """At 0.5 % a margin of 1 percentage point more allows three times as many."""
    history = steady(30.0, 6000.0, ticks=80)
    ticks = np.concatenate((history, steady(75.0, 6000.0, ticks=20)))
    strict, wide = (PastWatch(relative=1.2, absolute=absolute) for absolute in (0.0, 0.01))
    assert strict.standing(fed(strict, ticks, live=20)).found[0, 0]
    assert wide.standing(fed(wide, ticks, live=20)).log_evidence[0, 0] < 0.0
