"""Seeds that are played side by side end as they would alone: runs are equal in every figure and word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.run import run
from simulator.sweep import parts_of
from simulator.together import TOGETHER, run_together
from tests.simulator.worlds import shipped

SEEDS = (3, 1, 8)


@pytest.mark.parametrize("name", ["S02", "S06", "S11", "S14a", "S15", "S17", "S29", "S37a", "S41a", "S52", "S56"])
def test_runs_side_by_side_end_as_each_would_alone(name: str) -> None:
    """Some end early, some wait, lose their metrics or set the clock back while others go on."""
    scenario = shipped(name)
    assert run_together(scenario, SEEDS) == [run(scenario, seed) for seed in SEEDS]


def test_more_runs_than_fit_side_by_side_come_in_order() -> None:
    """A second group begins where the first one ended."""
    scenario = shipped("S01")
    seeds = range(TOGETHER + 2)
    assert [one.seed for one in run_together(scenario, seeds)] == list(seeds)


@pytest.mark.parametrize("name", ["S20", "S07"])
def test_what_cannot_be_played_side_by_side_is_played_all_the_same(name: str) -> None:
    """Several services in one world; requests one by one."""
    scenario = shipped(name)
    assert run_together(scenario, (4,)) == [run(scenario, 4)]


@given(seeds=st.lists(st.integers(), min_size=1, max_size=200), least=st.integers(1, 20), most=st.integers(1, 30))
def test_seeds_are_cut_into_equal_parts(seeds: list[int], least: int, most: int) -> None:
    """Nothing is lost or turned round; no process waits for work, none gets more than it may."""
    parts = parts_of(seeds, least, most)
    assert [seed for part in parts for seed in part] == seeds
    assert len(parts) >= min(least, len(seeds))
    sizes = {len(part) for part in parts}
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
