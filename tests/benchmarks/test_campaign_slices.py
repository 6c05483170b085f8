"""The fixed slice of every campaign; a new file in benchmarks/campaigns is held by being there."""

import pickle

import pytest

from benchmarks import campaigns
from benchmarks.cells import Standing, judge, overall
from benchmarks.schedule import run_slice

CELLS = [
    pytest.param(name, cell.name, id=f"{name}-{cell.name}")
    for name in campaigns.names()
    for cell in campaigns.load(name).cells
]


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "cell"), CELLS)
def test_no_cell_is_rejected(name: str, cell: str) -> None:
    """The lower 95 % limit of every claim is within what it allows, on seeds fixed once and for all."""
    chosen = campaigns.load(name).cell(cell)
    claims = judge(chosen, run_slice(chosen))
    assert overall(claims) is not Standing.REJECTED, claims


@pytest.mark.parametrize("name", campaigns.names())
def test_every_cell_can_be_given_to_another_process(name: str) -> None:
    """A full run hands them to a pool; a function made on the spot would fail only there."""
    cells = campaigns.load(name).cells
    assert [cell.name for cell in pickle.loads(pickle.dumps(cells))] == [cell.name for cell in cells]  # noqa: S301
