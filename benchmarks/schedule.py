"""Which chunks of a campaign run next, in which processes, until every cell has been judged.

The outcome depends on the seed only: not on the number of processes, on the order in which chunks end, or on
how often the run was stopped and resumed. What is kept between sessions is benchmarks/campaign_state.py's.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Final

from benchmarks.cells import Cell, Counts, JudgedClaim, Standing, judge, overall, runs_after
from benchmarks.progress import Reporter

SLICE_SEED: Final = 20261121  # fixed once, before the first result; never to be chosen anew

ChunkDone = Callable[[Cell, int, Counts], None]


def chunk_seed(seed: int, cell: str, index: int) -> int:
    """Seed of one chunk, 0 <= seed < 2**63: the same for the same arguments on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{cell}/{index}".encode()).digest()[:8]) >> 1


def run_slice(cell: Cell) -> Counts:
    """Counts of the fixed slice of a cell, in this process."""
    return checked(cell, cell.run(chunk_seed(SLICE_SEED, cell.name, 0), cell.slice_runs), cell.slice_runs)


def checked(cell: Cell, counts: Counts, asked: int) -> Counts:
    """The same counts. Raises ValueError when a cell gave other than it was asked for."""
    missing = sorted(cell.at_most.keys() - counts.events.keys())
    if counts.runs != asked or missing:
        raise ValueError(
            f"cell {cell.name!r}: asked for {asked} runs, got {counts.runs}; events not counted: {missing}"
        )
    return counts


@dataclass(slots=True)
class CellRun:
    """One cell on its way: the chunks that ended, and how many were asked for so far."""

    cell: Cell
    ended: dict[int, Counts] = field(default_factory=dict)
    asked: int = 0

    @property
    def counts(self) -> Counts:
        """Counts of the chunks asked for, in the order of their index."""
        nothing = Counts(runs=0, events=dict.fromkeys(self.cell.at_most, 0))
        return reduce(add, (self.ended[index] for index in range(self.asked)), nothing)

    @property
    def claims(self) -> tuple[JudgedClaim, ...]:
        """Every claim judged on the counts so far; at least one chunk must have been asked for."""
        return judge(self.cell, self.counts)

    @property
    def waiting(self) -> bool:
        """Some chunk that was asked for has not ended."""
        return any(index not in self.ended for index in range(self.asked))

    def next_chunks(self) -> tuple[int, ...]:
        """Ask for more where the rule wants more: indices to run now. Empty: judged, or still waiting."""
        fresh: tuple[int, ...] = ()
        while not fresh and not self.waiting:
            standing = overall(self.claims) if self.asked else Standing.UNDECIDED
            target = runs_after(self.asked * self.cell.chunk, standing)
            if target is None:
                break
            self.asked = math.ceil(target / self.cell.chunk)
            fresh = tuple(index for index in range(self.asked) if index not in self.ended)
        return fresh


def run_cells(
    cells: Iterable[Cell],
    *,
    seed: int,
    executor: Executor,
    reporter: Reporter,
    known: Mapping[str, Mapping[int, Counts]],
    on_chunk: ChunkDone,
) -> Iterator[CellRun]:
    """Run cells to the end of the rule; yields each when it is judged.

    known: cell name -> chunk index -> counts of earlier sessions; these are not run again.
    on_chunk: called in this process after each chunk, before anything is concluded from it.
    """
    open_runs = [CellRun(cell, dict(known.get(cell.name, {}))) for cell in cells]
    running: dict[Future[Counts], tuple[CellRun, int]] = {}
    expected = 0

    def ask(run: CellRun) -> bool:
        nonlocal expected
        indices = run.next_chunks()
        for index in indices:
            work = executor.submit(run.cell.run, chunk_seed(seed, run.cell.name, index), run.cell.chunk)
            running[work] = (run, index)
        expected += len(indices) * run.cell.chunk
        reporter.expect(expected)
        return bool(indices)

    yield from [run for run in open_runs if not ask(run)]
    while running:
        for work in wait(running, return_when=FIRST_COMPLETED).done:
            run, index = running.pop(work)
            run.ended[index] = checked(run.cell, work.result(), run.cell.chunk)
            on_chunk(run.cell, index, run.ended[index])
            reporter.done(run.cell.chunk)
            if not run.waiting and not ask(run):
                yield run
