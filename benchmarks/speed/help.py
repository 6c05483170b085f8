"""Time until `guardian --help` has answered, in a process of its own. Not the time of any command."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.rounds import Bench, Better, Measures


def seconds_of(*arguments: str) -> float:
    """Wall time of one start of this Python with these arguments. Raises CalledProcessError when it fails."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


@contextmanager
def processes() -> Iterator[Measures]:
    """Nothing has to be opened."""
    yield Measures(
        ours=lambda: seconds_of("-m", "guardian", "--help"),
        reference=lambda: seconds_of("-c", "import typer"),
    )


BENCH: Final = Bench(name="help", unit="s", better=Better.LOWER, reference="python importing typer", prepare=processes)
