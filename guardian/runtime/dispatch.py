"""Effects carried out beside the engine: bounded in number, in order within a rollout, rollbacks first.

Each attempt has a deadline and ends as a fact. An effect that the world does not want any more (a rollback
took its place) is cut short. Nothing is retried here: the core hands an effect out again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

import structlog

from guardian.core.effects import DEADLINES, Effect, SetWeight
from guardian.core.facts import EffectDone, EffectFailed
from guardian.core.model import EffectId, Phase, RolloutId
from guardian.core.rollout import Rollout
from guardian.errors import Conflict, GuardianError, Unavailable
from guardian.runtime.equipment import Equip
from guardian.runtime.perform import perform
from guardian.runtime.telemetry import Telemetry

_log = structlog.get_logger(__name__)
_AT_ONCE: Final = 32
"""Effects under way at a time, and as many again for rollbacks alone."""
_GRACE: Final = 0.5
"""Seconds that a weight being set, which nobody wants any more, may take to end by itself."""


@dataclass(slots=True)
class _Lane:
    """The effects of one rollout; `under_way` is being tried by `server`. cut: it is not wanted any more."""

    waiting: deque[Effect] = field(default_factory=deque)
    under_way: Effect | None = None
    server: asyncio.Task[None] | None = None
    cut: bool = False


class Dispatcher:
    """Performs effects as tasks of its own group.

    equip: finds a rollout's ports. known: finds a rollout as it is now. give: takes the facts that come back.
    """

    def __init__(
        self,
        *,
        equip: Equip,
        known: Callable[[RolloutId], Rollout | None],
        give: Callable[[EffectDone | EffectFailed], None],
        telemetry: Telemetry,
    ) -> None:
        self._equip, self._known, self._give, self._telemetry = equip, known, give, telemetry
        self._lanes: dict[RolloutId, _Lane] = {}
        self._forward, self._back = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Own the attempts until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def dispatch(self, rollout: RolloutId, effect: Effect) -> None:
        """Have an effect carried out after the rollout's earlier ones; asking again while it waits does nothing."""
        if self._tasks is None or self._stopping:
            return
        lane = self._lanes.get(rollout)
        if lane is None:
            lane = self._lanes[rollout] = _Lane()
            self._idle.clear()
            lane.waiting.append(effect)
            lane.server = self._tasks.create_task(self._serve(rollout, lane), name=f"effects-{rollout}")
            return
        under_way = lane.under_way
        if under_way is not None and not self._wanted(rollout, under_way.id):
            # Cut short, a call may still be carried out by a server that has it, after what is to take its place.
            grace = _GRACE if isinstance(under_way, SetWeight) else 0.0
            asyncio.get_running_loop().call_later(grace, self._cut, lane, under_way)
        if effect.id not in {one.id for one in (*lane.waiting, *((under_way,) if under_way else ()))}:
            lane.waiting.append(effect)

    def _cut(self, lane: _Lane, effect: Effect) -> None:
        """Cut the effect short, if it is still under way; once, since each time counts for the task."""
        if lane.under_way is effect and lane.server is not None and not lane.cut:
            lane.cut = True
            lane.server.cancel()

    async def drain(self) -> None:
        """Begin nothing more; return when what is under way has ended."""
        self._stopping = True
        await self._idle.wait()

    async def _serve(self, rollout: RolloutId, lane: _Lane) -> None:
        try:
            while lane.waiting:
                effect = lane.waiting.popleft()
                if self._stopping or not self._wanted(rollout, effect.id):
                    continue
                lane.under_way = effect
                try:
                    await self._attempt(rollout, effect)
                except asyncio.CancelledError:
                    if not lane.cut or lane.server is None or lane.server.uncancel() > 0:
                        raise  # not the effect is ended but the daemon
                else:
                    if lane.cut and lane.server is not None:
                        lane.server.uncancel()  # an adapter made something else of being cut short
                lane.under_way, lane.cut = None, False
        finally:
            del self._lanes[rollout]
            if not self._lanes:
                self._idle.set()

    def _wanted(self, rollout: RolloutId, effect: EffectId) -> bool:
        known = self._known(rollout)
        return known is not None and any(pending.effect.id == effect for pending in known.effects)

    async def _attempt(self, rollout: RolloutId, effect: Effect) -> None:
        known = self._known(rollout)
        if known is None:
            return
        urgent = known.phase is Phase.ROLLING_BACK
        kind = type(effect).__name__
        async with self._back if urgent else self._forward:
            began = perf_counter()
            fact = await self._outcome(known, effect)
        self._telemetry.performed(kind, done=isinstance(fact, EffectDone), seconds=perf_counter() - began)
        if isinstance(fact, EffectFailed):
            _log.warning("effect_failed", rollout=rollout, effect_id=effect.id, kind=kind, reason=fact.reason)
        else:
            _log.debug("effect_done", rollout=rollout, effect_id=effect.id, kind=kind)
        self._give(fact)

    async def _outcome(self, rollout: Rollout, effect: Effect) -> EffectDone | EffectFailed:
        deadline = DEADLINES[type(effect)]
        try:
            equipment = self._equip(rollout)
            async with asyncio.timeout(deadline):
                return await perform(rollout.id, effect, equipment)
        except TimeoutError:
            reason, again = f"no answer within {deadline:g}s", True
        except GuardianError as error:
            reason, again = str(error), isinstance(error, Unavailable | Conflict)
        except Exception as error:  # noqa: BLE001  an adapter's mistake must not end the daemon
            _log.exception("adapter_failed", rollout=rollout.id, effect_id=effect.id)
            reason, again = f"{type(error).__name__}: {error}", True
        return EffectFailed(rollout=rollout.id, effect=effect.id, reason=reason, again=again)
