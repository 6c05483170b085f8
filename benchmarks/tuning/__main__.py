"""Tune the game service's policy: `python -m benchmarks.tuning [--trials N] [--seeds N] [--fresh N] [--jobs N]`.

Searches twice: with processes that are killed half-way and resumed, and with as many Dask workers; both must recommend
the same policy, byte for byte. Goes on where an earlier run stopped; writes benchmarks/results/tuning.json,
docs/tuning.svg and docs/tuning.md. --docs: the page from the result file; runs nothing.
Exit code: 0, 1 stopped by hand, 2 wrong usage, 3 nothing better was proved or the two answers differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks import environment
from benchmarks.campaign import RESULTS, write
from benchmarks.cells import Standing
from benchmarks.environment import ROOT
from benchmarks.tuning.document import DOCUMENT, PICTURE, document
from benchmarks.tuning.figures import compared
from benchmarks.tuning.search import GAME, Asked, Size, Walls, by_dask, by_processes, patched
from simulator.library import find_all, load, parse, whole
from simulator.tuning.kept import kept_in
from simulator.tuning.objectives import Runs
from simulator.tuning.space import read_space
from simulator.tuning.study import Terms, header
from simulator.tuning.trial import Task

Json = dict[str, Any]
SOURCES: Final = ("analysis", "guardian", "simulator", "examples/game")
RESULT: Final = RESULTS / "tuning.json"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; leaves with exit code 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("--trials", type=int, default=8, help="policies that are tried (default: 8)")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each scenario that the search sees (default: 2)")
    parser.add_argument("--fresh", type=int, default=12, help="seeds that only the proof sees (default: 12)")
    parser.add_argument("--jobs", type=int, default=2, help="processes, and Dask workers (default: 2)")
    parser.add_argument("--docs", action="store_true", help="write the page from the result file; runs nothing")
    chosen = parser.parse_args(arguments)
    if min(chosen.seeds, chosen.fresh, chosen.jobs) < 2 or chosen.trials < 1:
        parser.error("--seeds, --fresh and --jobs must be at least 2, --trials at least 1")
    return chosen


def measured(asked: Asked, size: Size, folder: Path) -> Json:
    """Search both ways and return the result; what is played stays in the folder, and is not played again."""
    folder.mkdir(parents=True, exist_ok=True)
    walls = Walls(folder / "walls.json")
    found, state = by_processes(asked, size, folder, walls)
    clustered = by_dask(asked, size, folder, walls)
    policy, again = (patched(asked, one["patch"]) for one in (found, clustered))
    commit, proof = environment.commit(), found["confirmation"]
    holds = bool(found["recommended"]) and found == clustered and policy == again
    return {
        "name": "tuning",
        "claim": "Fresh seeds prove a better policy; Dask, and a search that was killed, recommend it byte for byte.",
        "standing": Standing.ACCEPTED if holds else Standing.REJECTED,
        "commit": commit.hash,
        "dirty": commit.dirty,
        "seed": {"search": [1, size.seeds], "fresh": _fresh(proof)},
        "machine": asdict(environment.machine()),
        "wall_seconds": round(walls.known["processes"] + walls.known["dask"], 1),
        "size": asdict(size),
        "answer": found["answer"],
        "tried": len(found["candidates"]),
        "recommended": found["recommended"],
        "patch": found["patch"],
        "searches": [
            {
                "by": f"{size.jobs} processes, killed after {walls.known['killed_after']:.0f} tasks and resumed",
                "wall_seconds": walls.known["processes"],
                "policy_sha256": _digest(policy),
                "answer_sha256": _digest(json.dumps(found, sort_keys=True)),
            },
            {
                "by": f"{size.jobs} Dask workers",
                "wall_seconds": walls.known["dask"],
                "policy_sha256": _digest(again),
                "answer_sha256": _digest(json.dumps(clustered, sort_keys=True)),
            },
        ],
        "figures": [] if proof is None else _figures(asked, size, state, policy, _fresh(proof)),
    }


def _fresh(proof: Json | None) -> list[int]:
    return [] if proof is None else [proof["first_seed"], proof["first_seed"] + proof["seeds"] - 1]


def _figures(asked: Asked, size: Size, state: Path, policy: str, fresh: Sequence[int]) -> list[Json]:
    """Compare both policies on the runs of the proof, which the search has kept."""
    text = (asked.root / asked.policy).read_text(encoding="utf-8")
    scenarios = {load(file).name: whole(file) for file in find_all([str(asked.root / asked.scenarios)])}
    terms = Terms(scenarios=scenarios, seeds=size.seeds, fresh=size.fresh, trials=size.trials, budget=None)
    searched = header(read_space(asked.root / asked.space, text, file=str(asked.policy)), terms)
    seeds = tuple(range(fresh[0], fresh[1] + 1))
    with kept_in(state, searched) as kept:

        def runs(judged_by: str) -> Runs:
            tasks = {name: Task(policy=judged_by, scenario=one, seeds=seeds) for name, one in scenarios.items()}
            found = {name: kept.get(task.key) for name, task in tasks.items()}
            missing = [name for name, each in found.items() if each is None]
            if missing:
                raise RuntimeError(
                    f"{state.name} has no runs of the proof of {', '.join(missing)}: remove it, run anew"
                )
            return {name: each for name, each in found.items() if each is not None}

        truths = {name: parse(one, file=name).spec.truth.verdict for name, one in scenarios.items()}
        return compared(runs(text), runs(policy), truths)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _picture(report: Path) -> None:
    """Take the first picture of the report: all that was tried."""
    page = report.read_text(encoding="utf-8")
    PICTURE.write_text(page[page.index("<svg") : page.index("</svg>") + len("</svg>\n")], encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parse_arguments(arguments)
    try:
        if not chosen.docs:
            size = Size(trials=chosen.trials, seeds=chosen.seeds, fresh=chosen.fresh, jobs=chosen.jobs)
            named = f"{environment.digest(SOURCES)[:12]}-{size.trials}-{size.seeds}-{size.fresh}-{size.jobs}"
            folder = ROOT / "build" / "tuning" / named
            write(RESULT, measured(GAME, size, folder))
            _picture(folder / "report.html")
        result = json.loads(RESULT.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        sys.stderr.write(f"{error.filename} is missing; run `python -m benchmarks.tuning` without --docs first\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 1
    DOCUMENT.write_text(document(result), encoding="utf-8")
    return 0 if result["standing"] == Standing.ACCEPTED else 3


if __name__ == "__main__":
    sys.exit(main())
