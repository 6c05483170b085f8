"""Queries carried out beside the engine: metrics in one batch per source, weights router by router.

A source that is slow or hangs keeps back its own rollouts only: they are not asked about again until it has
answered or its deadline has passed. Answers go to the engine whenever they come; it decides at its next wake.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from time import perf_counter
from typing import Final, TypeVar

import numpy as np
import structlog
from msgspec.structs import replace

from guardian.core.effects import READING
from guardian.core.facts import WeightRead
from guardian.core.looks import Observed, SeriesKey
from guardian.core.measures import MeasureRequest
from guardian.core.model import Ready, RolloutId, Seconds, Track
from guardian.core.rollout import Rollout
from guardian.errors import GuardianError
from guardian.ports import Clock, MetricSource, Samples
from guardian.runtime.equipment import Equip, Sources
from guardian.runtime.telemetry import Telemetry

_Answer = TypeVar("_Answer")
_log = structlog.get_logger(__name__)
_MEASURE: Final = Seconds(30.0)
"""Longest wait for a batch of measurements."""
_AT_ONCE: Final = 32
_TICKS_AT_ONCE: Final = 10
"""Samples of one series given before the loop may do something else."""


class Collector:
    """Asks sources and routers as tasks of its own group.

    series: gives a series its id. give: takes what was seen. settle: turns what was given so far into evidence.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        equip: Equip,
        series: Callable[[SeriesKey], int],
        give: Callable[[Observed | WeightRead], object],
        settle: Callable[[], None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._clock = clock
        self._sources, self._equip, self._series = sources, equip, series
        self._give, self._settle, self._telemetry = give, settle, telemetry
        self._asked: set[tuple[str, RolloutId]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._said: dict[Hashable, str] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the questions until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def measure(self, requests: Iterable[MeasureRequest]) -> list[Task[None]]:
        """Ask each source for its part of these, but for rollouts it still owes an answer on."""
        batches: dict[int, tuple[MetricSource, list[MeasureRequest]]] = {}
        for request in requests:
            if ("measure", request.rollout) in self._asked:
                continue
            try:
                source = self._sources(request.place)
            except GuardianError as error:
                self._problems(request.place, [str(error)])
                continue
            if source is None:
                text = f"no metrics are configured for environment '{request.place.environment}'"
                self._problems(request.place, [f"{text}; add environments.{request.place.environment}.metrics"])
            else:
                batches.setdefault(id(source), (source, []))[1].append(request)
        return [
            self._ask("measure", {one.rollout for one in wanted}, self._measure(source, wanted))
            for source, wanted in batches.values()
        ]

    def read_weights(self, rollouts: Sequence[Rollout]) -> list[Task[None]]:
        """Ask each router what it does now, but for those that have yet to answer."""
        wanted = [one for one in rollouts if ("weight", one.id) not in self._asked]
        return [self._ask("weight", {rollout.id}, self._read(rollout)) for rollout in wanted]

    def _ask(self, kind: str, of: set[RolloutId], question: Coroutine[None, None, None]) -> Task[None]:
        if self._tasks is None:
            raise RuntimeError("the collector is not running")
        asked = {(kind, rollout) for rollout in of}
        self._asked |= asked
        task = self._tasks.create_task(question, name=kind)
        task.add_done_callback(lambda _: self._asked.difference_update(asked))
        return task

    async def _measure(self, source: MetricSource, requests: Sequence[MeasureRequest]) -> None:
        name = type(source).__name__
        try:
            async with asyncio.timeout(_MEASURE):
                samples = await source.measure(requests)
        except TimeoutError:
            self._problems(name, [f"no answer within {_MEASURE:g}s"])
            return
        except GuardianError as error:
            self._problems(name, [str(error)])
            return
        except Exception as error:  # noqa: BLE001  a source's mistake must not end the daemon
            _log.exception("source_failed", source=name)
            self._problems(name, [repr(error)])
            return
        self._problems(name, samples.problems)
        if len(samples.key):
            self._telemetry.samples.labels(name).inc(len(samples.key))
            await self._give_in_slices(samples)

    async def _give_in_slices(self, samples: Samples) -> None:
        """Give samples as if they had come live: a whole history at once would hold alerts and rollbacks up."""
        ids = np.fromiter((self._series(key) for key in samples.keys), np.int64, len(samples.keys))
        ticks = int(np.bincount(samples.key).max())
        edges = np.linspace(samples.time.min(), samples.time.max(), 1 + -(-ticks // _TICKS_AT_ONCE))
        slices = np.searchsorted(edges[1:-1], samples.time)
        for number in range(len(edges) - 1):
            mine = np.flatnonzero(slices == number)
            series = ids[samples.key[mine]]
            self._give(Observed(series=series, time=samples.time[mine], value=samples.value[mine]))
            if number < len(edges) - 2:
                began = perf_counter()
                self._settle()
                # As long again for everybody else: setting a weight takes many turns of the loop, not one.
                await asyncio.sleep(perf_counter() - began)

    async def _read(self, rollout: Rollout) -> None:
        reading = await self._asking("router", self._weights, rollout)
        if reading is not None:
            ready = await self._asking("workload", self._ready, rollout)
            self._give(replace(reading, ready=ready))

    async def _weights(self, rollout: Rollout) -> WeightRead | None:
        """Ask the router; None where there is none."""
        router = self._equip(rollout).router
        if router is None:
            return None
        port, target = router
        asked = self._clock.now()
        accepted = await port.accepted_weight(target)
        observed = await port.observed_share(target)
        return WeightRead(rollout=rollout.id, asked=asked, accepted=accepted, observed=observed)

    async def _ready(self, rollout: Rollout) -> Ready | None:
        """Ask who can serve, stable only where the canary cannot; None where nobody can tell."""
        readiness = self._equip(rollout).readiness
        if readiness is None:
            return None
        port, target = readiness
        canary = await port.ready(target, Track.CANARY)
        return Ready(canary=canary, stable=0 if canary else await port.ready(target, Track.STABLE))

    async def _asking(
        self, whom: str, question: Callable[[Rollout], Awaitable[_Answer | None]], rollout: Rollout
    ) -> _Answer | None:
        """Return the answer of a router or a workload; None where there is none in time, which is told."""
        of = f"{whom} of {rollout.place}"
        try:
            async with self._slots, asyncio.timeout(READING):
                answer = await question(rollout)
        except TimeoutError:
            self._problems(of, [f"no answer within {READING:g}s"])
        except GuardianError as error:
            self._problems(of, [str(error)])
        except Exception as error:  # noqa: BLE001  an adapter's mistake must not end the daemon
            _log.exception("adapter_failed", rollout=rollout.id)
            self._problems(of, [repr(error)])
        else:
            self._problems(of, ())
            return answer
        return None

    def _problems(self, of: Hashable, problems: Sequence[str]) -> None:
        """Count problems, and log them when they differ from the last ones."""
        text = "; ".join(problems[:5])
        if problems:
            self._telemetry.problems.labels(str(of)).inc(len(problems))
        if self._said.get(of, "") != text:
            self._said[of] = text
            if problems:
                _log.warning("measuring_incomplete", source=str(of), text=text, problems=len(problems))
            else:
                _log.info("measuring_complete", source=str(of))
