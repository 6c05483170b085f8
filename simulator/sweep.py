"""Many seeds of many scenarios, in parallel processes: outcomes as they come, in a fixed order.

Each process reads the scenario file itself; what comes back are plain outcomes. Does not judge a scenario.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from guardian.config.policy import load_policy
from guardian.core.tape import Part
from simulator.gates import GATES
from simulator.gates.walk import run_gate
from simulator.library import judged_by, load
from simulator.outcome import Outcome, compare
from simulator.pool import process_pool
from simulator.request.language import Grain
from simulator.run import run
from simulator.scenario import Scenario
from simulator.together import TOGETHER, run_together

MOST: Final = {Grain.FLOW: TOGETHER, Grain.REQUEST: 2}
"""Seeds a process is given at once, at most: as many as are played side by side, or few enough to show progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One seed of one scenario: by the guardian, and by each gate that was asked for, by its name."""

    file: Path
    seed: int
    guardian: Outcome
    beside: Mapping[str, Outcome]


def sweep(
    files: Sequence[Path],
    *,
    seeds: Sequence[int],
    jobs: int | None = None,
    beside: Sequence[str] = (),
    policy: Path | None = None,
    grain: Grain | None = None,
    tapes: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Played]:
    """Yield every seed of every scenario, file by file and seed by seed, whichever process ends first.

    jobs: processes; None for one a core. beside: names of gates (GATES) that play the same seeds. policy: file that
    stands for the policies of all scenarios. grain: how to play; None: as each file says. tapes: folder that gets a
    tape of each run. progress: is told how many runs have ended since it was told last.
    """
    workers = jobs or len(os.sched_getaffinity(0))
    least = -(-workers // max(len(files), 1))  # parts of each file's seeds, so that every process has something
    chunks = [
        (file, some, tuple(beside), policy, grain, tapes)
        for file in files
        for some in parts_of(seeds, least, MOST[loaded(file, policy, grain).spec.grain])
    ]
    workers = min(workers, len(chunks))
    if workers <= 1:
        for chunk in chunks:
            yield from _told(play(*chunk), progress)
        return
    with process_pool(workers) as pool:
        for played in pool.map(play, *zip(*chunks, strict=True)):
            yield from _told(played, progress)


def parts_of(seeds: Sequence[int], least: int, most: int) -> list[tuple[int, ...]]:
    """Cut seeds into `least` parts or more, as equal as can be, none longer than `most` and none empty."""
    parts = min(max(least, -(-len(seeds) // most)), len(seeds))
    ends = [len(seeds) * part // parts for part in range(parts + 1)]
    return [tuple(seeds[begin:end]) for begin, end in pairwise(ends)]


def _told(played: list[Played], progress: Callable[[int], None]) -> list[Played]:
    progress(len(played))
    return played


def play(
    file: Path,
    seeds: Sequence[int],
    beside: Sequence[str] = (),
    policy: Path | None = None,
    grain: Grain | None = None,
    tapes: Path | None = None,
) -> list[Played]:
    """Play some seeds of one scenario in this process."""
    scenario = loaded(file, policy, grain)
    if tapes is None:
        runs = run_together(scenario, seeds)
    else:
        runs = [run(scenario, seed, keep=_keeper(tapes, scenario, seed)) for seed in seeds]
    return [
        Played(
            file=file,
            seed=seed,
            guardian=compare(scenario, one),
            beside={name: compare(scenario, run_gate(scenario, seed, GATES[name])) for name in beside},
        )
        for seed, one in zip(seeds, runs, strict=True)
    ]


def _keeper(tapes: Path, scenario: Scenario, seed: int) -> Callable[[Part], None]:
    from guardian.adapters.tapes.folder import TapeFolder  # noqa: PLC0415  pyarrow, for tapes only

    folder = tapes / f"{scenario.name}-{seed}"

    def keep(part: Part) -> None:
        TapeFolder(folder).keep(part)

    return keep


@lru_cache(maxsize=256)
def loaded(file: Path, policy: Path | None = None, grain: Grain | None = None) -> Scenario:
    """Return a scenario, under another policy or in another grain where one is named.

    Raises ScenarioError or PolicyError.
    """
    scenario = load(file, grain=grain)
    return scenario if policy is None else judged_by(scenario, load_policy(policy), file=str(policy))
