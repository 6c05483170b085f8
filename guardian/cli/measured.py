"""The past for `guardian backtest` from Prometheus: where it has any, and windows around starting times in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from guardian.adapters._past import POINTS, stretch
from guardian.adapters._series import Wanted, wanted_of
from guardian.adapters.metrics.history import PrometheusHistory
from guardian.core.looks import Floats
from guardian.core.model import Instant, RolloutId, Seconds
from guardian.core.policy import Guardrail, Policy
from guardian.core.pretend import Shape, Window, in_order_of_names, starts
from guardian.errors import ConfigError, ThinHistory

AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where to ask, for which service. everywhere: labels added to every selector; dropped: those of a pair."""

    history: PrometheusHistory
    url: str
    policy: Policy
    everywhere: Mapping[str, str]
    dropped: Collection[str]

    def wanted(self, guardrail: Guardrail) -> tuple[Wanted, ...]:
        """Return the series that a guardrail needs. Raises PolicyError for a bad selector."""
        return wanted_of(
            rollout=RolloutId("backtest"), service=self.policy.match.service, guardrail=guardrail,
            labels=self.policy.labels, everywhere=self.everywhere,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Windows as they were measured; pods: names by code. span: seconds between the first and the last sample."""

    windows: tuple[Window, ...]
    pods: tuple[str, ...]
    span: float


def measured_past(
    source: Source, *, since: Instant, until: Instant, step: Seconds, windows: int, shape: Shape,
    heard: Callable[[int], None],
) -> Measured:  # fmt: skip
    """Ask for up to `windows` windows between two times. heard: told how many more are there.

    Raises ThinHistory where stable has no series, or not for long enough; Unavailable and Refused as PrometheusHistory.
    """
    points = (shape.history + 2 * shape.length) / step
    if points > POINTS:
        raise ConfigError(
            f"{points:,.0f} points a series are asked for; Prometheus gives {POINTS:,}",
            where="guardian backtest --step",
            remedy=f"--step {np.ceil(step * points / POINTS):.0f}s or longer, or a shorter --length",
        )  # fmt: skip
    return asyncio.run(_measured(source, since, until, step, windows, shape, heard))


async def _measured(
    source: Source, since: Instant, until: Instant, step: Seconds, windows: int, shape: Shape,
    heard: Callable[[int], None],
) -> Measured:  # fmt: skip
    times = await _covered(source, since, until, step, shape)
    begins = starts(times, wanted=windows, shape=shape)
    pods: dict[str, int] = {}
    gate = asyncio.Semaphore(AT_ONCE)

    wanted = [source.wanted(guardrail) for guardrail in source.policy.participating]

    async def one(start: Instant) -> Window:
        async with gate:
            found = await stretch(
                source.history, wanted, source.dropped, start=start, before=Seconds(shape.history + shape.length),
                after=shape.length, step=step,
            )  # fmt: skip
        heard(1)
        return found.window(pods)

    found = await asyncio.gather(*(one(Instant(start)) for start in begins.tolist()))
    ordered, names = in_order_of_names(found, pods)  # answers come in any order
    return Measured(windows=ordered, pods=names, span=float(times[-1] - times[0]))


async def _covered(source: Source, since: Instant, until: Instant, step: Seconds, shape: Shape) -> Floats:
    """Return the times, on a grid, at which stable had any series of a guardrail that compares."""
    grid = max(step, np.ceil((until - since) / (POINTS - 1) / step) * step)
    asked = [wanted for guardrail in source.policy.participating for wanted in source.wanted(guardrail)[-1:]]
    found = []
    for wanted in asked:
        lines = await source.history.query_range(
            f"count({_stable(wanted)})", start=since, end=until, step=Seconds(float(grid))
        )
        found += [line.time for line in lines]
    if not found:
        raise ThinHistory(
            f"no series of stable in all that time; asked for: {'; '.join(_stable(one) for one in asked) or 'nothing'}",
            where=source.url, remedy="check selectors and labels (`guardian doctor` asks for the same), or --since",
        )  # fmt: skip
    times = np.unique(np.concatenate(found))
    span, need = float(times[-1] - times[0]), shape.history + shape.length
    if span < need:
        raise ThinHistory(
            f"has {span / 60:.0f}m of stable's series; one pretended rollout needs {need / 60:.0f}m", where=source.url,
            remedy="look further back with --since, wait until there is more, or give a shorter --length",
        )  # fmt: skip
    return times


def _stable(wanted: Wanted) -> str:
    return str(wanted.complete)
