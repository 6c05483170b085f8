"""What long work shows of itself: counters on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from guardian.cli.output import SCREEN

Told = Callable[[int], None]
Stage = Callable[[str], Told]


@contextmanager
def stages() -> Iterator[Stage]:
    """Give what begins a stage of the work by its name, and gives what counts it."""
    if not sys.stderr.isatty() or SCREEN.quiet:
        yield lambda _name: lambda _count: None
        return
    from rich.console import Console  # noqa: PLC0415  costs as much as a small file takes
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, no_color=not SCREEN.color), transient=True) as shown:

        def stage(name: str) -> Told:
            task = shown.add_task(name, total=None)
            return lambda count: shown.advance(task, count)

        yield stage


@contextmanager
def counted(what: str) -> Iterator[Told]:
    """Give what counts work of one stage."""
    with stages() as stage:
        yield stage(what)
