"""Runs every cell a fixed number of times, going on where an earlier run stopped.

Chunks, seeds and state file are those of a campaign: `python -m benchmarks.detection` shares them with the campaign
`detection`, which can take it from there and double the runs until each claim is decided; this one ends when it was
told to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from benchmarks.campaign_result import Json, campaign_result, cell_result
from benchmarks.campaign_state import Chunk, State
from benchmarks.cells import Campaign, Cell, Counts, judge
from benchmarks.progress import Reporter
from benchmarks.schedule import checked, chunk_seed

Work = Future[Counts]


@dataclass(slots=True)
class Ledger:
    """What was counted so far, by (cell, index); each chunk is written to `state` as soon as it ends."""

    state: State
    reporter: Reporter
    session: int = 0
    earlier_seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    counts: dict[tuple[str, int], Counts] = field(default_factory=dict)
    running: dict[Work, tuple[Cell, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what earlier sessions left."""
        walls: dict[int, float] = {}
        for chunk in self.state.chunks():
            self.counts[chunk.cell, chunk.index] = chunk.counts
            walls[chunk.session] = max(walls.get(chunk.session, 0.0), chunk.elapsed)
        self.session, self.earlier_seconds = len(walls), sum(walls.values())

    @property
    def elapsed(self) -> float:
        """Seconds since this session began."""
        return time.monotonic() - self.began

    def submit(self, executor: Executor, cell: Cell, index: int) -> None:
        """Have one chunk run; without a pool it has ended when this returns, and is written down."""
        seed = chunk_seed(self.state.header.seed, cell.name, index)
        self.running[executor.submit(cell.run, seed, cell.chunk)] = (cell, index)
        self.take([work for work in self.running if work.done()])

    def take(self, done: Sequence[Work]) -> None:
        """Write down chunks that ended."""
        for work in done:
            cell, index = self.running.pop(work)
            counts = checked(cell, work.result(), cell.chunk)
            self.counts[cell.name, index] = counts
            elapsed = round(self.elapsed, 3)
            self.state.append(Chunk(cell=cell.name, index=index, counts=counts, session=self.session, elapsed=elapsed))
            self.reporter.done(cell.chunk)


def run_fixed(
    campaign: Campaign, cells: Sequence[Cell], *, runs: int, state: State, executor: Executor, reporter: Reporter
) -> Json:
    """At least `runs` runs of each cell, in whole chunks; returns the result."""
    ledger = Ledger(state, reporter)
    wanted = [(cell, index) for cell in cells for index in range(math.ceil(runs / cell.chunk))]
    waiting = [(cell, index) for cell, index in wanted if (cell.name, index) not in ledger.counts]
    if len(waiting) < len(wanted):
        reporter.say(
            f"{campaign.name}: going on; {len(wanted) - len(waiting)} of {len(wanted)} chunks are there already"
        )
    reporter.expect(sum(cell.chunk for cell, _ in waiting))
    for cell, index in waiting:
        ledger.submit(executor, cell, index)
    while ledger.running:
        ledger.take(list(wait(ledger.running, return_when=FIRST_COMPLETED).done))
    results = []
    for cell in cells:
        total = reduce(add, (ledger.counts[cell.name, index] for index in range(math.ceil(runs / cell.chunk))))
        results.append(cell_result(cell, total, judge(cell, total)))
    return campaign_result(campaign, state.header, results, wall_seconds=ledger.earlier_seconds + ledger.elapsed)
