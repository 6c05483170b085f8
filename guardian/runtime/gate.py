"""A service judged now, without a rollout: its guardrails' objectives over their windows, on everything it serves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec.structs import replace

from guardian.core.fleet import Fleet
from guardian.core.looks import GuardrailLook, Observed, SeriesKey
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant, Place, RolloutId, Seconds, Track, Weight
from guardian.core.policy import Guardrail, Policy, Scope, Slo
from guardian.errors import Unavailable
from guardian.ports import Clock
from guardian.runtime.equipment import Sources

_DEADLINE: Final = Seconds(15.0)
_NAME: Final = RolloutId("gate")
_MARGIN: Final = 2.0
"""How many windows of samples are asked for: a breach must have lasted, and its window lies before that."""
_LEAST: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One look at each guardrail, in order, and what made the answer incomplete."""

    looks: tuple[GuardrailLook, ...]
    problems: tuple[str, ...]


class ServiceGate:
    """Measures and judges on demand; keeps nothing between two questions."""

    def __init__(self, *, sources: Sources, clock: Clock) -> None:
        self._sources, self._clock = sources, clock

    async def judge(self, place: Place, policy: Policy, guardrails: Sequence[Guardrail]) -> Judged:
        """Judge the objectives of these guardrails at this place.

        policy: whose labels tell tracks and pods apart. Raises AdapterError when the source gives no answer.
        """
        source = self._sources(place)
        if source is None:
            raise Unavailable(
                f"no metrics are configured for environment '{place.environment}'",
                where="guardian.yaml",
                remedy=f"add environments.{place.environment}.metrics",
            )
        now = self._clock.now()
        wide = tuple(map(_wide, guardrails))
        requests = [_request(place, policy, guardrail, now) for guardrail in wide]
        try:
            async with asyncio.timeout(_DEADLINE):
                samples = await source.measure(requests)
        except TimeoutError:
            raise Unavailable(
                f"the metric source did not answer within {_DEADLINE:g}s", remedy="ask again, or check the source"
            ) from None
        fleet = Fleet()
        fleet.open(_NAME, replace(policy, guardrails=wide))
        fleet.expect(_NAME, weight=Weight(1.0), now=Instant(-math.inf))  # all that is measured serves, weights or not
        keys = map(_together, samples.keys)
        ids = np.fromiter((fleet.series(key) for key in keys), np.int64, len(samples.keys))
        if len(samples.key):
            fleet.observe(Observed(series=ids[samples.key], time=samples.time, value=samples.value))
        look = fleet.look([_NAME], now=now)[_NAME]
        return Judged(looks=tuple(look.of(one.name) for one in wide), problems=tuple(samples.problems))


def _wide(guardrail: Guardrail) -> Guardrail:
    """Return the guardrail with nothing to compare, its objective on the one track there is (see `_together`)."""
    if guardrail.objective is None:
        return replace(guardrail, compare=None)
    return replace(guardrail, compare=None, objective=replace(guardrail.objective, scope=Scope.CANARY))


def _together(key: SeriesKey) -> SeriesKey:
    """Return the series as one of a single track: the gate asks about all that the service serves."""
    return replace(key, track=Track.CANARY, pod=f"{key.track}/{key.pod}")


def _request(place: Place, policy: Policy, guardrail: Guardrail, now: Instant) -> MeasureRequest:
    reach = _reach(guardrail.objective) + _LEAST
    return MeasureRequest(
        rollout=_NAME,
        place=place,
        guardrail=guardrail,
        labels=policy.labels,
        since=Instant(now - reach),
        until=now,
    )


def _reach(objective: Slo | None) -> float:
    if objective is None:
        return 0.0
    lasts = [level.lasts for level in (objective.warning, objective.critical) if level is not None]
    reach = _MARGIN * max([objective.window or 0.0, *lasts])
    if objective.burn_rate is None:
        return reach
    return max(reach, objective.burn_rate.pages[0][0].long)  # of slower pairs as much as there is then
