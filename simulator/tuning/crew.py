"""Who does the work: processes of this machine, or the workers of a Dask cluster. Results do not depend on it.

A worker that dies takes its task to another one; a task whose workers die again and again is told, with what to do.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.metadata import version as version_of
from typing import Any, Final, Protocol

import numpy as np
import scipy

from guardian.errors import ConfigError, SimulationError
from simulator.pool import process_pool
from simulator.tuning.trial import Tried, Work, play

LOSSES: Final = 3
"""Times that workers may be lost before the work itself is suspected."""
PATIENCE: Final = 30.0
"""Seconds within which a cluster answers, and has a worker."""
_ADDRESS: Final = re.compile(r"(?:(?:tcp|tls)://)?\S+:\d{1,5}")
Result = tuple[int, tuple[Tried, ...]]
"""Number of a task in what was asked, and its runs."""


class Crew(Protocol):
    """Does tasks, in whichever order; `play` yields each as it ends. Raises SimulationError when workers keep dying."""

    def play(self, tasks: Sequence[Work]) -> Iterator[Result]: ...


def made_with() -> str:
    """Return the versions that verdicts of a seed may depend on."""
    numbers = f"numpy {np.__version__}, scipy {scipy.__version__}, {platform.machine()}"
    return f"slo-guardian {version_of('slo-guardian')}, {numbers}"


class _Alone:
    """Plays all of it in the process that asks."""

    def play(self, tasks: Sequence[Work]) -> Iterator[Result]:
        for number, task in enumerate(tasks):
            yield number, play(task)


class _Processes:
    """A pool of processes; a new one is made when one of them was killed."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.pool = process_pool(jobs)

    def play(self, tasks: Sequence[Work]) -> Iterator[Result]:
        left = dict(enumerate(tasks))
        losses = 0
        while left:
            given: dict[Future[tuple[Tried, ...]], int] = {}
            try:
                given = {self.pool.submit(play, task): number for number, task in left.items()}
                for future in as_completed(given):
                    runs = future.result()
                    del left[given[future]]
                    yield given[future], runs
            except BrokenProcessPool:
                losses += 1
                if losses == LOSSES:
                    raise SimulationError(
                        f"processes were killed {losses} times", remedy="give fewer --jobs: memory may be short"
                    ) from None
                self.pool.shutdown(wait=False, cancel_futures=True)
                self.pool = process_pool(self.jobs)

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


class _Cluster:
    """The workers of a Dask scheduler; it gives the tasks of a lost worker to others by itself."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def play(self, tasks: Sequence[Work]) -> Iterator[Result]:
        from distributed import KilledWorker  # noqa: PLC0415  an extra
        from distributed import as_completed as finished  # noqa: PLC0415

        version = made_with()
        # not `pure`: a task that another run asked for, and that failed there, is tried again here
        given = {self.client.submit(play_as, task, version, pure=False): number for number, task in enumerate(tasks)}
        try:
            for future in finished(given, loop=self.client.loop):
                yield given[future], future.result()
        except KilledWorker as error:
            raise SimulationError(
                f"workers died over one task: {error}", remedy="look at the workers' logs: memory may be short"
            ) from None
        finally:
            self.client.cancel(list(given))


def play_as(task: Work, version: str) -> tuple[Tried, ...]:
    """Do a task on a worker of a cluster. Raises SimulationError where it has other versions: seeds would differ."""
    if made_with() != version:
        raise SimulationError(
            f"a worker has {made_with()}; here is {version}", remedy="install the same on all workers"
        )
    return play(task)


@contextmanager
def local(jobs: int | None) -> Iterator[Crew]:
    """Yield a crew of this machine. jobs: processes, None for one a core."""
    wanted = jobs or len(os.sched_getaffinity(0))
    if wanted == 1:
        yield _Alone()
        return
    crew = _Processes(wanted)
    try:
        yield crew
    finally:
        crew.close()


@contextmanager
def cluster(address: str) -> Iterator[Crew]:
    """Yield the workers of a Dask scheduler at `tcp://host:port`. Raises ConfigError where none answers."""
    if _ADDRESS.fullmatch(address) is None:
        raise ConfigError(f"'{address}' is no address", where="--scheduler", remedy="write tcp://HOST:8786")
    try:
        from distributed import Client  # noqa: PLC0415  an extra
    except ImportError:
        raise ConfigError(
            "a cluster needs Dask distributed, which is not installed", where=f"--scheduler {address}",
            remedy="pip install 'slo-guardian[cluster]', here and on the workers",
        ) from None  # fmt: skip
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(
            f"no scheduler answers: {error}",
            where=f"--scheduler {address}",
            remedy="start `dask scheduler`, and name its tcp:// address",
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise ConfigError(
                f"the cluster has no worker for {PATIENCE:g} s",
                where=f"--scheduler {address}",
                remedy=f"start `dask worker {address}`",
            ) from None
        yield _Cluster(client)
