"""`guardian judge` over 13,000 recorded rollouts in 11 Parquet files: CPU beside reading them alone, and peak memory.

Each run is a process of its own; memory is compared between 1, 4 and all 11 files. Whether the verdicts are right is
told by benchmarks/detection.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.load.recordings import FILES, POLICY, ROLLOUTS, Kind, path_of, rollouts_of
from benchmarks.load.report import Figure, Found, Load
from simulator.testing.run import ServiceRun

COUNTS: Final = (1, 4, FILES)
MINUTES: Final = 300.0
"""CPU seconds that are called minutes: five of them."""
FLAT: Final = 1.15
"""Peak memory with all files over that with one: some families need more than the first, and each verdict is kept."""
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


def judged(files: Sequence[Path], policy: Path, output: Path) -> tuple[float, float]:
    """CPU seconds and peak memory of one judgement. Raises ValueError where a verdict is missing."""
    spent = used("-m", "guardian", "judge", *files, "--policy", policy, "--output", output)
    wanted = sum(rollouts_of(number) for number in range(len(files)))
    found = output.read_bytes().count(b"\n")
    if found != wanted:
        raise ValueError(f"{found} verdicts on {wanted} rollouts")
    return spent


def figures_of(kind: Kind, folder: Path, repeat: int) -> tuple[list[Figure], dict[str, Any]]:
    """Write the files of one kind, judge 1, 4 and all of them, read them alone."""
    policy = folder / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    # in a process of its own: a child's peak memory begins with its parent's
    subprocess.run([sys.executable, "-m", "benchmarks.load.recordings", folder, kind], check=True)
    files = [path_of(folder, kind=kind, file=number) for number in range(FILES)]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    least = {count: min(judged(files[:count], policy, folder / "out.jsonl") for _ in range(repeat)) for count in COUNTS}
    reading, plain = min(used("-c", READING, *files) for _ in range(repeat))
    name = f"{ROLLOUTS:,} rollouts, {FILES} files of {megabytes / FILES:.1f} MB ({kind})"
    figures = [
        Figure(
            name=f"{name}: CPU", value=least[FILES][0], unit="s", limit=MINUTES,
            reference="pyarrow reading them alone", reference_value=reading,
        ),
        Figure(
            name=f"{name}: peak memory", value=least[FILES][1], unit="MB", limit=FLAT, of_ratio=True,
            reference="the same with one file", reference_value=least[1][1],
        ),
    ]  # fmt: skip
    detail = {f"{count} files": {"CPU s": round(cpu, 1), "MB": round(top)} for count, (cpu, top) in least.items()}
    return figures, {str(kind): {"MB on disk": round(megabytes), "reading MB": round(plain), **detail}}


def measure(run: ServiceRun, repeat: int) -> Found:
    """Both kinds of files."""
    figures: list[Figure] = []
    detail: dict[str, Any] = {}
    for kind in Kind:
        found, more = figures_of(kind, run.workdir(f"recorded-{kind}"), repeat)
        figures += found
        detail |= more
    return Found(figures=figures, detail=detail)


LOAD: Final = Load(
    name="judge",
    claim="13,000 rollouts in 11 Parquet files are judged in minutes, with no more memory than one file takes",
    measure=measure,
)
