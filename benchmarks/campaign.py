"""Run one campaign: `python -m benchmarks.campaign NAME [--slice] [--seed N] [--cell C] [--jobs N]`.

A full run takes its seed from the commit, goes on where an earlier one stopped, and writes
benchmarks/results/NAME.json. The slice is small, has a fixed seed and writes nothing.
Exit code: 0 every cell accepted (slice: none rejected), 2 wrong usage, 3 a cell rejected, 4 some undecided.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from benchmarks import campaigns, environment
from benchmarks.campaign_result import Json, campaign_result, cell_result, sentence, worst
from benchmarks.campaign_state import Chunk, Header, State
from benchmarks.cells import Campaign, Cell, Counts, Standing, judge
from benchmarks.progress import Reporter, reporting
from benchmarks.schedule import run_cells, run_slice
from simulator.pool import process_pool

RESULTS: Final = environment.ROOT / "benchmarks" / "results"
STATES: Final = environment.ROOT / "build" / "campaigns"
T = TypeVar("T")

EXIT_CODES: Final = {Standing.ACCEPTED: 0, Standing.REJECTED: 3, Standing.UNDECIDED: 4}


def full(campaign: Campaign, cells: Sequence[Cell], *, state: State, executor: Executor, reporter: Reporter) -> Json:
    """Run these cells to the end of the rule, keeping every chunk in `state`; returns the result."""
    known: dict[str, dict[int, Counts]] = {}
    walls: dict[int, float] = {}
    for chunk in state.chunks():
        known.setdefault(chunk.cell, {})[chunk.index] = chunk.counts
        walls[chunk.session] = max(walls.get(chunk.session, 0.0), chunk.elapsed)
    if walls:
        reporter.say(f"{campaign.name}: going on with what {len(walls)} earlier session(s) left")
    session, began = len(walls), time.monotonic()

    def keep(cell: Cell, index: int, counts: Counts) -> None:
        elapsed = round(time.monotonic() - began, 3)
        state.append(Chunk(cell=cell.name, index=index, counts=counts, session=session, elapsed=elapsed))

    judged: dict[str, Json] = {}
    for run in run_cells(
        cells, seed=state.header.seed, executor=executor, reporter=reporter, known=known, on_chunk=keep
    ):
        judged[run.cell.name] = cell_result(run.cell, run.counts, run.claims)
        reporter.say(sentence(run.cell, run.claims))
    wall = sum(walls.values()) + time.monotonic() - began
    return campaign_result(campaign, state.header, [judged[cell.name] for cell in cells], wall_seconds=wall)


def sliced(campaign: Campaign, cells: Sequence[Cell], *, reporter: Reporter) -> Json:
    """Run the fixed slice of these cells in this process."""
    results = []
    for cell in cells:
        counts = run_slice(cell)
        claims = judge(cell, counts)
        results.append(cell_result(cell, counts, claims))
        reporter.say(sentence(cell, claims))
    return {
        "name": campaign.name,
        "standing": worst(result["standing"] for result in results),
        "cells": results,
    }


class InThisProcess(Executor):
    """Runs work when it is handed in, so that a debugger sees it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run it now; the future has already ended."""
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """A pool whose waiting work is dropped when the run is interrupted; for no jobs, this process.

    What runs here is done when it is handed in: all chunks of a round at once, and none kept before the last one ends.
    """
    if jobs == 0:
        yield InThisProcess()
        return
    pool = process_pool(jobs)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def fresh_header(campaign: Campaign, seed: int | None) -> Header:
    """What a campaign that begins now begins with; without a seed the commit gives it."""
    commit = environment.commit()
    return Header(
        name=campaign.name,
        sources=environment.digest(campaign.sources),
        commit=commit.hash,
        dirty=commit.dirty,
        seed=int(commit.hash[:15], 16) if seed is None else seed,
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; leaves with exit code 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("name", help="a file in benchmarks/campaigns, or `list`")
    parser.add_argument("--slice", action="store_true", help="the small part with a fixed seed")
    parser.add_argument("--seed", type=int, help="instead of the one that the commit gives")
    parser.add_argument("--cell", action="append", help="only this cell; may be repeated; writes no result")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes (default: one a core; 0: this one, for debuggers)"
    )
    chosen = parser.parse_args(arguments)
    if chosen.slice and chosen.seed is not None:
        parser.error("the slice has one fixed seed; leave --seed out, or run without --slice")
    return chosen


def run(chosen: argparse.Namespace, campaign: Campaign, cells: Sequence[Cell]) -> Json:
    """Run what was chosen and return its result. A complete full run is written to a file, the rest to stdout."""
    with reporting(campaign.name) as reporter:
        if chosen.slice:
            return shown(sliced(campaign, cells, reporter=reporter))
        fresh = fresh_header(campaign, chosen.seed)
        state = State.open(STATES / f"{campaign.name}.jsonl", fresh, keep_seed=chosen.seed is not None)
        with processes(chosen.jobs) as executor:
            result = full(campaign, cells, state=state, executor=executor, reporter=reporter)
    if chosen.cell:
        return shown(result)
    write(RESULTS / f"{campaign.name}.json", result)
    state.remove()
    return result


def shown(result: Json) -> Json:
    """The same, after it was written to stdout."""
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return result


def write(path: Path, result: Json) -> None:
    """Put the file there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    half.replace(path)
    sys.stderr.write(f"{result['standing']} after {result['wall_seconds']} s; figures in {path.name}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parse(arguments)
    if chosen.name == "list":
        sys.stdout.write("".join(f"{name}  {campaigns.load(name).claim}\n" for name in campaigns.names()))
        return 0
    try:
        campaign = campaigns.load(chosen.name)
        cells = [campaign.cell(name) for name in chosen.cell] if chosen.cell else list(campaign.cells)
    except LookupError as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 2
    try:
        result = run(chosen, campaign, cells)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 1
    standing = Standing(result["standing"])
    if chosen.slice and standing is Standing.UNDECIDED:
        return 0
    return EXIT_CODES[standing]


if __name__ == "__main__":
    sys.exit(main())
