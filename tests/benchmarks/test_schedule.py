"""Which chunks run, and that the outcome depends on the seed alone."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.cells import Cell, Counts
from benchmarks.progress import PlainReporter
from benchmarks.schedule import chunk_seed, run_cells, run_slice
from tests.benchmarks.coins import EVEN, cell, coin

Known = Mapping[str, Mapping[int, Counts]]


def outcome(
    cells: list[Cell], *, seed: int = 1, threads: int = 1, known: Known | None = None
) -> tuple[dict[str, Counts], list[tuple[str, int]]]:
    """Counts of every cell when it was judged, and the chunks that were run for them."""
    ran: list[tuple[str, int]] = []

    def note(cell: Cell, index: int, counts: Counts) -> None:
        assert counts.runs == cell.chunk
        ran.append((cell.name, index))

    with ThreadPoolExecutor(threads) as executor:
        runs = run_cells(
            cells,
            seed=seed,
            executor=executor,
            reporter=PlainReporter("coins"),
            known=known or {},
            on_chunk=note,
        )
        return {run.cell.name: run.counts for run in runs}, ran


def test_a_clear_cell_ends_after_2_000_runs() -> None:
    """Neither 30 % nor 60 % needs more to be told from 50 %."""
    counts, _ = outcome([cell(0.3), cell(0.6)])
    assert {name: count.runs for name, count in counts.items()} == {"30%": 2_000, "60%": 2_000}


def test_an_undecided_cell_runs_to_32_000() -> None:
    """A coin exactly on its claim is never decided; every chunk is run once."""
    counts, ran = outcome([EVEN])
    assert (counts["even"].runs, sorted(ran)) == (32_000, [("even", index) for index in range(64)])


def test_the_number_of_workers_changes_nothing() -> None:
    """Chunks have seeds of their own, and counts are added in the order of their index."""
    assert outcome([cell(0.48), cell(0.3)], threads=1)[0] == outcome([cell(0.48), cell(0.3)], threads=4)[0]


def test_known_chunks_are_not_run_again() -> None:
    """After a stop the rest is run, and the outcome is that of a run in one piece."""
    whole, _ = outcome([cell(0.3)])
    known = {"30%": {index: coin(chunk_seed(1, "30%", index), 500, share=0.3) for index in (0, 1, 3)}}
    resumed, ran = outcome([cell(0.3)], known=known)
    assert (resumed, ran) == (whole, [("30%", 2)])


def test_a_finished_cell_needs_no_run() -> None:
    """Everything known: judged from what is there."""
    known = {"30%": {index: coin(chunk_seed(1, "30%", index), 500, share=0.3) for index in range(4)}}
    counts, ran = outcome([cell(0.3)], known=known)
    assert (counts["30%"].runs, ran) == (2_000, [])


def test_another_seed_gives_other_counts() -> None:
    """The seed reaches the cells."""
    assert outcome([cell(0.3)], seed=1)[0] != outcome([cell(0.3)], seed=2)[0]


def test_the_slice_is_the_same_every_time() -> None:
    """What the build holds cannot fail by chance on another day."""
    assert run_slice(cell(0.3)) == run_slice(cell(0.3))


def two_runs(seed: int, runs: int) -> Counts:
    """A cell that does less than it is asked for."""
    return Counts(runs=min(2, runs), events={"heads": seed % 2})


def test_a_cell_that_gives_other_runs_than_asked_for_is_an_error() -> None:
    """Limits over runs that never were would look better than the truth."""
    with pytest.raises(ValueError, match="asked for 200 runs, got 2"):
        run_slice(Cell(name="lazy", run=two_runs, at_most={"heads": 0.5}))


def test_a_claim_about_an_uncounted_event_is_an_error() -> None:
    """Absent is not zero."""
    with pytest.raises(ValueError, match=r"events not counted: \['tails'\]"):
        run_slice(Cell(name="blind", run=cell(0.5).run, at_most={"tails": 0.5}))
