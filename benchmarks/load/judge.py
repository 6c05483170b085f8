"""`guardian judge` over 13,000 recorded rollouts: CPU beside reading the files alone, and peak memory.

Each run is a process of its own; memory is compared between some of the files and all, eleven large ones or a hundred
small ones. A file of one rollout after the other is held against the same sorted by time. Whether the verdicts are
right is told by benchmarks/detection.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.load.recordings import POLICY, ROLLOUTS, Kind, path_of, rollouts_of
from benchmarks.load.report import Figure, Found, Load
from simulator.testing.run import ServiceRun

COUNTS: Final = {Kind.PODS: (1, 4, 11), Kind.TRACKS: (1, 4, 11), Kind.SMALL: (20, 50, 100)}
"""Files judged together. Small ones share waves of at most 2,000 rollouts: with fewer than 16 of them none is full."""
MINUTES: Final = 300.0
"""CPU seconds that are called minutes: five of them."""
FLAT: Final = 1.15
"""Peak memory with all files over that with one: some families need more than the first, and each verdict is kept."""
IN_TURN: Final = 1.5
"""CPU where one rollout comes after the other, over that where they are sorted by time."""
READING: Final = """
import sys
import pyarrow.parquet as pq
for path in sys.argv[1:]:
    for _ in pq.ParquetFile(path).iter_batches(use_threads=False):
        pass
"""


def used(*command: object) -> tuple[float, float]:
    """CPU seconds and peak resident memory in MB of a process. Raises CalledProcessError when it fails."""
    words = [sys.executable, *map(str, command)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000.0


def judged(kind: Kind, count: int, folder: Path) -> tuple[float, float]:
    """CPU seconds and peak memory of one judgement. Raises ValueError where a verdict is missing."""
    policy, output = folder / "policy.yaml", folder / "out.jsonl"
    policy.write_text(POLICY, encoding="utf-8")
    files = [path_of(folder, kind=kind, file=number) for number in range(count)]
    spent = used("-m", "guardian", "judge", *files, "--policy", policy, "--output", output)
    wanted = sum(rollouts_of(kind, number) for number in range(count))
    found = output.read_bytes().count(b"\n")
    if found != wanted:
        raise ValueError(f"{found} verdicts on {wanted} rollouts")
    return spent


def recorded(kind: Kind, folder: Path) -> list[Path]:
    """Write the files of one kind, in a process of its own: a child's peak memory begins with its parent's."""
    subprocess.run([sys.executable, "-m", "benchmarks.load.recordings", folder, kind], check=True)
    return [path_of(folder, kind=kind, file=number) for number in range(kind.files)]


def figures_of(kind: Kind, folder: Path, repeat: int) -> tuple[list[Figure], dict[str, Any]]:
    """Judge some files of one kind and all, read them alone."""
    files, counts = recorded(kind, folder), COUNTS[kind]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    least = {count: min(judged(kind, count, folder) for _ in range(repeat)) for count in counts}
    reading, plain = min(used("-c", READING, *files) for _ in range(repeat))
    name = f"{ROLLOUTS:,} rollouts, {len(files)} files of {megabytes / len(files):.1f} MB ({kind})"
    figures = [
        Figure(
            name=f"{name}: CPU", value=least[counts[-1]][0], unit="s", limit=MINUTES,
            reference="pyarrow reading them alone", reference_value=reading,
        ),
        Figure(
            name=f"{name}: peak memory", value=least[counts[-1]][1], unit="MB", limit=FLAT, of_ratio=True,
            reference=f"the same with {counts[0]}", reference_value=least[counts[0]][1],
        ),
    ]  # fmt: skip
    detail = {f"{count} files": {"CPU s": round(cpu, 1), "MB": round(top)} for count, (cpu, top) in least.items()}
    return figures, {str(kind): {"MB on disk": round(megabytes), "reading MB": round(plain), **detail}}


def in_turn(folder: Path, repeat: int) -> Figure:
    """One file of `pods`, which is there, held against the same rollouts one after the other."""
    recorded(Kind.TURNS, folder)
    by_time, turns = (min(judged(kind, 1, folder)[0] for _ in range(repeat)) for kind in (Kind.PODS, Kind.TURNS))
    return Figure(
        name=f"{rollouts_of(Kind.TURNS, 0):,} rollouts, one after the other: CPU", value=turns, unit="s", limit=IN_TURN,
        of_ratio=True, reference="sorted by time", reference_value=by_time,
    )  # fmt: skip


def measure(run: ServiceRun, repeat: int) -> Found:
    """All kinds of files."""
    figures: list[Figure] = []
    detail: dict[str, Any] = {}
    for kind in COUNTS:
        folder = run.workdir(f"recorded-{kind}")
        found, more = figures_of(kind, folder, repeat)
        figures += found
        detail |= more
        if kind is Kind.PODS:
            figures.append(in_turn(folder, repeat))
    return Found(figures=figures, detail=detail)


LOAD: Final = Load(
    name="judge",
    claim="13,000 rollouts in 11 Parquet files are judged in minutes, with no more memory than one file takes",
    measure=measure,
)
