"""How far a long run is: one bar on a terminal, a plain line now and then in a pipe.

Nothing of it goes to stdout, which is for results.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES: Final = 15.0


class Reporter(Protocol):
    """Is told what was done."""

    def expect(self, total: int) -> None:
        """From now on this much work is known of."""

    def done(self, amount: int) -> None:
        """That much of it is finished."""

    def say(self, line: str) -> None:
        """Show one line for good."""


@dataclass(slots=True)
class PlainReporter:
    """A line every 15 seconds at most, and each line that is said."""

    what: str
    total: int = 0
    finished: int = 0
    last: float = field(default_factory=time.monotonic)

    def expect(self, total: int) -> None:
        """Keep the total for the next line."""
        self.total = total

    def done(self, amount: int) -> None:
        """Count, and write a line when the last one is old."""
        self.finished += amount
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            self.say(f"{self.what}: {self.finished} of {self.total} runs")

    def say(self, line: str) -> None:
        """Write the line to stderr at once."""
        print(line, file=sys.stderr, flush=True)


@dataclass(slots=True)
class BarReporter:
    """A bar that stays at the foot of the terminal."""

    progress: Progress
    task: TaskID

    def expect(self, total: int) -> None:
        """Stretch the bar."""
        self.progress.update(self.task, total=total)

    def done(self, amount: int) -> None:
        """Move the bar."""
        self.progress.advance(self.task, amount)

    def say(self, line: str) -> None:
        """Write above the bar."""
        self.progress.console.print(line, highlight=False, markup=False)


@contextmanager
def reporting(what: str) -> Iterator[Reporter]:
    """A bar when stderr is a terminal, plain lines otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainReporter(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield BarReporter(progress, progress.add_task(what, total=None))
